import { Effect } from "effect"
import { addAcpMessage, NO_TEXT } from "../../domain/AnswerText.ts"
import type { StorageFailed } from "../../domain/Failure.ts"
import type { RunId } from "../../domain/Ids.ts"
import type { StreamEvent, StreamGap } from "../../domain/Stream.ts"
import type { Consumer } from "../../services/journal/Consumer.ts"
import type { Journal } from "../../services/journal/Journal.ts"
import { forEachRunEvent } from "../../services/journal/RunMessages.ts"
import type { Frame } from "../sse/EventStream.ts"
import type { FramesOf } from "./DeltaFrames.ts"

/** The text of a turn in its stream, which may begin anywhere: so the text is read from the turn's beginning. */

/**
 * Reads the text of a turn's answer. No more than the text is in memory: the messages may take ten times as much. Undefined
 * if some of them are gone.
 */
export const textOfRun = (
  journal: typeof Journal.Service,
  run: RunId,
): Effect.Effect<string | undefined, StorageFailed> =>
  Effect.gen(function* () {
    let written = NO_TEXT
    let isGone = false
    yield* forEachRunEvent(journal, run, (event) => {
      if (event.kind === "message") [written] = addAcpMessage(written, JSON.parse(event.body))
      isGone = event.kind === "resync"
      return !isGone
    })
    return isGone ? undefined : written.text
  })

/**
 * Makes the consumer of a turn's events that gives their frames to a reader. `text` is read when the turn's `result` comes,
 * after all other frames are given, and is for its frame.
 */
export const withTurnText = <E>(
  { take, ready }: Consumer<Frame, E>,
  text: Effect.Effect<string | undefined, StorageFailed>,
  framesOf: FramesOf,
  resultFrame: (result: StreamEvent, text: string | undefined) => Frame,
): Consumer<StreamEvent | StreamGap, StorageFailed | E> => {
  let result: StreamEvent | undefined
  const giveResult = (event: StreamEvent) =>
    Effect.gen(function* () {
      result = undefined
      if (!take([resultFrame(event, yield* text)])) yield* ready
    })
  return {
    take: (events) => {
      const last = events.at(-1)
      if (last?.kind !== "result") return take(events.flatMap(framesOf))
      result = last
      take(events.slice(0, -1).flatMap(framesOf))
      return false
    },
    ready: Effect.suspend(() => (result === undefined ? ready : Effect.zipRight(ready, giveResult(result)))),
  }
}
