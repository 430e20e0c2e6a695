import { HttpApiBuilder } from "@effect/platform"
import { Effect, Option, Schema } from "effect"
import { RunNotFound } from "../../domain/Failure.ts"
import { RunId, SessionId, type TokenId } from "../../domain/Ids.ts"
import type { RunRecord } from "../../domain/Run.ts"
import { Ledger } from "../../services/Ledger.ts"
import { Api } from "../Api.ts"
import { CurrentReader } from "../groups/Auth.ts"
import { note, orProblem } from "../RequestContext.ts"
import { makeRunAnswers } from "../RunAnswers.ts"

export const StreamsHandlers = HttpApiBuilder.group(Api, "streams", (handlers) =>
  Effect.gen(function* () {
    const { runs, sessions } = yield* Ledger
    const answers = yield* makeRunAnswers

    const findRun = (id: string) => (Schema.is(RunId)(id) ? runs.find(id) : Effect.succeedNone)

    /** A session that was deleted has no turns any more. */
    const findTurn = (session: string, n: string) =>
      Effect.gen(function* () {
        if (!Schema.is(SessionId)(session) || !/^[1-9]\d{0,14}$/.test(n)) return Option.none()
        if (Option.isNone(yield* sessions.find(session))) return Option.none()
        return yield* runs.findTurn(session, Number(n))
      })

    return handlers
      .handle("runEvents", ({ request, path, urlParams, headers }) =>
        Effect.gen(function* () {
          const { owner } = yield* CurrentReader
          const run = yield* seenBy(owner, yield* findRun(path.id))
          return answers.stream(request, owner, run, wantedOf(urlParams, headers))
        }).pipe(orProblem),
      )
      .handle("turnEvents", ({ request, path, urlParams, headers }) =>
        Effect.gen(function* () {
          const { owner } = yield* CurrentReader
          const run = yield* seenBy(owner, yield* findTurn(path.id, path.n))
          return answers.stream(request, owner, run, wantedOf(urlParams, headers))
        }).pipe(orProblem),
      )
  }),
)

/** What a reader may not see is not there. */
const seenBy = (owner: TokenId | undefined, found: Option.Option<RunRecord>) =>
  Option.filter(found, ({ tokenId }) => owner === undefined || tokenId === owner).pipe(
    Effect.mapError(() => new RunNotFound()),
    Effect.tap(({ id }) => note("run_id", id)),
  )

const wantedOf = (
  { after, include }: { readonly after?: string | undefined; readonly include?: "usage" | undefined },
  headers: { readonly "last-event-id"?: string | undefined },
) => ({ after: Number(headers["last-event-id"] ?? after ?? 0), usage: include === "usage" })
