import type { Diagnosis, Failure, Issue } from "../domain/Failure.ts"
import type { HttpFailure } from "./HttpFailure.ts"

/** Every failure that has a problem: the domain's and HTTP's own. */
export type AnyFailure = Failure | HttpFailure

export type Tag = AnyFailure["_tag"]
type FailureOf<T extends Tag> = Extract<AnyFailure, { readonly _tag: T }>

interface Row<T extends Tag> {
  readonly status: number
  readonly code: FailureOf<T>["code"]
  /** Whether the same request may succeed later although nothing is changed. */
  readonly retryable: boolean | ((failure: FailureOf<T>) => boolean)
  /** The sentence for people. It holds no secret, no text of a prompt or an answer, and no path. */
  readonly sentence: (failure: FailureOf<T>) => string
  readonly headers?: (failure: FailureOf<T>) => Readonly<Record<string, string>>
}

/** A row without the type of its failure. */
export interface AnyRow {
  readonly status: number
  readonly code: string
  readonly retryable: boolean | ((failure: never) => boolean)
  readonly sentence: (failure: never) => string
  readonly headers?: (failure: never) => Readonly<Record<string, string>>
}

const retryAfter = (secs: number) => () => ({ "retry-after": String(secs) })
const retryAfterOfFailure = ({ retryAfterSecs }: { readonly retryAfterSecs: number }) => ({
  "retry-after": String(retryAfterSecs),
})

/** The one table from failures to answers. Each failure has one row; a new failure does not compile without its row. */
export const TABLE = {
  InvalidRequest: {
    status: 400,
    code: "invalid_request",
    retryable: false,
    sentence: ({ issues }) => issuesText(issues),
  },
  BodyNotJson: {
    status: 400,
    code: "invalid_request",
    retryable: false,
    sentence: ({ because }) => NOT_JSON[because],
  },
  BodyUnreadable: {
    status: 400,
    code: "invalid_request",
    retryable: false,
    sentence: () => "the body could not be read to its end",
  },
  TooManyFields: {
    status: 400,
    code: "invalid_request",
    retryable: false,
    sentence: ({ limit }) => `the body has more than ${limit} fields, or a field with thousands of entries`,
  },
  BodyTooComplex: {
    status: 400,
    code: "invalid_request",
    retryable: false,
    sentence: ({ levels, values }) =>
      `the body has lists or objects more than ${levels} levels deep, or more than ${values} values`,
  },
  BodyNotForm: {
    status: 400,
    code: "invalid_request",
    retryable: false,
    sentence: () => "the body is not multipart/form-data",
  },
  PromptTooLong: {
    status: 400,
    code: "invalid_request",
    retryable: false,
    sentence: ({ reason }) => `the prompt is too long for the model: ${reason}`,
  },
  ModelNotFound: {
    status: 400,
    code: "model_not_found",
    retryable: false,
    sentence: ({ reason }) => `the model cannot be used: ${reason}`,
  },
  NotHttp: {
    status: 400,
    code: "invalid_request",
    retryable: false,
    sentence: () => "this is not an HTTP request",
  },
  Unauthorized: {
    status: 401,
    code: "unauthorized",
    retryable: false,
    sentence: ({ wanted }) =>
      wanted === "app"
        ? "this is the operator's token, and this route takes an app's (cf_…); POST /admin/tokens makes one"
        : "a valid bearer token is needed",
    headers: () => ({ "www-authenticate": "Bearer" }),
  },
  AddressNotAllowed: {
    status: 403,
    code: "ip_not_allowed",
    retryable: false,
    sentence: ({ by }) => REFUSED_ADDRESS[by],
  },
  OriginNotAllowed: {
    status: 403,
    code: "origin_not_allowed",
    retryable: false,
    sentence: ({ by }) => REFUSED_SITE[by],
  },
  TokenNotFound: { status: 404, code: "not_found", retryable: false, sentence: () => "no such token" },
  FileNotFound: { status: 404, code: "not_found", retryable: false, sentence: () => "no such file" },
  SessionNotFound: { status: 404, code: "not_found", retryable: false, sentence: () => "no such session" },
  RunNotFound: { status: 404, code: "not_found", retryable: false, sentence: () => "no such run" },
  RouteNotFound: { status: 404, code: "not_found", retryable: false, sentence: () => "no such route" },
  MethodNotAllowed: {
    status: 405,
    code: "method_not_allowed",
    retryable: false,
    sentence: ({ allowed }) => `this route takes ${allowed.join(", ")}`,
    headers: ({ allowed }) => ({ allow: allowed.join(", ") }),
  },
  NotAcceptable: {
    status: 406,
    code: "not_acceptable",
    retryable: false,
    sentence: ({ offered }) => `this route answers with ${offered.join(", ")}`,
  },
  RequestTooSlow: {
    status: 408,
    code: "request_timeout",
    retryable: true,
    sentence: () => "the request did not arrive in time",
    headers: () => ({ connection: "close" }),
  },
  TokenNameTaken: {
    status: 409,
    code: "conflict",
    retryable: false,
    sentence: ({ name }) => `a token named ${name} is in force`,
  },
  SessionBusy: {
    status: 409,
    code: "session_busy",
    retryable: true,
    sentence: ({ limit }) => `${limit} turns already wait on this session`,
  },
  IdempotencyConflict: {
    status: 409,
    code: "idempotency_conflict",
    retryable: false,
    sentence: () => "this Idempotency-Key was used for another request",
  },
  AnswerGone: {
    status: 410,
    code: "gone",
    retryable: false,
    sentence: () => "the run's answer is kept no more",
  },
  SessionClosed: {
    status: 410,
    code: "session_closed",
    retryable: false,
    sentence: () => "the session is closed",
  },
  BodyTooLarge: {
    status: 413,
    code: "payload_too_large",
    retryable: false,
    sentence: ({ limit }) => `the body is larger than ${limit} bytes`,
  },
  FileTooLarge: {
    status: 413,
    code: "payload_too_large",
    retryable: false,
    sentence: ({ limit }) => `the file is larger than ${limit} bytes`,
  },
  UnsupportedMediaType: {
    status: 415,
    code: "unsupported_media_type",
    retryable: false,
    sentence: ({ because, supported }) => UNSUPPORTED[because](supported),
    // RFC 9110, section 15.5.16: what would have been taken.
    headers: ({ because, supported }): Readonly<Record<string, string>> =>
      because === "compressed" ? { "accept-encoding": "identity" } : { accept: supported },
  },
  QuotaExceeded: {
    status: 429,
    code: "quota_exceeded",
    retryable: true,
    sentence: ({ limit }) => `this app's files together would be larger than ${limit} bytes`,
    headers: retryAfterOfFailure,
  },
  RateLimited: {
    status: 429,
    code: "rate_limited",
    retryable: true,
    sentence: ({ reason }) => `the provider's limit is reached: ${reason}`,
    headers: retryAfterOfFailure,
  },
  HeadersTooLarge: {
    status: 431,
    code: "headers_too_large",
    retryable: false,
    sentence: () => "the request's headers are too large",
  },
  Internal: {
    status: 500,
    code: "internal",
    retryable: false,
    sentence: () => "something went wrong on our side",
  },
  RunDefect: {
    status: 500,
    code: "internal",
    retryable: false,
    sentence: () => "something went wrong on our side",
  },
  StorageFailed: {
    status: 500,
    code: "internal",
    retryable: true,
    sentence: () => "the service could not keep its records",
  },
  ExecutableMissing: {
    status: 502,
    code: "agent_unavailable",
    retryable: false,
    sentence: ({ program }) =>
      `the agent's executable (${program}) cannot be started: see CLAUDE_BIN, or install it again`,
  },
  AgentUnavailable: {
    status: 502,
    code: "agent_unavailable",
    retryable: true,
    sentence: ({ reason }) => `the agent is not available: ${reason}`,
  },
  TurnFailed: {
    status: 502,
    code: "turn_failed",
    retryable: true,
    sentence: ({ reason }) => `the agent gave no answer: ${reason}`,
  },
  ProviderRefused: {
    status: 502,
    code: "run_failed",
    retryable: ({ status = 503 }) => status === 408 || status === 429 || status >= 500,
    sentence: ({ status, reason }) =>
      status === undefined ? `the provider: ${reason}` : `the provider answered ${status}: ${reason}`,
  },
  BillingRefused: {
    status: 502,
    code: "billing",
    retryable: false,
    sentence: ({ reason }) => `the provider has a billing problem with the login: ${reason}`,
  },
  ProcessKilled: {
    status: 502,
    code: "run_failed",
    retryable: true,
    sentence: ({ signal }) => `the agent's process was ended by ${signal}`,
  },
  ProcessFailed: {
    status: 502,
    code: "run_failed",
    retryable: true,
    sentence: ({ reason }) => `the agent's process failed: ${reason}`,
  },
  OutputGarbled: {
    status: 502,
    code: "run_failed",
    retryable: true,
    sentence: ({ reason }) => `the agent gave no answer: ${reason}`,
  },
  AnswerMismatch: {
    status: 502,
    code: "run_failed",
    retryable: true,
    sentence: ({ issues }) => `the answer does not fit output_schema: ${issuesText(issues)}`,
  },
  RunLost: {
    status: 502,
    code: "run_failed",
    retryable: true,
    sentence: () => "the service ended before the run did",
  },
  NotLoggedIn: {
    status: 503,
    code: "not_logged_in",
    retryable: true,
    sentence: ({ reason }) =>
      `${reason === undefined ? "the agent has no login that its provider accepts" : `the provider does not accept the agent's login (${reason})`}: ${LOGIN_REMEDY}`,
    headers: ({ retryAfterSecs = LOGIN_RETRY_SECS }) => ({ "retry-after": String(retryAfterSecs) }),
  },
  PoolFull: {
    status: 503,
    code: "pool_full",
    retryable: true,
    sentence: ({ limit }) => `session pool is full (${limit} open)`,
    headers: retryAfter(30),
  },
  Overloaded: {
    status: 503,
    code: "overloaded",
    retryable: true,
    sentence: ({ because }) => OVERLOADED[because],
    headers: retryAfterOfFailure,
  },
  ProviderOverloaded: {
    status: 503,
    code: "overloaded",
    retryable: true,
    sentence: ({ reason }) => `the provider is overloaded: ${reason}`,
    headers: retryAfter(30),
  },
  ShuttingDown: {
    status: 503,
    code: "shutting_down",
    retryable: true,
    sentence: () => "the service is stopping",
    headers: retryAfter(5),
  },
  RunTimedOut: {
    status: 504,
    code: "timeout",
    retryable: true,
    sentence: ({ timeoutSecs, waitedFor }) =>
      `the run took longer than ${timeoutSecs} s and was ended${waitedFor === undefined ? "" : `: ${waitedFor}`}`,
  },
} as const satisfies { readonly [T in Tag]: Row<T> }

const NOT_JSON = {
  empty: "the body is empty; this route takes JSON",
  encoding: "the body is not in UTF-8, which JSON must be",
  grammar: "the body is not JSON",
}

const UNSUPPORTED = {
  media_type: (supported: string) => `this route takes ${supported}, and the Content-Type must say so`,
  charset: () => "JSON is read as UTF-8, and the Content-Type names another charset",
  boundary: () => "the Content-Type of the form has no boundary",
  compressed: () => "the body is compressed, as its Content-Encoding says; send it uncompressed",
}

const LOGIN_REMEDY =
  "`npm run claude -- /login`, or `docker exec -it clawdforge claude /login`, or an ANTHROPIC_API_KEY for the service"
/** A login that was refused is tried again after this time. */
const LOGIN_RETRY_SECS = 30

const OVERLOADED = {
  queue_full: "too many runs are waiting",
  waited_too_long: "the run waited too long for its turn",
  memory: "the service has as many large requests in hand as its memory allows",
  connections: "too many connections are open, of this address or of all together",
  streams: "this token has too many streams open",
  schema_unchecked: "this machine is too busy to check output_schema now",
}

const REFUSED_ADDRESS = {
  service: "this address may not use the service",
  token: "this token may not be used from this address",
  undeclared_proxy: "this request comes through a proxy on the service's host that nobody declared",
  unreadable_hop: "the proxy's X-Forwarded-For does not say for whom it forwards",
}

const REFUSED_SITE = {
  origin: "web pages of this Origin may not use the service; the operator can allow it (CORS_ORIGINS)",
  host: "the service does not serve this Host name; the operator can allow it (ALLOWED_HOSTS)",
}

/** The reason phrase of each status (RFC 9110). */
export const TITLES: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  406: "Not Acceptable",
  408: "Request Timeout",
  409: "Conflict",
  410: "Gone",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
}

export const MEDIA_TYPE = "application/problem+json"

/** The body of an error answer: RFC 9457 problem details, plus `ok` and `error` for clients of v0.2. */
export type Problem<T extends Tag = Tag> = T extends Tag
  ? {
      readonly ok: false
      readonly error: string
      readonly code: (typeof TABLE)[T]["code"]
      readonly type: "about:blank"
      readonly title: string
      readonly status: (typeof TABLE)[T]["status"]
      readonly detail: string
      readonly request_id: string
      readonly retryable: boolean
      readonly issues?: ReadonlyArray<Issue>
      readonly stderr?: string
      readonly exit_code?: number
      readonly duration_ms?: number
      readonly stop_reason?: string
      /** When the provider's limit ends, in seconds since 1970. */
      readonly resets_at?: number
    }
  : never

/** The problem that a client gets for a failure. */
export const problemOf = <F extends AnyFailure>(failure: F, requestId: string): Problem<F["_tag"]> => {
  const row: AnyRow = TABLE[failure._tag]
  const sentence = row.sentence(failure as never)
  const diagnosis: Diagnosis = failure as Diagnosis
  return {
    ok: false,
    error: sentence,
    code: row.code,
    type: "about:blank",
    title: TITLES[row.status] ?? "",
    status: row.status,
    detail: sentence,
    request_id: requestId,
    retryable: typeof row.retryable === "boolean" ? row.retryable : row.retryable(failure as never),
    ...("issues" in failure ? { issues: failure.issues } : {}),
    ...(diagnosis.stderr === undefined ? {} : { stderr: diagnosis.stderr }),
    ...(diagnosis.exitCode === undefined ? {} : { exit_code: diagnosis.exitCode }),
    ...(diagnosis.durationMs === undefined ? {} : { duration_ms: diagnosis.durationMs }),
    ...(diagnosis.stopReason === undefined ? {} : { stop_reason: diagnosis.stopReason }),
    ...(failure._tag !== "RateLimited" || failure.resetsAt === undefined
      ? {}
      : { resets_at: Math.ceil(failure.resetsAt / 1000) }),
  } as never
}

/** The headers of a problem: its media type, and those of the failure's row, such as `Retry-After`. */
export const problemHeaders = (failure: AnyFailure): Readonly<Record<string, string>> => {
  const row: AnyRow = TABLE[failure._tag]
  return { "content-type": MEDIA_TYPE, ...row.headers?.(failure as never) }
}

export const isAnyFailure = (value: unknown): value is AnyFailure =>
  typeof value === "object" && value !== null && "_tag" in value && String(value._tag) in TABLE

const issuesText = (issues: ReadonlyArray<Issue>): string =>
  issues.map(({ path, message }) => (path.length === 0 ? message : `${path.join(".")} ${message}`)).join("; ")
