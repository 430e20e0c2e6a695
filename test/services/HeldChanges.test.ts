import { describe, expect, it } from "@effect/vitest"
import { Effect, Logger, TestClock } from "effect"
import { StorageFailed } from "../../src/domain/Failure.ts"
import { holdChanges } from "../../src/services/journal/HeldChanges.ts"
import { Ledger } from "../../src/services/journal/Ledger.ts"
import { ledger } from "../../src/testing.ts"
import { runEnd } from "../support/LedgerRuns.ts"
import { done, result, runId } from "../support/Ledgers.ts"

describe("a change that is held", () => {
  it.effect("is tried again also after an attempt that broke in a way that nobody foresaw", () =>
    Effect.gen(function* () {
      const whole = yield* Ledger
      const attempts = [
        new StorageFailed({ during: "a test", cause: null }),
        Effect.die("a bug"),
        Effect.void,
      ]
      const written: Array<string> = []
      const held = yield* holdChanges({
        ...whole,
        runs: {
          ...whole.runs,
          end: (run) => Effect.tap(attempts.shift() ?? Effect.void, () => void written.push(run)),
        },
      })
      yield* held.runs.end(runId(11), runEnd(done, 3000, result))
      yield* TestClock.adjust("3 seconds")
      expect(written).toEqual([runId(11)])
      yield* held.writable
    }).pipe(Effect.scoped, Effect.provide([ledger(), Logger.remove(Logger.defaultLogger)])),
  )
})
