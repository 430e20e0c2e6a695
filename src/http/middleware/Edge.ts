import { HttpLayerRouter, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { Clock, Effect, Option, Schema } from "effect"
import { RequestId } from "../../domain/Ids.ts"
import { Admission } from "../../services/access/Admission.ts"
import type { Client } from "../../services/access/ClientAddress.ts"
import { Ids } from "../../services/access/Ids.ts"
import { RequestBody, withJsonBody } from "../RequestBody.ts"
import { pathOf, RequestFacts, requestIdOf } from "../RequestContext.ts"
import { checkAccept } from "./Accept.ts"
import { answerProblems } from "./ProblemResponses.ts"

type Request = HttpServerRequest.HttpServerRequest
type Response = HttpServerResponse.HttpServerResponse

/**
 * What happens to every request, in this order, whatever its route, also if it has none: its client's address, and
 * an id; a line in the log; a problem for whatever goes wrong; the address check; content negotiation; a bounded body.
 */
export const Edge = HttpLayerRouter.middleware(
  Effect.gen(function* () {
    const admission = yield* Admission
    const ids = yield* Ids
    const body = yield* RequestBody

    return (app) =>
      Effect.gen(function* () {
        const received = yield* HttpServerRequest.HttpServerRequest
        // A connection that was reset no longer knows whose it was, and nobody is left to be answered, or refused.
        if (Option.isNone(received.remoteAddress)) return yield* Effect.interrupt
        const client = admission.clientOf({
          address: received.remoteAddress.value,
          forwardedFor: received.headers["x-forwarded-for"],
        })
        const request = yield* identified(received, client, ids)
        const admitted = admission
          .admitAddress(client, requestIdOf(request))
          .pipe(
            Effect.zipRight(checkAccept(request)),
            Effect.zipRight(app),
            Effect.provideService(HttpServerRequest.HttpServerRequest, withJsonBody(request, body)),
          )
        const response = yield* logged(request, answerProblems(request)(admitted)).pipe(
          Effect.annotateLogs("request_id", requestIdOf(request)),
        )
        if (response.status >= 400 && response.status !== 408) yield* body.drop(request)
        return HttpServerResponse.setHeader(response, "x-request-id", requestIdOf(request))
      }) as unknown as typeof app
  }),
  { global: true },
)

/**
 * The request as its client's, whatever proxies it came through, and under its caller's id if that can be one, else
 * under a fresh one.
 */
const identified = (request: Request, client: Client, ids: typeof Ids.Service): Effect.Effect<Request> =>
  Effect.map(
    Schema.is(RequestId)(request.headers["x-request-id"])
      ? Effect.succeed(requestIdOf(request))
      : ids.request,
    (id) =>
      request.modify({
        remoteAddress: client.address,
        headers: { ...request.headers, "x-request-id": id } as Request["headers"],
      }),
  )

/** One line a request. The path goes without its query, and without anything that looks like a secret. */
const logged = (request: Request, app: Effect.Effect<Response>): Effect.Effect<Response> =>
  Effect.gen(function* () {
    const facts = new Map<string, string>()
    const startedAt = yield* Clock.currentTimeMillis
    return yield* app.pipe(
      Effect.provideService(RequestFacts, facts),
      Effect.onExit((exit) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) =>
          Effect.logInfo("request").pipe(
            Effect.annotateLogs({
              method: request.method,
              path: loggable(pathOf(request)),
              // 499: the client hung up before there was an answer.
              status: exit._tag === "Success" ? exit.value.status : 499,
              duration_ms: now - startedAt,
              address: Option.getOrElse(request.remoteAddress, () => ""),
              ...Object.fromEntries(facts),
            }),
          ),
        ),
      ),
    )
  })

const PATH_MAX_CHARS = 200

const loggable = (path: string): string =>
  path.slice(0, PATH_MAX_CHARS).replace(/\b(?:cf_|ff_|sk-)[\w-]+/g, "[secret]")
