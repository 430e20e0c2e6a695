import { Effect } from "effect"
import { AnswerGone, type StorageFailed } from "../../domain/Failure.ts"
import type { RunId } from "../../domain/Ids.ts"
import { yieldToEventLoop } from "./YieldToEventLoop.ts"
import { isEnd } from "../../domain/Stream.ts"
import { type Journal, runScope } from "./Journal.ts"

/** Reads all messages of a run so far, parsed. Fails with `AnswerGone` if some are no longer kept. */
export const readRunMessages = (
  journal: typeof Journal.Service,
  run: RunId,
): Effect.Effect<ReadonlyArray<unknown>, AnswerGone | StorageFailed> =>
  Effect.gen(function* () {
    const messages: Array<unknown> = []
    for (let after = 0; ; ) {
      const events = yield* journal.read(runScope(run), after)
      const last = events.at(-1)
      if (last === undefined) return messages
      after = last.seq
      for (const event of events) {
        if (event.kind === "resync") return yield* new AnswerGone()
        if (event.kind === "message") messages.push(JSON.parse(event.body))
      }
      if (isEnd(last)) return messages
      // A run may have said megabytes: other work gets its turn.
      yield* yieldToEventLoop
    }
  })
