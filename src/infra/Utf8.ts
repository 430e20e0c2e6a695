import { Either } from "effect"

/**
 * Decodes a text file of a person's: UTF-8, with or without a byte order mark, which is taken off. The left side says what
 * else the bytes are, and what to do, to follow the file's name in a sentence.
 */
export const decodeUtf8 = (bytes: Uint8Array): Either.Either<string, string> => {
  const found = BYTE_ORDER_MARKS.find(([mark]) => mark.every((byte, at) => bytes[at] === byte))
  if (found !== undefined) return Either.left(`is ${found[1]}: ${REMEDY}`)
  if (bytes.includes(0)) return Either.left(`has NUL bytes, as UTF-16 and binary files do: ${REMEDY}`)
  return Either.mapLeft(tryDecode(bytes), () => `is not UTF-8 in line ${firstBadLine(bytes)}: ${REMEDY}`)
}

const REMEDY = "save it as UTF-8"

/** UTF-32 comes first: its mark begins with that of UTF-16. */
const BYTE_ORDER_MARKS = [
  [[0xff, 0xfe, 0, 0], "UTF-32"],
  [[0, 0, 0xfe, 0xff], "UTF-32"],
  [[0xff, 0xfe], "UTF-16"],
  [[0xfe, 0xff], "UTF-16"],
] as const

const tryDecode = (bytes: Uint8Array) =>
  Either.try(() => new TextDecoder("utf-8", { fatal: true }).decode(bytes))

const firstBadLine = (bytes: Uint8Array): number => {
  for (let line = 1, from = 0; ; line++) {
    const to = bytes.indexOf(LINE_FEED, from)
    // A line feed is never a part of another character, so each line can be decoded alone.
    if (to === -1 || Either.isLeft(tryDecode(bytes.subarray(from, to)))) return line
    from = to + 1
  }
}

const LINE_FEED = 10
