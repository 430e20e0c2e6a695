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
import type { IdempotencyHeaders } from "./groups/IdempotencyHeaders.ts"
import { note, setHeaders } from "./RequestContext.ts"

/** Returns the request's key, if it has one. The route includes the session's id: each session has keys of its own. */
export const keyOf = (
  headers: IdempotencyHeaders,
  owner: TokenId,
  route: `POST /${string}`,
): KeyOfRequest | undefined => {
  const key = headers["idempotency-key"]
  return key === undefined ? undefined : { owner, route, key }
}

/** Returns the answer. If it is replayed, marks that in the response's headers and in the log line. */
export const markReplayed = <A>({ answer, replayed }: IdempotentAnswer<A>): Effect.Effect<A> =>
  replayed
    ? Effect.zipRight(note("replayed", "true"), setHeaders({ "idempotent-replayed": "true" })).pipe(
        Effect.as(answer),
      )
    : Effect.succeed(answer)

/** The parts of an app's request that idempotency needs. */
interface AppRequest {
  readonly headers: IdempotencyHeaders
  readonly owner: TokenId
  readonly route: `POST /${string}`
  readonly fields: RequestFields
  readonly origin: Origin
}

/** Makes the function that does a request's work once for each key, and replays its answer: see {@link Idempotency}. */
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
        markReplayed,
      ),
)

/** What is stored under the key of a run. The rest of the answer is in the run's stream. */
const StoredRun = Schema.Struct({ run_id: RunId })

/**
 * Makes the function that accepts a run once for each key. Returns the accepted run in `accepted`, or the run of the
 * earlier request in `replayed`. Fails with `AnswerGone` if that run is deleted.
 */
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
