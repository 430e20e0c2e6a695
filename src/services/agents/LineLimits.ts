import { Stream } from "effect"
import { type JsonLimits, JsonScan } from "../../domain/JsonScan.ts"

/**
 * How complex a line of an agent may be: far more than any agent needs, and parsed in a moment. An agent does what a prompt
 * makes it do, so its lines are not trusted.
 */
export const LINE_LIMITS: JsonLimits = { levels: 10_000, values: 1_000_000 }

export const TOO_COMPLEX = `it printed a line of more than ${LINE_LIMITS.levels} levels or ${LINE_LIMITS.values} values`

/** Ends an output before a line that would take too long to parse. */
export const endAtComplexLine = <E, R>(
  output: Stream.Stream<Uint8Array, E, R>,
): Stream.Stream<Uint8Array, E, R> =>
  Stream.suspend(() => {
    const scan = new JsonScan(LINE_LIMITS, { lines: true })
    return Stream.takeWhile(output, (bytes) => scan.add(bytes))
  })
