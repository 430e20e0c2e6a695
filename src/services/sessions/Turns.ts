import { Clock, Deferred, Effect, Exit, Scope } from "effect"
import {
  SessionClosed,
  type SessionNotFound,
  type StorageFailed,
  type TurnFailure,
  type Unauthorized,
} from "../../domain/Failure.ts"
import type { TokenId } from "../../domain/Ids.ts"
import type { SessionRecord, TurnRequest } from "../../domain/Session.ts"
import type { Origin } from "../../domain/Token.ts"
import { Files } from "../Files.ts"
import { Ids } from "../Ids.ts"
import { Ledger } from "../Ledger.ts"
import { LiveRuns } from "../LiveRuns.ts"
import type { Lanes } from "./Lanes.ts"
import type { TurnReport } from "./Report.ts"
import { makeTurnWork } from "./TurnWork.ts"

/** Why the ledger takes no turn. */
type TurnRefusal = SessionNotFound | SessionClosed | Unauthorized | StorageFailed

/** How turns are accepted: in the order of their indexes, each holding what it needs until its own end. */
export const makeTurns = (lanes: Lanes) =>
  Effect.gen(function* () {
    const files = yield* Files
    const ids = yield* Ids
    const { runs } = yield* Ledger
    const live = yield* LiveRuns
    const work = yield* makeTurnWork

    return Effect.fn("SessionPool.turn")(function* (
      session: SessionRecord,
      request: TurnRequest,
      owner: TokenId,
      origin: Origin,
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
            }
            const { recorded, answer } = yield* live
              .begin<TurnReport, TurnFailure, number, TurnRefusal>({
                id: runId,
                owner,
                record: runs.openTurn(opened, session.id),
                slot: Effect.raceFirst(place.slot, Deferred.await(turn.cancelled)),
                work: (startedAt, index) =>
                  work({ session, index, request, files: attached, turn }, startedAt),
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
            return { id: runId, index: recorded, answer }
          }),
        )
      }).pipe(
        Scope.extend(held),
        Effect.onExit((exit) => (accepted ? Effect.void : Scope.close(held, exit))),
      )
    })
  })
