import { Writable } from "node:stream"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import * as Logging from "../../src/infra/Logging.ts"
import * as LogWriter from "../../src/infra/LogWriter.ts"

/** A destination that can fail or stand still, as stdout does: a failed write does not close it. */
const destination = () => {
  const written: Array<string> = []
  let code: string | undefined
  let isStill = false
  let waiting: (() => void) | undefined
  const stream = new Writable({
    write(chunk, _, done) {
      const write = () => {
        if (code === undefined) written.push(String(chunk))
        done(code === undefined ? null : Object.assign(new Error(code), { code }))
      }
      if (isStill) waiting = write
      else write()
    },
    // Node's own way for stdout and stderr.
    destroy(error, done) {
      done(error)
      ;(stream as unknown as { readonly _undestroy: () => void })._undestroy()
    },
  })
  return {
    stream,
    written,
    fail: (next: string | undefined) => (code = next),
    standStill: () => (isStill = true),
    goOn: () => {
      isStill = false
      waiting?.()
    },
  }
}

const turn = Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))

const say = (text: string) => Effect.zipRight(Effect.logInfo(text), turn)

describe("the writer of the log", () => {
  it.live("loses lines that cannot be written, says why, and writes again when it can", () =>
    Effect.gen(function* () {
      const { stream, written, fail } = destination()
      const log = LogWriter.make(stream)
      log.write("first")
      yield* turn
      expect(log.state()).toEqual({ failure: Option.none(), lostLines: 0 })
      fail("ENOSPC")
      log.write("second")
      yield* turn
      log.write("third")
      yield* turn
      expect([log.state(), log.takeLost()]).toEqual([{ failure: Option.some("ENOSPC"), lostLines: 2 }, 0])
      fail(undefined)
      log.write("fourth")
      yield* turn
      expect([log.state().failure, log.takeLost(), log.takeLost()]).toEqual([Option.none(), 2, 0])
      expect(written).toEqual(["first\n", "fourth\n"])
    }),
  )

  it.live("drops lines while their reader stands still, so that they do not fill the memory", () =>
    Effect.gen(function* () {
      const { stream, written, standStill, goOn } = destination()
      const log = LogWriter.make(stream, 100)
      standStill()
      for (let n = 0; n < 1000; n++) log.write("x".repeat(20))
      expect(stream.writableLength).toBeLessThan(150)
      expect(log.state().failure).toEqual(Option.some("its reader does not keep up"))
      goOn()
      yield* turn
      log.write("next")
      yield* turn
      expect([log.state().failure, log.takeLost()]).toEqual([Option.none(), 1001 - written.length])
      expect(written.at(-1)).toBe("next\n")
    }),
  )

  it.live("says in the log how many lines it lost", () => {
    const { stream, written, fail } = destination()
    return Effect.gen(function* () {
      fail("EPIPE")
      yield* say("one")
      yield* say("two")
      fail(undefined)
      yield* say("three")
      yield* say("four")
      expect(written.map((line) => JSON.parse(line))).toMatchObject([
        { level: "INFO", message: "three" },
        { level: "WARN", lines: 2, message: expect.stringContaining("lost") },
        { level: "INFO", message: "four" },
      ])
    }).pipe(Effect.provide(Logging.layer(LogWriter.make(stream), false)))
  })
})
