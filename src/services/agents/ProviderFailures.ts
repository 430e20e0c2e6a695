import {
  BillingRefused,
  type Diagnosis,
  ModelNotFound,
  NotLoggedIn,
  PromptTooLong,
  type ProviderFailure,
  ProviderOverloaded,
  RateLimited,
} from "../../domain/Failure.ts"
import { resetTimeIn } from "./ResetTime.ts"

/** What an agent says of a request that failed, by whichever protocol. */
export interface FailureReport {
  /** The agent's sentence for people. */
  readonly text: string
  /** The provider's HTTP status. */
  readonly status?: number | undefined
  /** The word of `claude` and its adapter for the cause, such as `rate_limit`. */
  readonly kind?: string | undefined
  /** The limit that the provider has named last. */
  readonly limit?: UsageLimit | undefined
  /** How long the agent waited before it asked the provider for the last time, in milliseconds. */
  readonly retryDelayMs?: number | undefined
  /** The model that the work asked for; null for the agent's default. */
  readonly model: string | null
  /** Milliseconds since 1970. */
  readonly now: number
}

/** A limit of a subscription that is reached. */
export interface UsageLimit {
  /** Milliseconds since 1970. */
  readonly resetsAt?: number | undefined
  /** The provider's name of the limit, such as `five_hour` or `seven_day_opus`. */
  readonly name?: string | undefined
}

type Cause = "login" | "limit" | "overload" | "model" | "billing" | "prompt"

const CAUSE_OF_KIND: Readonly<Record<string, Cause>> = {
  authentication_failed: "login",
  oauth_org_not_allowed: "login",
  account_on_hold: "login",
  verification_required: "login",
  cloud_credential_error: "login",
  rate_limit: "limit",
  overloaded: "overload",
  model_not_found: "model",
  billing_error: "billing",
}

const CAUSE_OF_STATUS: Readonly<Record<number, Cause>> = {
  401: "login",
  402: "billing",
  413: "prompt",
  429: "limit",
  529: "overload",
}

/**
 * What agents say when they name neither a kind nor a status. The first that matches counts. An error can quote the name of
 * a model, or of a property of a schema, which an app has chosen: it could be `authentication_error`. So the provider's
 * words for programs count only where it writes them.
 */
const CAUSES_IN_WORDS: ReadonlyArray<readonly [RegExp, Cause]> = [
  [/(prompt|input) is too long|exceed(s|ed)? (the )?context (limit|window)|request too large/i, "prompt"],
  [/credit balance is too low|"type": ?"billing_error"/i, "billing"],
  [
    /usage limit reached|reached your specified [\w\s-]*usage limits|you've hit your .*limit|"type": ?"rate_limit_error"/i,
    "limit",
  ],
  [/"type": ?"overloaded_error"|\boverloaded\b/i, "overload"],
  [/model '[^']*' not found|issue with the selected model|\bnot_found_error\b.*\bmodel\b/i, "model"],
  [
    /not logged in|please run \/login|login expired|"type": ?"authentication_error"|failed to authenticate|authentication (failed|required)|could not resolve authentication method|oauth token (has expired|has been revoked|revoked)|invalid (x-)?api[- ]key|invalid bearer token/i,
    "login",
  ],
]

/**
 * A gateway refuses one model, perhaps with 401: the login works for the others. The app that asked for the model must not
 * make them unserved.
 */
const MODEL_REFUSED =
  /model_access_denied|\b(?:not allowed|no access|no permission|not have (?:access|permission))\b.*\bmodel\b(?! not changed)/i

/** The statuses with which a provider refuses a login. With any other, words that sound so are about something else. */
const LOGIN_STATUSES: ReadonlySet<number | undefined> = new Set([undefined, 401, 403])

/** An HTTP status in an agent's sentence: `API Error: 529 Overloaded`, `Request rejected (429)`, `status 401`. */
const STATUS_IN_WORDS =
  /\bAPI error: (\d{3})\b|request rejected \((\d{3})\)|\brepeated (\d{3})\b|\bstatus(?: code)?:? (\d{3})\b|\b(401) Unauthorized\b|\b(429) Too Many Requests\b/i

const statusIn = (text: string): number | undefined => {
  const found = STATUS_IN_WORDS.exec(text)
    ?.slice(1)
    .find((digits) => digits !== undefined)
  return found === undefined ? undefined : Number(found)
}

const causeOf = ({ text, status, kind }: FailureReport): Cause | undefined => {
  if (MODEL_REFUSED.test(text)) return "model"
  const known = CAUSE_OF_KIND[kind ?? ""]
  if (known !== undefined) return known
  const told = status ?? statusIn(text)
  if (told === 404) return /model/i.test(text) ? "model" : undefined
  return (
    CAUSE_OF_STATUS[told ?? 0] ??
    CAUSES_IN_WORDS.find(
      ([words, cause]) => (cause !== "login" || LOGIN_STATUSES.has(told)) && words.test(text),
    )?.[1]
  )
}

/**
 * Whether an agent's text is nothing but the words of a refusal. Claude's adapter says them like an answer before it fails.
 * They come in one message: it does not stream them.
 */
export const isRefusalText = (text: string): boolean =>
  text.length <= REFUSAL_MAX_CHARS &&
  (/^API Error\b/.test(text) || causeOf({ text, model: null, now: 0 }) !== undefined)

const REFUSAL_MAX_CHARS = 1000

/** A limit whose end is not known is tried again after this time. */
const UNKNOWN_LIMIT_SECS = 60

/** Names of families of models for which the provider has limits of their own. */
const FAMILIES = new Set(["opus", "sonnet", "haiku"])

/** Returns the family of models that a limit is about; undefined for a limit of the whole login. */
const familyOf = ({ text, limit, model }: FailureReport): string | undefined => {
  const named = /^seven_day_(\w+)$/.exec(limit?.name ?? "")?.[1] ?? /hit your (\w+) limit/i.exec(text)?.[1]
  const family = named?.toLowerCase()
  return family !== undefined && (FAMILIES.has(family) || model?.toLowerCase().includes(family) === true)
    ? family
    : undefined
}

/** The agent's sentence. ACP's name for errors of any kind before it says nothing. */
const reasonOf = ({ text }: FailureReport): string => text.replace(/^Internal error: /, "")

const rateLimited = (report: FailureReport, details: Diagnosis): RateLimited => {
  const { text, limit, retryDelayMs, now } = report
  const resetsAt = limit?.resetsAt ?? resetTimeIn(text, now)
  const waitMs =
    resetsAt !== undefined && resetsAt > now ? resetsAt - now : (retryDelayMs ?? UNKNOWN_LIMIT_SECS * 1000)
  const family = familyOf(report)
  return new RateLimited({
    ...details,
    reason: reasonOf(report),
    retryAfterSecs: Math.max(1, Math.ceil(waitMs / 1000)),
    ...(resetsAt !== undefined && resetsAt > now ? { resetsAt } : {}),
    ...(family === undefined ? {} : { family }),
  })
}

/**
 * The one classification of what the provider refuses: of one-shots, of turns on both backends, and of the probes. Returns
 * undefined when the report does not say that the provider refused, or not why.
 */
export const providerFailureOf = (
  report: FailureReport,
  details: Diagnosis = {},
): ProviderFailure | undefined => {
  const reason = reasonOf(report)
  switch (causeOf(report)) {
    case "login":
      return new NotLoggedIn({ ...details, ...(NO_LOGIN.test(reason) ? {} : { reason }) })
    case "limit":
      return rateLimited(report, details)
    case "overload":
      return new ProviderOverloaded({ ...details, reason })
    case "model":
      return new ModelNotFound({ ...details, reason })
    case "billing":
      return new BillingRefused({ ...details, reason })
    case "prompt":
      return new PromptTooLong({ ...details, reason })
    case undefined:
      return undefined
  }
}

/** Words for a login that is missing, and was not refused. They say nothing that the failure itself does not say. */
const NO_LOGIN = /not logged in|could not resolve authentication method/i

/** Whether a limit of that family holds for the model. A limit without a family holds for all models. */
export const isLimited = (family: string | undefined, model: string | null): boolean =>
  family === undefined || model?.toLowerCase().includes(family) === true
