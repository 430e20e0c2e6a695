import type { Breaking } from "./Breaking.ts"

/** The Markdown text under a heading, up to the next heading of the same or a higher level. */
const section = (text: string, heading: RegExp): string => {
  const lines = text.split("\n")
  const start = lines.findIndex((line) => heading.test(line))
  if (start === -1) return ""
  const level = lines[start]?.match(/^#+/)?.[0].length ?? 0
  const rest = lines.slice(start + 1)
  const end = rest.findIndex((line) => (line.match(/^#+(?= )/)?.[0].length ?? 9) <= level)
  return (end === -1 ? rest : rest.slice(0, end)).join("\n")
}

/** The breaking changes that no line under `## Unreleased`, `### Breaking` announces; a line is "- `POST /run`: …". */
export const unannounced = (changes: ReadonlyArray<Breaking>, changelog: string): ReadonlyArray<Breaking> => {
  const announced = section(section(changelog, /^## Unreleased\s*$/), /^### Breaking\s*$/)
  const lines = announced.split("\n").filter((line) => line.startsWith("- "))
  return changes.filter(({ operation }) => !lines.some((line) => line.includes(`\`${operation}\``)))
}
