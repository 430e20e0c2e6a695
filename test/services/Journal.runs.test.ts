import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import type { RunId } from "../../src/domain/Ids.ts"
import { Journal } from "../../src/services/journal/Journal.ts"
import { Ledger } from "../../src/services/journal/Ledger.ts"
import { readRunMessages } from "../../src/services/journal/RunMessages.ts"
import * as Mock from "../../src/testing.ts"
import { streamOf } from "../support/Followed.ts"

const RUN = "01JQ3T4Z8ZJ0V5N6W7X8Y9ZABC" as RunId

/** A ledger that gives no more than one row at a time, as a database does with large ones. */
const oneByOne = (memory: Mock.LedgerMemory) =>
  Layer.effect(
    Ledger,
    Effect.map(Ledger, (ledger) => ({
      ...ledger,
      streams: {
        ...ledger.streams,
        read: (run: RunId, after: number) =>
          Effect.map(ledger.streams.read(run, after), (there) => there.slice(0, 1)),
      },
    })),
  ).pipe(Layer.provide(Mock.ledger(memory)))

describe("all that a run said", () => {
  it.effect("is streamed in its order, and leaves everybody else their turn", () => {
    const memory = new Mock.LedgerMemory()
    for (let n = 0; n < 50; n++) memory.streams.add(RUN, "message", JSON.stringify("x".repeat(70_000)))
    memory.streams.add(RUN, "result", "{}")
    return Effect.gen(function* () {
      let turns = 0
      const counting = setInterval(() => (turns += 1))
      const events = yield* Effect.ensuring(
        streamOf(RUN),
        Effect.sync(() => clearInterval(counting)),
      )
      expect(events.map(({ seq }) => seq)).toEqual(Array.from({ length: 51 }, (_, n) => n + 1))
      expect(turns).toBeGreaterThanOrEqual(10)
    }).pipe(Effect.provide(Journal.layer.pipe(Layer.provide(oneByOne(memory)))))
  })

  it.effect("is there in its order, and leaves everybody else their turn while it is read", () => {
    const memory = new Mock.LedgerMemory()
    const said = Array.from({ length: 100 }, (_, n) => ({ n }))
    for (const message of said) memory.streams.add(RUN, "message", JSON.stringify(message))
    return Effect.gen(function* () {
      let turns = 0
      const counting = setInterval(() => (turns += 1))
      const messages = yield* Effect.ensuring(
        Effect.flatMap(Journal, (journal) => readRunMessages(journal, RUN)),
        Effect.sync(() => clearInterval(counting)),
      )
      expect(messages).toEqual(said)
      expect(turns).toBeGreaterThanOrEqual(10)
    }).pipe(Effect.provide(Journal.layer.pipe(Layer.provide(oneByOne(memory)))))
  })
})
