import { styleText } from "node:util"

/** How the story looks: at most `WIDTH` columns, colours where they are wanted, no token in full. */

const WIDTH = 100
const INDENT = "   "

/** Colours on a terminal only, and not with NO_COLOR. */
const styled = (style: Parameters<typeof styleText>[0], text: string): string =>
  styleText(style, text, { stream: process.stdout })

/** Enough of a token to tell it from another, and no more. */
const shortened = (text: string): string => text.replace(/\b(cf|ff)_([\w-]{4})[\w-]{8,}/g, "$1_$2…")

/** Lines of whole pieces that fit into `width`; a piece that is longer than that stays whole. */
const fill = (pieces: ReadonlyArray<string>, width: number): ReadonlyArray<string> => {
  const lines = [""]
  for (const piece of pieces) {
    const line = `${lines.at(-1)}${piece}`
    if (line.trimEnd().length <= width || line === piece) lines[lines.length - 1] = line
    else lines.push(piece)
  }
  return lines.map((line) => line.trimEnd())
}

/** Text broken after blanks and commas. */
const wrapped = (text: string): ReadonlyArray<string> =>
  fill(text.split(/(?<=[ ,])/), WIDTH - INDENT.length - 1)

export const lines = (lines: ReadonlyArray<string>): void => print(lines.map(shortened))

const print = (lines: ReadonlyArray<string>): void =>
  console.log(lines.map((line) => INDENT + line).join("\n"))

export const title = (text: string): void => console.log(`\n${styled("bold", text)}`)

export const prose = (text: string): void => print(wrapped(text))

/** What has been looked at, and holds. */
export const holds = (text: string): void => print(wrapped(text).map((line) => styled("green", line)))

export const step = (number: number, what: string, why: string): void => {
  console.log(`\n${styled("cyan", String(number).padStart(2))} ${styled("bold", what)}`)
  print(wrapped(why).map((line) => styled("dim", line)))
}

/** A command that the reader could have typed, continued on further lines where it is long. */
export const command = (words: ReadonlyArray<string>): void => {
  const lines = fill(
    words.map((word) => `${shortened(word)} `),
    WIDTH - INDENT.length - 8,
  )
  print([`$ ${lines.join(` \\\n${INDENT}    `)}`])
}

/** JSON in which a shell's newlines do no harm: between its members. */
export const json = (value: object): string =>
  fill(shortened(JSON.stringify(value)).split(/(?<=["}\]\d],)(?=")/), WIDTH - INDENT.length - 18).join(
    `\n${INDENT}            `,
  )

/** An answer as it came, broken into lines. */
export const answer = (status: string, good: boolean, millis: number, body: string): void => {
  print([`${styled(good ? "green" : "yellow", status)}${styled("dim", `, ${millis.toFixed(0)} ms`)}`])
  print(
    wrapped(shortened(body)).map(
      (line, n) => (n === 0 ? "" : " ") + line.replace(/"\w+":/g, (name) => styled("cyan", name)),
    ),
  )
}

export const table = (rows: ReadonlyArray<Readonly<Record<string, unknown>>>): void => {
  const names = Object.keys(rows[0] ?? {})
  const cells = [names, ...rows.map((row) => names.map((name) => String(row[name] ?? "")))]
  const widths = names.map((_, n) => Math.max(...cells.map((row) => row[n]?.length ?? 0)))
  const lines = cells.map((row) =>
    row
      .map((cell, n) => cell.padEnd(widths[n] ?? 0))
      .join("  ")
      .trimEnd(),
  )
  print(lines.map((line, n) => (n === 0 ? styled("cyan", line) : line)))
}
