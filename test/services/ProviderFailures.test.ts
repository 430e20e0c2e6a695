import { describe, expect, it } from "@effect/vitest"
import {
  type FailureReport,
  isLimited,
  providerFailureOf,
} from "../../src/services/agents/ProviderFailures.ts"

/** Sunday, 29 November 2026, 06:50:00 UTC. */
const NOW = Date.UTC(2026, 10, 29, 6, 50)
const HOUR_SECS = 3600

const failureOf = (report: Partial<FailureReport> & { readonly text: string }) =>
  providerFailureOf({ model: "sonnet", now: NOW, ...report })

/** What `claude` and its adapter said, with the kind and the status that they gave, and the code that it stands for. */
interface Said {
  readonly text: string
  readonly kind?: string | undefined
  readonly status?: number | undefined
}
const SAID: ReadonlyArray<readonly [code: string, text: string, kind?: string, status?: number]> = [
  ["not_logged_in", "Not logged in · Please run /login"],
  ["not_logged_in", "Could not resolve authentication method. Expected one of apiKey, authToken…"],
  ["not_logged_in", "Authentication failed. Please check your API credentials."],
  [
    "not_logged_in",
    "Failed to authenticate. API Error: 401 OAuth token has expired.",
    "authentication_failed",
    401,
  ],
  ["not_logged_in", "Failed to authenticate. API Error: 401 Invalid bearer token", "", 401],
  ["not_logged_in", "Invalid API key · Fix external API key", "", 401],
  ["not_logged_in", "Failed to authenticate: OAuth token revoked. Please log in again", "", 403],
  [
    "not_logged_in",
    "Your organization has disabled Claude subscription access",
    "oauth_org_not_allowed",
    403,
  ],
  ["not_logged_in", "Your account is on hold", "account_on_hold"],
  ["not_logged_in", "unexpected status 401 Unauthorized: Missing bearer"],
  ["not_logged_in", '{"type":"error","error":{"type":"authentication_error","message":"no"}}'],
  ["rate_limited", "API Error: Request rejected (429) · Number of request tokens", "", 429],
  ["rate_limited", "Internal error: API Error: Request rejected (429) · too many"],
  ["rate_limited", "You've hit your 5-hour limit · resets 7:50am (UTC)", "rate_limit"],
  ["rate_limited", "You've hit your weekly limit · resets Dec 2, 7:15am (UTC)"],
  ["rate_limited", "API Error: 400 You have reached your specified API usage limits.", "unknown", 400],
  ["rate_limited", "Claude AI usage limit reached|1795938521"],
  ["overloaded", "API Error: 529 Overloaded. This is a server-side issue", "server_error", 529],
  ["overloaded", "Internal error: API Error: Repeated 529 Overloaded errors.", "server_error"],
  ["overloaded", "API error: 529 Overloaded · model not changed"],
  ["overloaded", '{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'],
  ["model_not_found", "There's an issue with the selected model (claude-foo-9).", "model_not_found", 404],
  ["model_not_found", "Model 'no-such-model' not found", "", 404],
  [
    "model_not_found",
    "API error: 401 key not allowed to access model. It can only access ['sonnet']",
    "",
    401,
  ],
  [
    "model_not_found",
    "Failed to authenticate. API Error: 403 You do not have access to the model opus",
    "authentication_failed",
    403,
  ],
  ["billing", "Credit balance is too low", "billing_error", 400],
  ["billing", "API Error: 402 There was an issue with your organization's billing", "unknown", 402],
  ["invalid_request", "Prompt is too long"],
  [
    "invalid_request",
    "Prompt is too long · the request is ~215003 tokens (limit 200000)",
    "invalid_request",
    400,
  ],
  ["invalid_request", "Request too large (max 32MB). Accumulated images", "invalid_request", 413],
  ["invalid_request", "input length and `max_tokens` exceed context limit: 199000 + 32000 > 200000"],
]

describe("the cause of a provider's refusal", () => {
  it.each(SAID.map(([code, text, kind, status]) => ({ code, said: { text, kind, status } })))(
    "is $code for: $said.text",
    ({ code, said }) => {
      expect(failureOf(said)?.code).toBe(code)
    },
  )

  it.each<Said>([
    {
      text: "API Error: 400 tools.0.custom.input_schema: JSON schema is invalid",
      kind: "unknown",
      status: 400,
    },
    { text: "API Error: 500 Internal server error", kind: "server_error", status: 500 },
    { text: "API Error: 404 404 page not found", status: 404 },
    // Apps choose the names of models and of a schema's properties.
    { text: "API error: 400 Invalid model name: authentication_error · model not changed" },
    { text: "API Error: 400 no such thing: invalid api key", kind: "invalid_request", status: 400 },
    { text: "API Error: 422 Not logged in", status: 422 },
    {
      text: "Output does not match required schema: root: must have required property 'authentication_error'",
    },
    { text: "its process exited with code 1" },
    { text: "it ended without a stop reason" },
  ])("is not known for: $text", (said) => {
    expect(failureOf(said)).toBeUndefined()
  })

  it("is told in the words of the cause", () => {
    const words = "You've hit your weekly limit · resets Dec 2, 7:15am (UTC)"
    expect(failureOf({ text: `Internal error: ${words}` })).toMatchObject({ reason: words })
    expect(failureOf({ text: "Internal error: Credit balance is too low" })).toMatchObject({
      reason: "Credit balance is too low",
    })
  })

  it("keeps what else is known of the failure, and what the provider said of a login", () => {
    const text = "Failed to authenticate. API Error: 401 Invalid bearer token"
    const details = { exitCode: 1, stderr: "so it said" }
    expect(providerFailureOf({ text, model: null, now: NOW }, details)).toMatchObject({
      reason: text,
      ...details,
    })
    expect(failureOf({ text: "Not logged in · Please run /login" })).not.toHaveProperty("reason")
  })
})

describe("the end of a limit", () => {
  it.each([
    ["told to programs", { limit: { resetsAt: NOW + 5000, name: "five_hour" } }, 5],
    ["told in this zone, in an hour", { text: "resets 7:50am (UTC)" }, HOUR_SECS + 60],
    ["told in another zone", { text: "resets 9am (Europe/Berlin)" }, 70 * 60 + 60],
    ["told for tomorrow", { text: "resets 6am (UTC)" }, 23 * HOUR_SECS + 10 * 60 + 60],
    ["told with a date", { text: "resets Dec 2, 7:15am (UTC)" }, 72 * HOUR_SECS + 25 * 60 + 60],
    [
      "told with a date of the next year",
      { text: "resets Jan 1, 12am (UTC)" },
      32 * 24 * HOUR_SECS + 17 * HOUR_SECS + 11 * 60,
    ],
    ["told with a year", { text: "resets Nov 29, 2027, 6:50am (UTC)" }, 365 * 24 * HOUR_SECS + 60],
    [
      "told as a date of access",
      { text: "regain access on 2026-12-01 at 00:00 UTC." },
      41 * HOUR_SECS + 10 * 60,
    ],
    ["told as a stamp", { text: `usage limit reached|${NOW / 1000 + 77}` }, 77],
  ])("is exact when it is %s", (_, said, secs) => {
    const failure = failureOf({ text: "", kind: "rate_limit", ...said })
    expect(failure).toMatchObject({ _tag: "RateLimited", retryAfterSecs: secs, resetsAt: NOW + secs * 1000 })
  })

  it.each([
    ["as long as the agent waited last", { retryDelayMs: 4000 }, 4],
    ["a minute when nothing is known", {}, 60],
    ["a minute when the time is past", { limit: { resetsAt: NOW - 1 } }, 60],
    ["a minute when the zone is none", { text: "resets 7am (Nowhere/At_all)" }, 60],
  ])("is guessed to be %s", (_, said, secs) => {
    const failure = failureOf({ text: "slow down", kind: "rate_limit", ...said })
    expect(failure).toMatchObject({ _tag: "RateLimited", retryAfterSecs: secs })
    expect(failure).not.toHaveProperty("resetsAt")
  })
})

describe("a limit of some models", () => {
  it.each([
    [{ limit: { name: "seven_day_opus" } }, "opus"],
    [{ text: "You've hit your Sonnet limit · resets 6:50am (UTC)" }, "sonnet"],
    [{ limit: { name: "seven_day_fable" }, model: "claude-fable-5" }, "fable"],
    [{ limit: { name: "seven_day" } }, undefined],
    [{ limit: { name: "seven_day_oauth_apps" } }, undefined],
    [{ text: "You've hit your weekly limit" }, undefined],
  ])("is told from one of the whole login: %j", (said, family) => {
    const failure = failureOf({ text: "no", kind: "rate_limit", ...said })
    expect(failure).toMatchObject({ _tag: "RateLimited" })
    expect((failure as { family?: string }).family).toBe(family)
  })

  it("holds for these models only", () => {
    const models = ["opus", "claude-opus-5-5[1m]", "us.anthropic.claude-OPUS-5", "sonnet", null]
    expect(models.filter((model) => isLimited("opus", model))).toEqual(models.slice(0, 3))
    expect(models.filter((model) => isLimited(undefined, model))).toEqual(models)
  })
})
