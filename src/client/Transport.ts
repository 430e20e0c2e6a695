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

/** How requests go out and answers come in. Of the platform's errors nothing is passed on: they hold the request, and it the token. */

/** What the head of an answer says beside its status. */
export interface AnswerHead {
  readonly status: number
  /** What the service's log has the request under. */
  readonly requestId: string | undefined
  /** The run that the answer is of. */
  readonly runId: string | undefined
  /** Whether it was given before, to the same `Idempotency-Key`. */
  readonly replayed: boolean
}

export const headOf = ({ status, headers }: HttpClientResponse.HttpClientResponse): AnswerHead => ({
  status,
  requestId: headers["x-request-id"],
  runId: headers["x-run-id"],
  replayed: headers["idempotent-replayed"] === "true",
})

const knownOf = ({ status, headers }: HttpClientResponse.HttpClientResponse): Known => {
  const wait = headers["retry-after"] ?? ""
  return {
    status,
    requestId: headers["x-request-id"],
    retryAfterSecs: /^\d{1,9}$/.test(wait) ? Number(wait) : undefined,
  }
}

/** The innermost code of what the platform threw, such as ECONNREFUSED: a word, never a sentence that quotes. */
const wordOf = (cause: unknown): string | undefined => {
  for (let error = cause, depth = 0; error instanceof Error && depth < 8; error = error.cause, depth++) {
    if ("code" in error && typeof error.code === "string" && /^[A-Z0-9_]{1,64}$/.test(error.code)) {
      return error.code
    }
  }
  return undefined
}

/** A connection that could not be made, or that was lost. Of its request, only where it went is told. */
export const lostConnection = (error: HttpClientError.HttpClientError): ConnectionError => {
  const { url } = error.request
  const where = URL.canParse(url) ? new URL(url).origin : "the service"
  const what =
    error._tag === "RequestError" ? `${where} cannot be reached` : `the connection to ${where} was lost`
  const word = wordOf(error.cause)
  return new ConnectionError(word === undefined ? what : `${what}: ${word}`, { retryable: true })
}

/** An answer that is none of the route's is the failure that it tells of. */
const answerOr = (
  successes: ReadonlySet<number>,
  response: HttpClientResponse.HttpClientResponse,
): Effect.Effect<HttpClientResponse.HttpClientResponse, AnyError> => {
  const known = knownOf(response)
  if (response.headers["content-type"]?.startsWith(MEDIA_TYPE)) {
    return response.text.pipe(
      Effect.mapError(lostConnection),
      Effect.flatMap((text) => Effect.fail(errorOfProblem(parsed(text), known))),
    )
  }
  if (successes.has(response.status)) return Effect.succeed(response)
  return Effect.fail(
    new UnexpectedAnswerError(`something that is not the service answered with ${response.status}`, {
      ...known,
      retryable: [502, 503, 504].includes(response.status),
    }),
  )
}

export const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Whoever redirects is not the service, and a `fetch` would send the prompt on. */
const withoutRedirects = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(Effect.serviceOption(FetchHttpClient.RequestInit), (init) =>
    Effect.provideService(effect, FetchHttpClient.RequestInit, {
      ...Option.getOrUndefined(init),
      redirect: "manual",
    }),
  )

/** The client's way to a route: with its token, and with our failures in place of the platform's. */
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
        Effect.flatMap((response) => answerOr(route.successes, response)),
      ),
    ),
  )
