import { TABLE, TITLES } from "../../../src/http/Problem.ts"
import type { Received } from "./Received.ts"
import type { FuzzRequest } from "./Requests.ts"
import { type Route, routeOf } from "./Routes.ts"
import { CANARY } from "./Values.ts"

/** What the contract says of every answer, whatever was asked. */

/** What HTTP itself can refuse before a route is looked at. */
const BEFORE_ROUTES = new Set([400, 403, 404, 405, 406, 431])

/** What no client may read: where the service lies, how it stores, what it is made of. */
const INWARD = [
  /\bat (?:async )?\S+ \(|\bat Object\.|\.(?:ts|mjs|js):\d/,
  /node_modules|node:internal|file:\/\//,
  /ParseError|HttpApiDecodeError|TypeError|RangeError|SyntaxError|FiberFailure|Encoded side|readonly /,
  /\bSELECT\b|\bINSERT INTO\b|SQLITE|better-sqlite|SqlError/i,
]

/** Long documents about the service itself, the same for everybody: they may name what they like. */
const DOCUMENTS: ReadonlySet<string | undefined> = new Set(["/docs", "/openapi.json"])

/** A session has its app's own `model` and `meta`, and its agent's words; a run its model, and an event both. */
const givesBack = (route: Route | undefined, status: number): boolean =>
  status < 300 && route !== undefined && /^\/(?:sessions|runs|events)\b/.test(route.path)

/** What leads to the docs. */
const isRoot = (target: string): boolean => /^(?:https?:\/\/[^/?]*)?\/?(?:\?&*)?$/i.test(target)

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

/** What is wrong with an answer; nothing, if it is as it must be. */
export const complaints = (
  request: FuzzRequest,
  answer: Received,
  dataDir: string,
): ReadonlyArray<string> => {
  const found: Array<string> = []
  const must = (holds: boolean, complaint: string) => holds || found.push(complaint)
  const { status, headers, body } = answer

  must(/^[A-Za-z0-9._-]{1,128}$/.test(headers.get("x-request-id") ?? ""), "has no X-Request-Id")
  must(!body.includes(dataDir), "tells the data directory")
  const route = routeOf(request.method, request.target)
  must(givesBack(route, status) || !body.includes(CANARY), "quotes what was sent")
  if (!DOCUMENTS.has(route?.path)) {
    for (const pattern of INWARD) must(!pattern.test(body), `tells what it is made of: ${pattern}`)
  }

  if (route === undefined)
    must(BEFORE_ROUTES.has(status) || status === 401 || status === 302, `is ${status} for no route`)
  else must(route.answers.has(status) || BEFORE_ROUTES.has(status), `${status} is not declared`)

  if (status < 400) {
    must(status < 300 || status === 304 || isRoot(request.target), `is ${status}`)
    if (/json/.test(headers.get("content-type") ?? "") && answer.method !== "HEAD")
      must(parsed(body) !== undefined, "is no JSON")
    return found
  }
  must(headers.get("content-type") === "application/problem+json", "is no problem by its Content-Type")
  if (answer.method === "HEAD") return found
  const problem = parsed(body)
  if (!isObject(problem)) return [...found, "is no JSON object"]
  const { code, error, request_id, retryable } = problem
  must(
    JSON.stringify(Object.keys(problem).slice(0, 9)) ===
      '["ok","error","code","type","title","status","detail","request_id","retryable"]',
    "has other members than a problem",
  )
  must(problem["ok"] === false && problem["status"] === status, "contradicts its status")
  must(problem["title"] === TITLES[status] && problem["type"] === "about:blank", "has no title")
  must(typeof error === "string" && /\S/.test(error) && problem["detail"] === error, "has no sentence")
  must(typeof retryable === "boolean", "does not say whether to try again")
  must(request_id === headers.get("x-request-id"), "has two request ids")
  must(
    Object.values(TABLE).some((row) => row.code === code && row.status === status),
    `has no code of its status: ${String(code)}`,
  )
  const declared = route?.answers.get(status)
  must(declared === undefined || declared.includes(String(code)), `${status} ${String(code)} is not declared`)
  must(status < 500 || isMismatch(request, problem), `is ${status} ${String(code)}`)
  must(status !== 401 || headers.has("www-authenticate"), "does not say how to authenticate")
  must(status !== 405 || headers.has("allow"), "does not say which methods there are")
  must(![429, 503].includes(status) || headers.has("retry-after"), "does not say when to try again")
  return found
}

/** The one failure behind the service that a client can cause here: an answer that its own schema does not allow. */
const isMismatch = (request: FuzzRequest, problem: Readonly<Record<string, unknown>>): boolean =>
  problem["code"] === "run_failed" &&
  Array.isArray(problem["issues"]) &&
  JSON.stringify(request.body).includes("output_schema")
