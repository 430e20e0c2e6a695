import { HttpApi, HttpApiClient, HttpClient, type HttpClientResponse } from "@effect/platform"
import { Context, Effect, ParseResult } from "effect"
import { Api } from "../http/Api.ts"
import { AdminAuth, AppAuth, ReaderAuth } from "../http/groups/Auth.ts"
import { Answers } from "../http/groups/Wire.ts"
import { EVENT_STREAM } from "../http/sse/EventStream.ts"
import type { Derived } from "./Derived.ts"
import { type AnyError, ConnectionError, ForgeError, UnexpectedAnswerError } from "./Errors.ts"
import { type AnyRequest, deadlineSecs, withDeadline } from "./Deadlines.ts"
import { invalidRequest, issuesOf } from "./Problems.ts"
import { withRetries } from "./Retries.ts"
import type { CheckedSettings } from "./Settings.ts"
import { type AnswerHead, headOf, lostConnection, transportOf } from "./Transport.ts"

/** Derives a method for each route of the declaration, and for each route that streams a function that opens it. */

/** The answer of a stream, whose body is not read yet. With the status 204 the stream has ended. */
export interface OpenedStream {
  readonly response: HttpClientResponse.HttpClientResponse
  readonly head: AnswerHead
}

/** Opens the stream of a route: one request, without a retry. */
export type Open = (request: AnyRequest) => Effect.Effect<OpenedStream, AnyError>

const tokenFor = (middleware: ReadonlySet<unknown>, { token, adminToken }: CheckedSettings) => {
  if (middleware.has(AppAuth)) return token
  if (middleware.has(AdminAuth)) return adminToken
  return middleware.has(ReaderAuth) ? (token ?? adminToken) : undefined
}

/** Encodes each path parameter as one segment: the framework does not. Refuses what would be no segment: "", ".", "..". */
const segmentsOf = (path: Readonly<Record<string, string>>) => {
  const bad = Object.keys(path).filter((name) => /^\.{0,2}$/.test(path[name] ?? ""))
  if (bad.length > 0) return invalidRequest(bad.map((name) => ({ path: [name], message: "is no name" })))
  return Object.fromEntries(Object.entries(path).map(([name, value]) => [name, encodeURIComponent(value)]))
}

/** The request as the framework's method takes it: without undefined fields, and with a payload in any case. */
const prepare = ({ path, urlParams, headers, payload }: AnyRequest) =>
  Effect.gen(function* () {
    const segments = path === undefined ? undefined : segmentsOf(path)
    if (segments instanceof ForgeError) return yield* Effect.fail(segments)
    return {
      path: segments,
      urlParams: withoutUndefined(urlParams),
      headers: withoutUndefined(headers),
      payload: payload instanceof FormData ? payload : withoutUndefined(payload ?? {}),
      withResponse: true,
    }
  })

const withoutUndefined = (record: unknown = {}): unknown =>
  typeof record === "object" && record !== null
    ? Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined))
    : record

/** The client's error for a failed call. A `ParseError` here is of the request, which is checked before it is sent. */
const callError = (error: unknown): AnyError => {
  if (ParseResult.isParseError(error)) return invalidRequest(issuesOf(error))
  return error instanceof ForgeError
    ? (error as AnyError)
    : new ConnectionError("the request could not be sent", { retryable: false })
}

/** The client's error for an answer that could not be read. */
const readError = (error: { readonly _tag?: string }): AnyError => {
  if (error instanceof ForgeError) return error as AnyError
  if (error._tag === "ResponseError") return lostConnection(error as never)
  return new UnexpectedAnswerError("the answer is not what the route is declared to answer")
}

type Call = (
  request: unknown,
) => Effect.Effect<readonly [answer: unknown, HttpClientResponse.HttpClientResponse], unknown>

interface DerivedClient {
  readonly derived: Derived
  readonly open: (endpoint: string) => Open
}

export const derive = (
  settings: CheckedSettings,
): Effect.Effect<DerivedClient, never, HttpClient.HttpClient> =>
  Effect.gen(function* () {
    const client = yield* HttpClient.HttpClient
    const methods: Record<string, Record<string, unknown>> = {}
    const opens = new Map<string, Open>()

    HttpApi.reflect(Api, {
      onGroup: ({ group }) => {
        methods[group.identifier] = {}
      },
      onEndpoint: ({ group, endpoint, middleware, successes }) => {
        const callOf = (
          accept: string | undefined,
          transformResponse: (read: Effect.Effect<unknown, unknown>) => Effect.Effect<unknown, unknown>,
        ): Call =>
          Effect.runSync(
            HttpApiClient.endpoint(Api, {
              group: group.identifier as never,
              endpoint: endpoint.name as never,
              httpClient: transportOf(client, {
                baseUrl: settings.baseUrl,
                token: tokenFor(middleware, settings),
                accept,
                successes: new Set(successes.keys()),
              }),
              transformResponse,
            }) as never,
          )
        const answers = Context.get(endpoint.annotations, Answers)
        if (answers !== "events") {
          const call = callOf(undefined, Effect.mapError(readError as never))
          methods[group.identifier]![endpoint.name] = methodOf(endpoint, call, settings)
        }
        if (answers !== "json") {
          opens.set(endpoint.name, openerOf(callOf(EVENT_STREAM, () => Effect.void)))
        }
      },
    })
    return {
      derived: methods as never,
      open: (endpoint) => opens.get(endpoint) ?? (() => Effect.dieMessage(`${endpoint} does not stream`)),
    }
  })

/** Routes other than POST are safe or idempotent; a POST is idempotent with a key. */
const isRepeatable = (method: string, { headers }: AnyRequest): boolean =>
  method !== "POST" || headers?.["idempotency-key"] !== undefined

const methodOf =
  (endpoint: { readonly name: string; readonly method: string }, call: Call, settings: CheckedSettings) =>
  ({ withHead = false, ...request }: AnyRequest & { readonly withHead?: boolean } = {}) => {
    const once = Effect.flatMap(prepare(request), call).pipe(Effect.mapError(callError))
    return (isRepeatable(endpoint.method, request) ? withRetries(once) : once).pipe(
      withDeadline(deadlineSecs(endpoint.name, request, settings)),
      Effect.map(([answer, response]) => (withHead ? [answer, headOf(response)] : answer)),
    )
  }

const openerOf =
  (call: Call): Open =>
  (request) =>
    Effect.flatMap(prepare(request), call).pipe(
      Effect.mapError(callError),
      Effect.filterOrFail(
        ([, { status, headers }]) =>
          status === 204 || headers["content-type"]?.startsWith(EVENT_STREAM) === true,
        ([, { status }]) => new UnexpectedAnswerError("the answer is no stream of events", { status }),
      ),
      Effect.map(([, response]) => ({ response, head: headOf(response) })),
    )
