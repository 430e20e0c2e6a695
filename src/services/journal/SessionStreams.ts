import { Effect, Option } from "effect"
import type { SessionId } from "../../domain/Ids.ts"
import { isClose, type SessionItem } from "../../domain/SessionStream.ts"
import type { SessionMessageRecords, SessionRecords } from "./Ledger.ts"
import { makeStreamFollowers } from "./StreamFollowers.ts"

/** The streams of single sessions, as {@link Journal} offers them. */
export const makeSessionStreams = (ledger: {
  readonly sessions: SessionRecords
  readonly sessionMessages: SessionMessageRecords
}) => {
  const { sessions, sessionMessages } = ledger

  const read = (session: SessionId, after: number) =>
    Effect.gen(function* () {
      const items: ReadonlyArray<SessionItem> = yield* sessionMessages.read(session, after)
      // Asked afterwards: what is removed while it is read is told in any case.
      const gap = Option.getOrUndefined(yield* sessionMessages.gap(session, after))
      if (gap === undefined) return items
      // The events among removed messages are still there. They come first, as the order says.
      const before = items.filter(({ seq }) => seq < gap.seq)
      return before.length > 0 ? before : [gap, ...items.filter(({ seq }) => seq > gap.seq)]
    })

  const { follow, wake } = makeStreamFollowers<SessionId, SessionItem>({
    read,
    hasEnded: (session) =>
      Effect.map(
        sessions.find(session),
        Option.match({ onNone: () => true, onSome: ({ status }) => status === "closed" }),
      ),
    isLast: isClose,
    charsOf: (item) => ("body" in item ? item.body.length : 0),
  })

  return { read, follow, wake }
}
