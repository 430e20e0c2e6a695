/**
 * How much the tests do that have a size: those in `*.soak.test.ts`, and what else `vitest.config.ts` names. `npm test` runs
 * each of them small; `npm run test:soak` runs the same tests large, as what they look for (a leak, a race, a limit) may
 * show only there.
 */
export const isSoak = process.env["SOAK"] === "1"

/** That number in `npm run test:soak`, and the small one in `npm test`. */
const scaled = (small: number, large: number): number => (isSoak ? large : small)

export const scale = {
  /** Requests of the HTTP fuzz test. */
  fuzzRequests: scaled(500, 5000),
  /** Runs of the chaos test, and how often it kills the service meanwhile. */
  chaosRuns: scaled(24, 100),
  chaosRestarts: scaled(1, 3),
  /** Which part of the thousand connections of the cuts test. */
  cuts: (large: number): number => scaled(Math.ceil(large / 10), large),
  /** Sessions that are opened, used and closed. */
  sessions: scaled(120, 1000),
  /** Updates of one turn. */
  updates: scaled(10_000, 100_000),
  /** Bytes of one update. */
  updateBytes: scaled(1_000_000, 8_000_000),
  /** Clients that follow the log, a multiple of 50, and events that they are told. */
  followers: scaled(50, 500),
  followedEvents: scaled(40, 160),
  /** Updates of 10,000 characters in the turn of a client that stops reading. */
  stalledPages: scaled(1500, 5000),
  /** Runs of two apps at once. */
  fairRuns: scaled(40, 200),
  /** Runs of the real `claude` at once. */
  realRuns: scaled(10, 50),
  /** Prompts of ten megabytes at once. */
  largePrompts: scaled(8, 20),
  /** Mebibytes of an upload without a length. */
  uploadMebibytes: scaled(128, 1024),
} as const
