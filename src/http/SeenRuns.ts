import { Effect, Option, Schema } from "effect"
import { RunNotFound } from "../domain/Failure.ts"
import { RunId, SessionId, type TokenId } from "../domain/Ids.ts"
import type { RunRecord } from "../domain/Run.ts"
import { Ledger } from "../services/journal/Ledger.ts"
import { note } from "./RequestContext.ts"

/** Runs as they are named in a path, by one who may see his own; undefined: everybody's. What he may not see is not there. */
export const makeSeenRuns = Effect.gen(function* () {
  const { runs, sessions } = yield* Ledger
  return {
    /** What no run could be called is no run's name. */
    run: (id: string, owner: TokenId | undefined) =>
      Effect.gen(function* () {
        if (!Schema.is(RunId)(id)) return yield* new RunNotFound()
        return yield* seenBy(owner, yield* runs.find(id))
      }),

    /** A session that was deleted has no turns any more. */
    turn: (session: string, n: string, owner: TokenId | undefined) =>
      Effect.gen(function* () {
        if (!Schema.is(SessionId)(session) || !/^[1-9]\d{0,14}$/.test(n)) return yield* new RunNotFound()
        if (Option.isNone(yield* sessions.find(session))) return yield* new RunNotFound()
        return yield* seenBy(owner, yield* runs.findTurn(session, Number(n)))
      }),
  }
})

const seenBy = (owner: TokenId | undefined, found: Option.Option<RunRecord>) =>
  Option.filter(found, ({ tokenId }) => owner === undefined || tokenId === owner).pipe(
    Effect.mapError(() => new RunNotFound()),
    Effect.tap(({ id }) => note("run_id", id)),
  )
