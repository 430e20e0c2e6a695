import { Clock, Deferred, Effect } from "effect"
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
import { EventLog } from "../journal/EventLog.ts"
import { Files } from "../files/Files.ts"
import { Ids } from "../access/Ids.ts"
import { accepting } from "../runs/Accepting.ts"
import { Ledger } from "../journal/Ledger.ts"
import { LiveRuns } from "../runs/RunEngine.ts"
import type { SessionQueues } from "./SessionQueues.ts"
import type { TurnReport } from "./Report.ts"
import { makeTurnWork } from "../runs/executors/Turn.ts"

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
export const makeTurns = (queues: SessionQueues) =>
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
      const prepared = Effect.gen(function* () {
        yield* live.accepting
        if (session.status === "closed") return yield* new SessionClosed()
        const attached = yield* files.hold(request.files, owner)
        return { attached, queue: yield* queues.of(session.id) }
      })
      return yield* accepting(prepared, ({ attached, queue }, leave) =>
        queue.inOrder(
          Effect.gen(function* () {
            const { slot } = yield* queue.enter
            const cancelled = yield* Deferred.make<void>()
            const runId = yield* ids.run
            const at = yield* Clock.currentTimeMillis
            const opened = {
              id: runId,
              tokenId: owner,
              promptChars: request.prompt.length,
              origin,
              at,
              claim,
            }
            const { recorded, answer, cancel } = yield* live.begin<
              KeptReport,
              TurnFailure,
              number,
              TurnRefusal
            >({
              id: runId,
              owner,
              record: runs.openTurn(opened, session.id),
              session: session.id,
              slot,
              cancelled,
              work: (startedAt, index) =>
                work({ id: runId, session, index, request, files: attached, cancelled }, startedAt),
              unstarted: UNSTARTED,
              leave,
            })
            return { id: runId, index: recorded, answer: withEvents(runId, answer), cancel }
          }),
        ),
      )
    })
  })
