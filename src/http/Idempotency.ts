import { Effect, Schema } from "effect"
import { AnswerGone } from "../domain/Failure.ts"
import { RunId, type TokenId } from "../domain/Ids.ts"
import type { Claim } from "../domain/Run.ts"
import { type Answered, type Asked, Idempotency, type Keyed } from "../services/runs/Idempotency.ts"
import { Ledger } from "../services/journal/Ledger.ts"
import type { IdempotencyHeaders } from "./groups/Idempotency.ts"
import { note, setHeaders } from "./RequestContext.ts"

/** The request's key, if it has one. The route goes with it as it was asked for: a session's turns are its own. */
export const keyedBy = (
  headers: IdempotencyHeaders,
  owner: TokenId,
  route: `POST /${string}`,
): Keyed | undefined => {
  const key = headers["idempotency-key"]
  return key === undefined ? undefined : { owner, route, key }
}

/** The answer, with what HTTP says of one that was given before. */
export const answerOf = <A>({ answer, replayed }: Answered<A>): Effect.Effect<A> =>
  replayed
    ? Effect.zipRight(note("replayed", "true"), setHeaders({ "idempotent-replayed": "true" })).pipe(
        Effect.as(answer),
      )
    : Effect.succeed(answer)

/** Does what a request asks for, or answers as it was answered before: see {@link Idempotency}. */
export const makeOnce = Effect.map(
  Idempotency,
  (idempotency) =>
    <A, I, E, R>(
      request: {
        readonly headers: IdempotencyHeaders
        readonly owner: TokenId
        readonly route: `POST /${string}`
        readonly asked: Asked
      },
      answer: Schema.Schema<A, I>,
      work: (claim: Claim | undefined) => Effect.Effect<A, E, R>,
    ) => {
      const keyed = keyedBy(request.headers, request.owner, request.route)
      return Effect.flatMap(
        idempotency.once(keyed && { ...keyed, asked: request.asked }, answer, work),
        answerOf,
      )
    },
)

/** What is kept of a run: the rest of its answer is in its stream. */
const KeptRun = Schema.Struct({ run_id: RunId })

/** Begins a run once, or finds the one that was begun when the same was asked before: one of the two. */
export const makeBeginOnce = Effect.gen(function* () {
  const once = yield* makeOnce
  const { runs } = yield* Ledger
  return <A extends { readonly id: RunId }, E, R>(
    request: Parameters<typeof once>[0],
    begin: (claim: Claim | undefined) => Effect.Effect<A, E, R>,
  ) =>
    Effect.gen(function* () {
      let begun: A | undefined
      const { run_id } = yield* once(request, KeptRun, (claim) =>
        Effect.map(begin(claim), (run) => {
          begun = run
          return { run_id: run.id }
        }),
      )
      yield* note("run_id", run_id)
      yield* setHeaders({ "x-run-id": run_id })
      if (begun !== undefined) return { begun, again: undefined }
      const found = yield* runs.find(run_id)
      return { begun, again: yield* Effect.mapError(found, () => new AnswerGone()) }
    })
})
