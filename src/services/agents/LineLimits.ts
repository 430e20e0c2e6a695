import { Effect, Stream } from "effect"
import { type JsonLimits, JsonScan } from "../../domain/JsonScan.ts"

/**
 * How complex a line of an agent may be: far more than any agent needs, and parsed in a moment. An agent does what a prompt
 * makes it do, so its lines are not trusted.
 */
export const LINE_LIMITS: JsonLimits = { levels: 10_000, values: 1_000_000 }

export const TOO_COMPLEX = `it printed a line of more than ${LINE_LIMITS.levels} levels or ${LINE_LIMITS.values} values`

const LINE_FEED = 10
/** Lines up to this length need no memory from the budget. */
const FREE_BYTES = 64 * 1024

/**
 * Calls `hold` with the length of the line that is not complete, in bytes, before more of it is read; 0 for a line of usual
 * length. A failure of `hold` ends the output. An agent says what a prompt makes it say, so it may be tens of megabytes.
 */
export const holdLines = <E, R, F>(
  output: Stream.Stream<Uint8Array, E, R>,
  hold: (bytes: number) => Effect.Effect<void, F>,
): Stream.Stream<Uint8Array, E | F, R> =>
  Stream.suspend(() => {
    let length = 0
    return Stream.tap(output, (chunk) => {
      const end = chunk.lastIndexOf(LINE_FEED)
      length = end < 0 ? length + chunk.length : chunk.length - end - 1
      return hold(length > FREE_BYTES ? length : 0)
    })
  })

/** Ends an output before a line that would take too long to parse. Calls `onEnd` then. */
export const endAtComplexLine = <E, R>(
  output: Stream.Stream<Uint8Array, E, R>,
  onEnd: () => void = () => {},
): Stream.Stream<Uint8Array, E, R> =>
  Stream.suspend(() => {
    const scan = new JsonScan(LINE_LIMITS, { lines: true })
    return Stream.takeWhile(output, (bytes) => {
      const goesOn = scan.add(bytes)
      if (!goesOn) onEnd()
      return goesOn
    })
  })
