import { Option, ParseResult, Schema } from "effect"
import { Issue } from "../domain/Failure.ts"
import {
  type AnyError,
  type Code,
  InvalidRequestError,
  type Known,
  PROBLEM_ERRORS,
  UnexpectedAnswerError,
} from "./Errors.ts"

/** From what the service answers to what the client fails with. */

/** A problem as any version of the service writes it: its members that the client shows. */
const AnyProblem = Schema.Struct({
  error: Schema.String,
  code: Schema.String,
  status: Schema.Number,
  request_id: Schema.optional(Schema.String),
  retryable: Schema.optional(Schema.Boolean),
  issues: Schema.optional(Schema.Array(Issue)),
  stderr: Schema.optional(Schema.String),
  exit_code: Schema.optional(Schema.Number),
  duration_ms: Schema.optional(Schema.Number),
  stop_reason: Schema.optional(Schema.String),
})

const decode = Schema.decodeUnknownOption(AnyProblem)

const isCode = (code: string): code is Code => Object.hasOwn(PROBLEM_ERRORS, code)

/** What a problem tells, wherever it was read; `known` is what its answer's head says. */
export const errorOfProblem = (json: unknown, known: Known = {}): AnyError =>
  Option.match(decode(json), {
    onNone: () => new UnexpectedAnswerError("the service answered with something that is no problem", known),
    onSome: ({ error, code, status, ...more }) => {
      const told: Known = {
        ...known,
        status,
        requestId: more.request_id ?? known.requestId,
        retryable: more.retryable,
        issues: more.issues,
        stderr: more.stderr,
        exitCode: more.exit_code,
        durationMs: more.duration_ms,
        stopReason: more.stop_reason,
      }
      if (!isCode(code)) return new UnexpectedAnswerError(`${code}: ${error}`, told)
      return new PROBLEM_ERRORS[code](error, told)
    },
  })

/** A request that the service would refuse, and that was not sent therefore. */
export const refusedHere = (issues: ReadonlyArray<Issue>): InvalidRequestError =>
  new InvalidRequestError(
    issues.map(({ path, message }) => [path.join("."), message].filter(Boolean).join(" ")).join("; "),
    { issues },
  )

export const issuesOf = (error: ParseResult.ParseError): ReadonlyArray<Issue> =>
  ParseResult.ArrayFormatter.formatErrorSync(error).map(({ path, message }) => ({
    path: path.map((key) => (typeof key === "number" ? key : String(key))),
    message,
  }))
