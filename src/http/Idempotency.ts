import { Effect, type Schema } from "effect"
import type { TokenId } from "../domain/Ids.ts"
import type { Claim } from "../domain/Run.ts"
import { type Answered, type Asked, Idempotency, type Keyed } from "../services/Idempotency.ts"
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
