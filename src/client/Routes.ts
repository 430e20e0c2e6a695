import { HttpApi, HttpApiClient, HttpClient, type HttpClientResponse } from "@effect/platform"
import { Context, Effect, ParseResult } from "effect"
import { Api } from "../http/Api.ts"
import { AdminAuth, AppAuth, ReaderAuth } from "../http/groups/Auth.ts"
import { Answers } from "../http/groups/Wire.ts"
import { EVENT_STREAM } from "../http/sse/EventStream.ts"
import type { Derived } from "./Derived.ts"
import { type AnyError, ConnectionError, ForgeError, UnexpectedAnswerError } from "./Errors.ts"
import { again, type AnyRequest, deadlineSecs, withDeadline } from "./Patience.ts"
import { issuesOf, refusedHere } from "./Problems.ts"
import type { Checked } from "./Settings.ts"
import { type AnswerHead, headOf, lostConnection, transportOf } from "./Transport.ts"

/** One method for each route of the declaration, and one way to open each that streams. */

/** An answer that streams, not read yet. */
export interface Opened {
  readonly response: HttpClientResponse.HttpClientResponse
  readonly head: AnswerHead
}

/** Opens the stream of a route, once. */
export type Open = (request: AnyRequest) => Effect.Effect<Opened, AnyError>

const tokenFor = (middleware: ReadonlySet<unknown>, { token, adminToken }: Checked) => {
  if (middleware.has(AppAuth)) return token
  if (middleware.has(AdminAuth)) return adminToken
  return middleware.has(ReaderAuth) ? (token ?? adminToken) : undefined
}

/** A name in a path is one segment of it, whatever it is. */
const segmentsOf = (path: Readonly<Record<string, string>>) => {
  const bad = Object.keys(path).filter((name) => /^\.{0,2}$/.test(path[name] ?? ""))
  if (bad.length > 0) return refusedHere(bad.map((name) => ({ path: [name], message: "is no name" })))
  return Object.fromEntries(Object.entries(path).map(([name, value]) => [name, encodeURIComponent(value)]))
}

/** The framework's method takes all that there may be, and does not take nothing. */
const prepared = ({ path, urlParams, headers, payload }: AnyRequest) =>
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

/** What is wrong with a request is found before it is sent. */
const refusedOr = (error: unknown): AnyError =>
  ParseResult.isParseError(error) ? refusedHere(issuesOf(error)) : known(error)

const known = (error: unknown): AnyError =>
  error instanceof ForgeError
    ? (error as AnyError)
    : new ConnectionError("the request could not be sent", { retryable: false })

const readOr = (error: { readonly _tag?: string }): AnyError => {
  if (error instanceof ForgeError) return error as AnyError
  if (error._tag === "ResponseError") return lostConnection(error as never)
  return new UnexpectedAnswerError("the answer is not what the route is declared to answer")
}

type Answered = readonly [unknown, HttpClientResponse.HttpClientResponse]
type Call = (request: unknown) => Effect.Effect<Answered, unknown>

interface Made {
  readonly derived: Derived
  readonly open: (endpoint: string) => Open
}

export const derive = (settings: Checked): Effect.Effect<Made, never, HttpClient.HttpClient> =>
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
          const call = callOf(undefined, Effect.mapError(readOr as never))
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

/** Asked again are what changes nothing, what comes to the same when it is done twice, and what has a key. */
const mayBeSentAgain = (method: string, { headers }: AnyRequest): boolean =>
  method !== "POST" || headers?.["idempotency-key"] !== undefined

const methodOf =
  (endpoint: { readonly name: string; readonly method: string }, call: Call, settings: Checked) =>
  ({ withHead = false, ...request }: AnyRequest & { readonly withHead?: boolean } = {}) => {
    const once = Effect.flatMap(prepared(request), call).pipe(Effect.mapError(refusedOr))
    return (mayBeSentAgain(endpoint.method, request) ? again(once) : once).pipe(
      withDeadline(deadlineSecs(endpoint.name, request, settings)),
      Effect.map(([answer, response]) => (withHead ? [answer, headOf(response)] : answer)),
    )
  }

const openerOf =
  (call: Call): Open =>
  (request) =>
    Effect.flatMap(prepared(request), call).pipe(
      Effect.mapError(refusedOr),
      Effect.filterOrFail(
        ([, { headers }]) => headers["content-type"]?.startsWith(EVENT_STREAM) === true,
        ([, { status }]) => new UnexpectedAnswerError("the answer is no stream of events", { status }),
      ),
      Effect.map(([, response]) => ({ response, head: headOf(response) })),
    )
