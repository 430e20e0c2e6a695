import { Clock, Effect, Exit, Scope } from "effect"
import {
  SessionClosed,
  type SessionNotFound,
  StorageFailed,
  type TurnFailure,
  type Unauthorized,
} from "../../domain/Failure.ts"
import type { RunId, TokenId } from "../../domain/Ids.ts"
import type { KeptReport } from "../../domain/Outcome.ts"
import type { Claim } from "../../domain/Run.ts"
import type { SessionRecord, TurnRequest } from "../../domain/Session.ts"
import type { Origin } from "../../domain/Token.ts"
import { EventLog } from "../EventLog.ts"
import { Files } from "../Files.ts"
import { Ids } from "../Ids.ts"
import { Ledger } from "../Ledger.ts"
import { LiveRuns } from "../LiveRuns.ts"
import type { Lanes } from "./Lanes.ts"
import type { TurnReport } from "./Report.ts"
import { makeTurnWork } from "./TurnWork.ts"

/** Why the ledger takes no turn. */
type TurnRefusal = SessionNotFound | SessionClosed | Unauthorized | StorageFailed

/** What a turn comes to that is cancelled while it waits. */
const UNSTARTED: KeptReport = {
  durationMs: 0,
  stopReason: "cancelled",
  responseChars: 0,
  usage: null,
  costUsd: null,
}

/** How turns are accepted: in the order of their indexes, each holding what it needs until its own end. */
export const makeTurns = (lanes: Lanes) =>
  Effect.gen(function* () {
    const files = yield* Files
    const ids = yield* Ids
    const { runs } = yield* Ledger
    const live = yield* LiveRuns
    const log = yield* EventLog
    const work = yield* makeTurnWork

    /** The report, with what the agent said in the turn. */
    const withEvents = (id: RunId, answer: Effect.Effect<KeptReport, TurnFailure>) =>
      Effect.gen(function* () {
        const report = yield* answer
        const events = yield* Effect.catchTag(
          log.messages(id),
          "AnswerGone",
          () => new StorageFailed({ during: "reading what the agent said", cause: "it is gone" }),
        )
        return { ...report, events: events as TurnReport["events"] }
      })

    return Effect.fn("SessionPool.turn")(function* (
      session: SessionRecord,
      request: TurnRequest,
      owner: TokenId,
      origin: Origin,
      claim?: Claim,
    ) {
      yield* live.accepting
      if (session.status === "closed") return yield* new SessionClosed()
      // What the turn holds, it holds until its own end, which is not its caller's.
      const held = yield* Scope.make()
      let accepted = false
      return yield* Effect.gen(function* () {
        const attached = yield* files.hold(request.files, owner)
        const lane = yield* lanes.of(session.id)
        return yield* lane.alone(
          Effect.gen(function* () {
            const { turn, place } = yield* lane.enter
            const runId = yield* ids.run
            const opened = {
              id: runId,
              tokenId: owner,
              promptChars: request.prompt.length,
              origin,
              at: yield* Clock.currentTimeMillis,
              claim,
            }
            const { recorded, answer, cancel } = yield* live
              .begin<KeptReport, TurnFailure, number, TurnRefusal>({
                id: runId,
                owner,
                record: runs.openTurn(opened, session.id),
                session: session.id,
                slot: place.slot,
                cancelled: turn.cancelled,
                work: (startedAt, index) =>
                  work({ id: runId, session, index, request, files: attached, turn }, startedAt),
                unstarted: UNSTARTED,
                leave: Scope.close(held, Exit.void),
              })
              .pipe(
                Effect.tap(() =>
                  Effect.sync(() => {
                    accepted = true
                  }),
                ),
                Effect.uninterruptible,
              )
            return { id: runId, index: recorded, answer: withEvents(runId, answer), cancel }
          }),
        )
      }).pipe(
        Scope.extend(held),
        Effect.onExit((exit) => (accepted ? Effect.void : Scope.close(held, exit))),
      )
    })
  })
