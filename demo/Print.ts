import { styleText } from "node:util"

/** Prints the demo: lines of at most `WIDTH` columns, with colours on a terminal, and no token in full. */

const WIDTH = 100
const INDENT = "   "

/** Styles the text if stdout is a terminal and NO_COLOR is not set. */
const styled = (style: Parameters<typeof styleText>[0], text: string): string =>
  styleText(style, text, { stream: process.stdout })

/** Cuts tokens to four characters: enough to tell two of them apart. */
const shortenTokens = (text: string): string => text.replace(/\b(cf|ff)_([\w-]{4})[\w-]{8,}/g, "$1_$2…")

/** Joins the pieces to lines of at most `width` characters. A longer piece gets a line of its own. */
const fill = (pieces: ReadonlyArray<string>, width: number): ReadonlyArray<string> => {
  const lines = [""]
  for (const piece of pieces) {
    const line = `${lines.at(-1)}${piece}`
    if (line.trimEnd().length <= width || line === piece) lines[lines.length - 1] = line
    else lines.push(piece)
  }
  return lines.map((line) => line.trimEnd())
}

/** Breaks a text into lines, after spaces and commas. */
const wrap = (text: string): ReadonlyArray<string> => fill(text.split(/(?<=[ ,])/), WIDTH - INDENT.length - 1)

export const lines = (lines: ReadonlyArray<string>): void => print(lines.map(shortenTokens))

const print = (lines: ReadonlyArray<string>): void =>
  console.log(lines.map((line) => INDENT + line).join("\n"))

export const title = (text: string): void => console.log(`\n${styled("bold", text)}`)

export const prose = (text: string): void => print(wrap(text))

/** Prints what a step has verified. */
export const verified = (text: string): void => print(wrap(text).map((line) => styled("green", line)))

/** Prints the head of a step: which of how many it is, and how long the demo has taken so far. */
export const step = (number: number, of: number, what: string, why: string): void => {
  const elapsed = styled("dim", `(${Math.round(process.uptime())} s)`)
  console.log(
    `\n${styled("cyan", `${String(number).padStart(2)} of ${of}`)} ${styled("bold", what)} ${elapsed}`,
  )
  print(wrap(why).map((line) => styled("dim", line)))
}

/** Prints a shell command. A long one continues on further lines. */
export const command = (words: ReadonlyArray<string>): void => {
  const lines = fill(
    words.map((word) => `${shortenTokens(word)} `),
    WIDTH - INDENT.length - 8,
  )
  print([`$ ${lines.join(` \\\n${INDENT}    `)}`])
}

/** JSON with line breaks between its members only, so that a quoted shell argument may contain it. */
export const json = (value: object): string =>
  fill(shortenTokens(JSON.stringify(value)).split(/(?<=["}\]\d],)(?=")/), WIDTH - INDENT.length - 18).join(
    `\n${INDENT}            `,
  )

/** Prints an answer: its status, its time, and its body broken into lines. */
export const answer = (status: string, good: boolean, millis: number, body: string): void => {
  print([`${styled(good ? "green" : "yellow", status)}${styled("dim", `, ${millis.toFixed(0)} ms`)}`])
  print(
    wrap(shortenTokens(body)).map(
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
