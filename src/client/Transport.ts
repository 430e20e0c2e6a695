import {
  FetchHttpClient,
  HttpClient,
  type HttpClientError,
  HttpClientRequest,
  type HttpClientResponse,
} from "@effect/platform"
import { Effect, Option, Redacted } from "effect"
import { MEDIA_TYPE } from "../http/Problem.ts"
import { type AnyError, ConnectionError, type Known, UnexpectedAnswerError } from "./Errors.ts"
import { errorOfProblem } from "./Problems.ts"

/**
 * Sends requests and checks the heads of answers. Errors of the platform are replaced, never wrapped: they hold the
 * request, and the request holds the token.
 */

/** The status and the headers of an answer that clients use. */
export interface AnswerHead {
  readonly status: number
  /** The id of the request in the service's log. */
  readonly requestId: string | undefined
  /** The id of the answer's run. */
  readonly runId: string | undefined
  /** Whether this is the answer of an earlier request with the same `Idempotency-Key`. */
  readonly replayed: boolean
}

/** The request headers for an idempotency key. */
export const idempotencyHeaders = (options: { readonly idempotencyKey?: string | undefined }) =>
  options.idempotencyKey === undefined ? {} : { "idempotency-key": options.idempotencyKey }

export const headOf = ({ status, headers }: HttpClientResponse.HttpClientResponse): AnswerHead => ({
  status,
  requestId: headers["x-request-id"],
  runId: headers["x-run-id"],
  replayed: headers["idempotent-replayed"] === "true",
})

const errorDetailsOf = ({ status, headers }: HttpClientResponse.HttpClientResponse): Known => {
  const wait = headers["retry-after"] ?? ""
  return {
    status,
    requestId: headers["x-request-id"],
    retryAfterSecs: /^\d{1,9}$/.test(wait) ? Number(wait) : undefined,
  }
}

/** The outermost system code in a chain of causes, such as ECONNREFUSED. Never a message: that could quote the request. */
const systemCodeOf = (cause: unknown): string | undefined => {
  for (let error = cause, depth = 0; error instanceof Error && depth < 8; error = error.cause, depth++) {
    if ("code" in error && typeof error.code === "string" && /^[A-Z0-9_]{1,64}$/.test(error.code)) {
      return error.code
    }
  }
  return undefined
}

/** The error for a connection that could not be made or was lost. Of the request it names the URL's origin only. */
export const lostConnection = (error: HttpClientError.HttpClientError): ConnectionError => {
  const { url } = error.request
  const where = URL.canParse(url) ? new URL(url).origin : "the service"
  const what =
    error._tag === "RequestError" ? `${where} cannot be reached` : `the connection to ${where} was lost`
  const code = systemCodeOf(error.cause)
  return new ConnectionError(code === undefined ? what : `${what}: ${code}`, { retryable: true })
}

/** Passes on a successful answer. Fails with the error of a problem, or with `UnexpectedAnswerError` for another status. */
const failUnlessSuccess = (
  successes: ReadonlySet<number>,
  response: HttpClientResponse.HttpClientResponse,
): Effect.Effect<HttpClientResponse.HttpClientResponse, AnyError> => {
  const details = errorDetailsOf(response)
  if (response.headers["content-type"]?.startsWith(MEDIA_TYPE)) {
    return response.text.pipe(
      Effect.mapError(lostConnection),
      Effect.flatMap((text) => Effect.fail(errorOfProblem(parseJson(text), details))),
    )
  }
  if (successes.has(response.status)) return Effect.succeed(response)
  return Effect.fail(
    new UnexpectedAnswerError(`something that is not the service answered with ${response.status}`, {
      ...details,
      retryable: [502, 503, 504].includes(response.status),
    }),
  )
}

/** The JSON value of a text; undefined if it is no JSON. */
export const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Redirects are not followed: the service sends none, and `fetch` would send the prompt to another server. */
const withoutRedirects = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(Effect.serviceOption(FetchHttpClient.RequestInit), (init) =>
    Effect.provideService(effect, FetchHttpClient.RequestInit, {
      ...Option.getOrUndefined(init),
      redirect: "manual",
    }),
  )

/** An HTTP client for one route: adds the token, and fails with the client's errors in place of the platform's. */
export const transportOf = (
  client: HttpClient.HttpClient,
  route: {
    readonly baseUrl: string
    readonly token: Redacted.Redacted | undefined
    readonly accept: string | undefined
    readonly successes: ReadonlySet<number>
  },
): HttpClient.HttpClient.With<AnyError> =>
  client.pipe(
    HttpClient.mapRequest((request) => {
      const prepared = HttpClientRequest.prependUrl(request, route.baseUrl)
      return HttpClientRequest.setHeaders(prepared, {
        ...(route.accept === undefined ? {} : { accept: route.accept }),
        ...(route.token === undefined ? {} : { authorization: `Bearer ${Redacted.value(route.token)}` }),
      })
    }),
    HttpClient.transformResponse((effect) =>
      withoutRedirects(effect).pipe(
        Effect.mapError(lostConnection),
        Effect.flatMap((response) => failUnlessSuccess(route.successes, response)),
      ),
    ),
  )
