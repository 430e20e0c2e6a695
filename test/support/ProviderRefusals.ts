/**
 * How the Messages API refuses, as it was seen or is documented: the HTTP status, the type and the message of the error, and
 * the headers that matter. `claude` tells these apart by status, type, words and headers.
 */

export interface ProviderRefusal {
  readonly status: number
  readonly type: string
  readonly message: string
  readonly headers?: Readonly<Record<string, string>>
}

const inSecs = (secs: number) => String(Math.floor(Date.now() / 1000) + secs)

/** A limit of a subscription. `claim` is the provider's name of the limit. */
const usageLimit = (claim: string, secs: number): ProviderRefusal => ({
  status: 429,
  type: "rate_limit_error",
  message: "This request would exceed your account's rate limit. Please try again later.",
  headers: {
    "anthropic-ratelimit-unified-status": "rejected",
    "anthropic-ratelimit-unified-reset": inSecs(secs),
    "anthropic-ratelimit-unified-representative-claim": claim,
    "retry-after": String(secs),
    "x-should-retry": "false",
  },
})

const refusal = (status: number, type: string, message: string, headers?: Record<string, string>) => () => ({
  status,
  type,
  message,
  headers: { "retry-after": "0", ...headers },
})

/** The refusals by name. */
export const PROVIDER_REFUSALS = {
  expired: refusal(
    401,
    "authentication_error",
    "OAuth token has expired. Please obtain a new token or refresh your existing token.",
  ),
  key: refusal(401, "authentication_error", "invalid x-api-key"),
  revoked: refusal(403, "permission_error", "OAuth token has been revoked. Please obtain a new token."),
  organization: refusal(
    403,
    "permission_error",
    "OAuth authentication is currently not allowed for this organization.",
  ),
  five_hours: () => usageLimit("five_hour", 3600),
  sonnet_week: () => usageLimit("seven_day_sonnet", 2 * 86_400),
  minute: refusal(
    429,
    "rate_limit_error",
    "This request would exceed your rate limit of 50 requests per minute.",
    {
      "retry-after": "3400",
    },
  ),
  /** `claude` waits as long as the header says before it asks again. */
  wait: refusal(429, "rate_limit_error", "Number of request tokens has exceeded your rate limit.", {
    "retry-after": "50",
  }),
  spend: refusal(
    400,
    "invalid_request_error",
    "You have reached your specified API usage limits. You will regain access on 2099-12-01 at 00:00 UTC.",
  ),
  overloaded: refusal(529, "overloaded_error", "Overloaded"),
  credit: refusal(
    400,
    "invalid_request_error",
    "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.",
  ),
  payment: refusal(402, "billing_error", "There was an issue with your organization's billing."),
  model: refusal(404, "not_found_error", "model: claude-foo-9"),
  tokens: refusal(400, "invalid_request_error", "prompt is too long: 215003 tokens > 200000 maximum"),
  bytes: refusal(413, "request_too_large", "Request exceeds the maximum size"),
} as const satisfies Readonly<Record<string, () => ProviderRefusal>>

export type RefusalName = keyof typeof PROVIDER_REFUSALS
