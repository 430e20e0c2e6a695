import { HttpBody, HttpLayerRouter, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { Effect, Option, Schema } from "effect"
import { RequestId } from "../../domain/Ids.ts"
import { Admission } from "../../services/access/Admission.ts"
import type { Client } from "../../services/access/ClientAddress.ts"
import { Ids } from "../../services/access/Ids.ts"
import { MemoryBudget, RequestMemory } from "../../services/memory/MemoryBudget.ts"
import { monotonicMillis } from "../../services/time/Monotonic.ts"
import { RequestBody, withJsonBody } from "../RequestBody.ts"
import { RouteNotFound } from "../HttpFailure.ts"
import { pathOf, RequestFacts, requestIdOf } from "../RequestContext.ts"
import { isExactPath, parseTarget } from "../RequestTarget.ts"
import { checkAccept } from "./Accept.ts"
import { answerPreflight, isPreflight, withCors } from "./Cors.ts"
import { answerProblems } from "./ProblemResponses.ts"

type Request = HttpServerRequest.HttpServerRequest
type Response = HttpServerResponse.HttpServerResponse

/**
 * The steps of every request, also of one without a route, in this order: find the client's address and the request's
 * id; write one log line; turn failures into problems; check the address, the web page and the host; check that the path is
 * in its only spelling; answer preflights; negotiate the content type; bound the body.
 */
export const Edge = HttpLayerRouter.middleware(
  Effect.gen(function* () {
    const admission = yield* Admission
    const ids = yield* Ids
    const body = yield* RequestBody
    const budget = yield* MemoryBudget

    return (app) =>
      Effect.gen(function* () {
        const original = yield* HttpServerRequest.HttpServerRequest
        // A connection that was reset has no remote address any more, and no client that could get an answer.
        if (Option.isNone(original.remoteAddress)) return yield* Effect.interrupt
        const client = admission.clientOf({
          address: original.remoteAddress.value,
          forwardedFor: original.headers["x-forwarded-for"],
        })
        const request = yield* withClientAndId(original, client, ids)
        const site = admission.siteOf(original.remoteAddress.value, {
          host: request.headers["host"],
          origin: request.headers["origin"],
          forwardedHost: request.headers["x-forwarded-host"],
          forwardedProto: request.headers["x-forwarded-proto"],
        })
        const answer: Effect.Effect<Response, unknown> =
          site.crossOrigin !== undefined && isPreflight(request)
            ? answerPreflight(request)
            : Effect.zipRight(checkAccept(request), app)
        const memory = budget.open()
        const handled = admission
          .admitAddress(client, requestIdOf(request))
          .pipe(
            Effect.zipRight(admission.admitSite(site, client, requestIdOf(request))),
            Effect.zipRight(isExactPath(pathOf(request)) ? Effect.void : new RouteNotFound()),
            Effect.zipRight(answer),
            Effect.provideService(HttpServerRequest.HttpServerRequest, withJsonBody(request, body)),
            Effect.provideService(RequestMemory, memory),
            Effect.ensuring(memory.giveBack),
          )
        const response = yield* withLogLine(request, answerProblems(request)(handled)).pipe(
          Effect.annotateLogs("request_id", requestIdOf(request)),
        )
        if (response.status >= 400 && response.status !== 408) yield* body.drop(request)
        const readable = site.crossOrigin === undefined ? response : withCors(response, site.crossOrigin)
        return HttpServerResponse.setHeader(withCharset(readable), "x-request-id", requestIdOf(request))
      }) as unknown as typeof app
  }),
  { global: true },
)

/**
 * Names the charset of JSON and of plain text: some clients take a text without one for Latin-1. Problems have none: their
 * media type (RFC 9457) has no such parameter.
 */
const withCharset = (response: Response): Response => {
  const { body } = response
  return body._tag === "Uint8Array" && /^(application\/json|text\/plain)$/.test(body.contentType)
    ? HttpServerResponse.setBody(
        response,
        HttpBody.uint8Array(body.body, `${body.contentType}; charset=utf-8`),
      )
    : response
}

/**
 * The request with the address of the real client behind all proxies, with the path and the host that an absolute target
 * names, and with an id: the caller's `X-Request-Id` if it is valid, else a new one.
 */
const withClientAndId = (request: Request, client: Client, ids: typeof Ids.Service): Effect.Effect<Request> =>
  Effect.map(
    Schema.is(RequestId)(request.headers["x-request-id"])
      ? Effect.succeed(requestIdOf(request))
      : ids.request,
    (id) => {
      const { url, authority } = parseTarget(request.url)
      const host = authority === undefined ? {} : { host: authority }
      return request.modify({
        url,
        remoteAddress: client.address,
        headers: { ...request.headers, ...host, "x-request-id": id } as Request["headers"],
      })
    },
  )

/** Writes one log line for the request. The path has no query, and nothing in it that looks like a secret. */
const withLogLine = (request: Request, app: Effect.Effect<Response>): Effect.Effect<Response> =>
  Effect.gen(function* () {
    const facts = new Map<string, string>()
    const start = yield* monotonicMillis
    return yield* app.pipe(
      Effect.provideService(RequestFacts, facts),
      Effect.onExit((exit) =>
        Effect.flatMap(monotonicMillis, (now) =>
          Effect.logInfo("request").pipe(
            Effect.annotateLogs({
              method: request.method,
              path: redactPath(pathOf(request)),
              // 499: the client hung up before there was an answer.
              status: exit._tag === "Success" ? exit.value.status : 499,
              duration_ms: now - start,
              address: Option.getOrElse(request.remoteAddress, () => ""),
              ...Object.fromEntries(facts),
            }),
          ),
        ),
      ),
    )
  })

const PATH_MAX_CHARS = 200

const redactPath = (path: string): string =>
  path.slice(0, PATH_MAX_CHARS).replace(/\b(?:cf_|ff_|sk-)[\w-]+/g, "[secret]")
