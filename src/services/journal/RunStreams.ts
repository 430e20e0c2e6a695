import { Effect, Option } from "effect"
import { AnswerGone, type StorageFailed } from "../../domain/Failure.ts"
import type { RunId } from "../../domain/Ids.ts"
import { isEnd, type StreamEnd, type StreamEvent, type StreamGap } from "../../domain/Stream.ts"
import type { Consumer } from "./Consumer.ts"
import type { RunRecords, StreamRecords } from "./Ledger.ts"
import { makeStreamFollowers } from "./StreamFollowers.ts"

/** The streams of single runs, as {@link Journal} offers them. `flush` stores the messages of a run that wait. */
export const makeRunStreams = (
  ledger: { readonly runs: RunRecords; readonly streams: StreamRecords },
  flush: (run: RunId) => Effect.Effect<void, StorageFailed>,
) => {
  const { runs, streams } = ledger

  const read = (run: RunId, after: number) =>
    Effect.gen(function* () {
      const events: ReadonlyArray<StreamEvent | StreamGap> = yield* streams.read(run, after)
      // Asked afterwards: what is removed while it is read is told in any case.
      const gap = yield* streams.gap(run, after)
      return Option.match(gap, {
        onNone: () => events,
        onSome: (gap) => [gap, ...events.filter(({ seq }) => seq > gap.seq)],
      })
    })

  const followers = makeStreamFollowers<RunId, StreamEvent | StreamGap>({
    read,
    hasEnded: (run) =>
      Effect.map(
        runs.find(run),
        Option.match({ onNone: () => true, onSome: ({ finishedAt }) => finishedAt !== null }),
      ),
    isLast: isEnd,
    charsOf: (event) => (event.kind === "resync" ? 0 : event.body.length),
  })

  return {
    read: (run: RunId, after: number) => Effect.zipRight(flush(run), read(run, after)),

    follow: <E>(run: RunId, after: number, consumer: Consumer<StreamEvent | StreamGap, E>) =>
      followers.follow(run, after, consumer, flush(run)),

    bytesAfter: streams.bytesAfter,

    outcome: (run: RunId): Effect.Effect<StreamEnd, AnswerGone | StorageFailed> =>
      Effect.zipRight(
        followers.ended(run),
        Effect.flatMap(
          streams.end(run),
          Effect.mapError(() => new AnswerGone()),
        ),
      ),

    isFollowed: followers.isFollowed,
    wake: followers.wake,
  }
}
