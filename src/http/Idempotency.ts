import { Effect, Schema } from "effect"
import { AnswerGone } from "../domain/Failure.ts"
import { RunId, type TokenId } from "../domain/Ids.ts"
import type { Origin } from "../domain/Origin.ts"
import { App } from "../domain/Viewer.ts"
import {
  Idempotency,
  type IdempotentAnswer,
  type KeyOfRequest,
  type RequestFields,
} from "../services/runs/Idempotency.ts"
import { Runs } from "../services/runs/Runs.ts"
import type { IdempotencyHeaders } from "./groups/Idempotency.ts"
import { note, setHeaders } from "./RequestContext.ts"

/** Returns the request's key, if it has one. The route has its path: the turns of each session are keyed by themselves. */
export const keyOf = (
  headers: IdempotencyHeaders,
  owner: TokenId,
  route: `POST /${string}`,
): KeyOfRequest | undefined => {
  const key = headers["idempotency-key"]
  return key === undefined ? undefined : { owner, route, key }
}

/** Returns the answer, and marks a replayed one in the response and in the log. */
export const answerOf = <A>({ answer, replayed }: IdempotentAnswer<A>): Effect.Effect<A> =>
  replayed
    ? Effect.zipRight(note("replayed", "true"), setHeaders({ "idempotent-replayed": "true" })).pipe(
        Effect.as(answer),
      )
    : Effect.succeed(answer)

/** A request of an app. */
interface AppRequest {
  readonly headers: IdempotencyHeaders
  readonly owner: TokenId
  readonly route: `POST /${string}`
  readonly fields: RequestFields
  readonly origin: Origin
}

/** Does the work of a request, or answers it as it was answered before: see {@link Idempotency}. */
export const makeOnce = Effect.map(
  Idempotency,
  (idempotency) =>
    <A, I, E, R>(
      { headers, owner, route, fields, origin }: AppRequest,
      answer: Schema.Schema<A, I>,
      work: (origin: Origin) => Effect.Effect<A, E, R>,
    ) =>
      Effect.flatMap(
        idempotency.once({ key: keyOf(headers, owner, route), fields, origin }, answer, work),
        answerOf,
      ),
)

/** The part of a run's answer that is stored under its key. The rest is in the run's stream. */
const StoredRun = Schema.Struct({ run_id: RunId })

/** Accepts a run once, or finds the run that an equal request was accepted as: one of `accepted` and `replayed`. */
export const makeAcceptOnce = Effect.gen(function* () {
  const once = yield* makeOnce
  const runs = yield* Runs
  return <A extends { readonly id: RunId }, E, R>(
    request: AppRequest,
    accept: (origin: Origin) => Effect.Effect<A, E, R>,
  ) =>
    Effect.gen(function* () {
      let accepted: A | undefined
      const { run_id } = yield* once(request, StoredRun, (origin) =>
        Effect.map(accept(origin), (run) => {
          accepted = run
          return { run_id: run.id }
        }),
      )
      yield* note("run_id", run_id)
      yield* setHeaders({ "x-run-id": run_id })
      if (accepted !== undefined) return { accepted, replayed: undefined }
      const replayed = yield* runs
        .get(run_id, App({ tokenId: request.owner }))
        .pipe(Effect.catchTag("RunNotFound", () => new AnswerGone()))
      return { accepted, replayed }
    })
})
