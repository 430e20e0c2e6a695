/** Whether this is the soak (`npm run test:soak`), which runs at full scale what `npm test` runs small. */
export const SOAK = process.env["SOAK"] === "1"

/** The scale of a test: `small` in `npm test`, `soak` in the soak. */
export const scale = (small: number, soak: number): number => (SOAK ? soak : small)
