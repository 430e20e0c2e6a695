import { type AnyRow, TABLE, type Tag } from "./Problem.ts"

type Code = (typeof TABLE)[Tag]["code"]

/** What each code tells a program. A new code does not compile until it has its line. */
const MEANINGS: Readonly<Record<Code, string>> = {
  invalid_request: "the body, a field or a query parameter is wrong; `issues` says where",
  model_not_found: "the provider knows no such model",
  unauthorized: "no token, or none that this route takes",
  ip_not_allowed: "the client's address is not allowed",
  origin_not_allowed: "a web page of another origin, or a host name that the service does not have",
  not_found: "no such thing, or it is another app's",
  method_not_allowed: "the route takes other methods; see `Allow`",
  not_acceptable: "`Accept` allows no form of the answer",
  request_timeout: "the request did not arrive in time",
  conflict: "the name is in use",
  session_busy: "too many turns wait on the session",
  idempotency_conflict: "the key was used for another request",
  gone: "the answer is no longer stored",
  session_closed: "the session is closed",
  payload_too_large: "the body or the file is too large",
  unsupported_media_type: "the body has another type or charset, or is compressed",
  rate_limited: "the provider's limit is reached",
  quota_exceeded: "the app's quota of bytes for files is used up",
  headers_too_large: "the headers are too large",
  internal: "a fault of the service; its log has the cause",
  agent_unavailable: "the agent cannot be started, or cannot resume the session",
  turn_failed: "the agent ended the turn without an answer",
  run_failed: "the CLI or its provider failed, or the answer does not fit `output_schema`",
  billing: "the provider has a billing problem with the login: its credit or a payment",
  not_logged_in: "the agent has no login, or the provider does not accept it",
  pool_full: "as many sessions are open as may be",
  overloaded: "the queue is full, or the provider is overloaded",
  shutting_down: "the service is stopping",
  timeout: "the work took longer than `timeout_secs`, and was ended",
}

interface CodeRow {
  readonly status: number
  readonly code: string
  /** Whether the same request may succeed later. */
  readonly retry: "yes" | "no" | "as `retryable` says"
  readonly meaning: string
}

const retryOf = (rows: ReadonlyArray<AnyRow>): CodeRow["retry"] => {
  const answers = new Set(rows.map(({ retryable }) => retryable))
  const [only] = answers
  if (answers.size > 1 || typeof only === "function") return "as `retryable` says"
  return only === true ? "yes" : "no"
}

/** Every pair of status and code that a problem can have, by status. */
const codeRows: ReadonlyArray<CodeRow> = (() => {
  const rows: ReadonlyArray<AnyRow> = Object.values(TABLE)
  const byPair = Map.groupBy(rows, ({ status, code }) => `${status} ${code}`)
  return [...byPair.values()]
    .map((group): CodeRow => {
      const [{ status, code }] = group as [AnyRow]
      return { status, code, retry: retryOf(group), meaning: MEANINGS[code as Code] }
    })
    .toSorted((left, right) => left.status - right.status)
})()

const CELLS: ReadonlyArray<ReadonlyArray<string>> = [
  ["status", "code", "try again?", "meaning"],
  ...codeRows.map(({ status, code, retry, meaning }) => [String(status), `\`${code}\``, retry, meaning]),
]

const line = (cells: ReadonlyArray<string>) => `| ${cells.join(" | ")} |`

/** The table of codes in Markdown, aligned. The document of the API and `docs/api.md` show it. */
export const codesTable = (() => {
  const widths = [0, 1, 2, 3].map((n) => Math.max(...CELLS.map((row) => row[n]?.length ?? 0)))
  const [head = "", ...rows] = CELLS.map((row) => line(row.map((cell, n) => cell.padEnd(widths[n] ?? 0))))
  return [head, line(widths.map((width) => "-".repeat(width))), ...rows].join("\n")
})()
