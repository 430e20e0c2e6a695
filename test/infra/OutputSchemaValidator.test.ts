import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, TestClock } from "effect"
import { type ObservedThread, withinProcessorTime } from "../../src/infra/OutputSchemaValidator.ts"
import type { Verdict } from "../../src/infra/OutputSchemaVerdicts.ts"

/** A check of a schema whose thread has had so much processor time as the test says. */
const checking = Effect.gen(function* () {
  const state = { millis: 0 }
  const thread: ObservedThread = {
    cpuUsage: () => Promise.resolve({ user: state.millis * 1000, system: 0 }),
  }
  const verdict = yield* Deferred.make<Verdict>()
  const fiber = yield* Effect.fork(withinProcessorTime(thread, Deferred.await(verdict), 2000))
  /** Lets time pass, in which the thread gets that much of the processor. */
  const pass = (seconds: number, millis: number) =>
    Effect.gen(function* () {
      for (let n = 0; n < seconds; n++) {
        state.millis += millis / seconds
        // The thread says its time as a promise.
        yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
        yield* TestClock.adjust("1 second")
      }
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
    })
  return { verdict, fiber, pass, result: Fiber.poll(fiber) }
})

describe("the time to check a schema", () => {
  it.effect("is the processor's: a machine that is busy otherwise refuses no schema", () =>
    Effect.gen(function* () {
      const { verdict, fiber, pass, result } = yield* checking
      yield* pass(30, 100)
      expect((yield* result)._tag).toBe("None")
      yield* Deferred.succeed(verdict, { _tag: "Valid", native: true })
      expect(yield* Fiber.join(fiber)).toEqual({ _tag: "Valid", native: true })
    }),
  )

  it.effect("is over when the schema has used it up", () =>
    Effect.gen(function* () {
      const { fiber, pass } = yield* checking
      yield* pass(8, 4000)
      expect(yield* Fiber.join(fiber)).toMatchObject({
        _tag: "Invalid",
        issues: [{ message: "takes too long to check" }],
      })
    }),
  )

  it.effect("ends without a verdict when the thread gets no processor at all", () =>
    Effect.gen(function* () {
      const { fiber, pass } = yield* checking
      yield* pass(70, 100)
      expect(yield* Fiber.join(fiber)).toEqual({ _tag: "Unjudged" })
    }),
  )
})
