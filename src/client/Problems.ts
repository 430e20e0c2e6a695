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

/** Turns the service's problems, and schema errors of requests, into the client's errors. */

/** A problem of any version of the service: the members that the client shows. */
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

/**
 * The error for a problem, from an answer's body or from a stream's `error` event. `known` holds what the answer's head
 * says. `UnexpectedAnswerError` if the JSON is no problem, or has a code that this version does not know.
 */
export const errorOfProblem = (json: unknown, known: Known = {}): AnyError =>
  Option.match(decode(json), {
    onNone: () => new UnexpectedAnswerError("the service answered with something that is no problem", known),
    onSome: ({ error, code, status, ...problem }) => {
      const details: Known = {
        ...known,
        status,
        requestId: problem.request_id ?? known.requestId,
        retryable: problem.retryable,
        issues: problem.issues,
        stderr: problem.stderr,
        exitCode: problem.exit_code,
        durationMs: problem.duration_ms,
        stopReason: problem.stop_reason,
      }
      if (!isCode(code)) return new UnexpectedAnswerError(`${code}: ${error}`, details)
      return new PROBLEM_ERRORS[code](error, details)
    },
  })

/** The error for a request that breaks its route's schema, so that it is not sent. */
export const invalidRequest = (issues: ReadonlyArray<Issue>): InvalidRequestError =>
  new InvalidRequestError(
    issues.map(({ path, message }) => [path.join("."), message].filter(Boolean).join(" ")).join("; "),
    { issues },
  )

/** The issues of a schema error, in the shape of a problem's `issues`. */
export const issuesOf = (error: ParseResult.ParseError): ReadonlyArray<Issue> =>
  ParseResult.ArrayFormatter.formatErrorSync(error).map(({ path, message }) => ({
    path: path.map((key) => (typeof key === "number" ? key : String(key))),
    message,
  }))
