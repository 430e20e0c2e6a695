import { Option } from "effect"
import { isWithin } from "./JsonScan.ts"

/**
 * Returns the content of a text that is one code fence, with white space around it at most. A fence opens with three or
 * more backticks or tildes and an optional language, and closes with as many.
 */
const insideFence = (text: string): Option.Option<string> => {
  const whole = text.trim()
  const mark = whole[0]
  if (mark !== "`" && mark !== "~") return Option.none()
  let width = 0
  while (whole[width] === mark) width++
  const firstBreak = whole.indexOf("\n")
  if (width < 3 || firstBreak < 0 || whole.slice(width, firstBreak).includes(mark)) return Option.none()
  const closing = mark.repeat(width)
  const lastBreak = whole.lastIndexOf("\n")
  return lastBreak > firstBreak && whole.slice(lastBreak + 1).trim() === closing
    ? Option.some(whole.slice(firstBreak + 1, lastBreak))
    : Option.none()
}

/** A deeper value may overflow the stack when it is written as JSON, and one with more values holds up everything else. */
const LIMITS = { levels: 1000, values: 1_000_000 }

const parseJson = (text: string): Option.Option<unknown> =>
  isWithin(text, LIMITS) ? Option.liftThrowable(JSON.parse as (text: string) => unknown)(text) : Option.none()

/**
 * Returns the `result` for an agent's final text: the value if the text, or the content of the one fence that it consists
 * of, is JSON; else the unchanged text.
 */
export const resultOf = (text: string): unknown =>
  Option.getOrElse(parseJson(Option.getOrElse(insideFence(text), () => text)), () => text)
