import { Effect } from "effect"
import { AnswerGone, type Overloaded, type StorageFailed } from "../../domain/Failure.ts"
import type { RunId } from "../../domain/Ids.ts"
import { isEnd, type StreamEvent, type StreamGap } from "../../domain/Stream.ts"
import { yieldToEventLoop } from "./YieldToEventLoop.ts"
import { BYTES_PER_CHAR, FREE_CHARS, RequestMemory } from "../memory/MemoryBudget.ts"
import { type Journal, runScope } from "./Journal.ts"

/** Calls `visit` with each event of a run so far, in order, until it returns false. */
export const forEachRunEvent = (
  journal: typeof Journal.Service,
  run: RunId,
  visit: (event: StreamEvent | StreamGap) => boolean,
): Effect.Effect<void, StorageFailed> =>
  Effect.gen(function* () {
    for (let after = 0; ; ) {
      const events = yield* journal.read(runScope(run), after)
      const last = events.at(-1)
      if (last === undefined) return
      after = last.seq
      for (const event of events) if (!visit(event)) return
      if (isEnd(last)) return
      // A run may have said megabytes: other work gets its turn.
      yield* yieldToEventLoop
    }
  })

/**
 * Reads all messages of a run so far, parsed. Fails with `AnswerGone` if some are no longer kept, and with `Overloaded` if
 * there is no memory for them, which they have until the request is answered.
 */
export const readRunMessages = (
  journal: typeof Journal.Service,
  run: RunId,
): Effect.Effect<ReadonlyArray<unknown>, AnswerGone | Overloaded | StorageFailed> =>
  Effect.gen(function* () {
    const bytes = yield* journal.bytesAfter(run, 0)
    if (bytes > FREE_CHARS) yield* (yield* RequestMemory).takeForAnswer(bytes * BYTES_PER_CHAR)
    const messages: Array<unknown> = []
    let isGone = false
    yield* forEachRunEvent(journal, run, (event) => {
      if (event.kind === "message") messages.push(JSON.parse(event.body))
      isGone = event.kind === "resync"
      return !isGone
    })
    if (isGone) return yield* new AnswerGone()
    return messages
  })
