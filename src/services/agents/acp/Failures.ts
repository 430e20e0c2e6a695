import { AgentUnavailable, type Diagnosis, NotLoggedIn, TurnFailed } from "../../../domain/Failure.ts"
import { fieldsOf } from "../../../domain/Json.ts"
import { type Confidential, redact, tail } from "../../../domain/Redaction.ts"
import type { ProcessExit } from "../Processes.ts"

const REASON_MAX_CHARS = 500
const STDERR_MAX_CHARS = 2000

/** ACP's error code for an agent without a login. */
export const AUTH_REQUIRED = -32_000

/** ACP's error code for something that the agent does not have, such as a session. */
const NOT_FOUND = -32_002

/** Why a session does not open on an agent that has no such model. */
export const NOT_OFFERED = "the agent does not offer it"

/** A JSON-RPC error object. */
export interface RpcError {
  readonly code: number
  readonly message: string
  readonly data?: unknown
}

/** Reads an agent's error, which may have any shape. Missing fields get a default. */
export const errorOf = (error: unknown): RpcError => {
  const { code, message, data } = Object(error) as Record<keyof RpcError, unknown>
  return {
    code: typeof code === "number" ? code : 0,
    message: typeof message === "string" ? message : "it does not say why",
    data,
  }
}

/** What is known of a process that has ended. */
export interface ProcessEnd {
  /** Undefined when the process has closed its output and not exited yet. */
  readonly exit: ProcessExit | undefined
  /** Why the service has ended it; undefined when it has not. */
  readonly fault?: string | undefined
  readonly stderr: string
  readonly confidential: Confidential
}

export const isNotFound = ({ code }: RpcError): boolean => code === NOT_FOUND

const messageOf = ({ message, data }: RpcError): string => {
  const details = (data as { readonly details?: unknown } | null | undefined)?.details
  return typeof details === "string" ? `${message}: ${details}` : message
}

/** An error's message for a client: without confidential texts, and shortened to its end. */
export const reasonOf = (error: RpcError, confidential: Confidential): string =>
  tail(redact(messageOf(error), confidential), REASON_MAX_CHARS)

/** The failure for a request, other than a prompt, that an agent answered with an error. */
export const requestFailureOf = (problem: string, error: RpcError, confidential: Confidential) =>
  error.code === AUTH_REQUIRED
    ? new NotLoggedIn({})
    : new AgentUnavailable({ reason: `${problem}: ${reasonOf(error, confidential)}` })

/** The failure for a prompt that an agent answered with an error. */
export const turnFailureOf = (error: RpcError, confidential: Confidential) =>
  error.code === AUTH_REQUIRED
    ? new NotLoggedIn({})
    : new TurnFailed({ reason: reasonOf(error, confidential), ...kindOf(error) })

/** The cause by which Claude's adapter names an error, for programs. */
const kindOf = ({ data }: RpcError): { readonly kind?: string } => {
  const kind = fieldsOf(data)["errorKind"]
  return typeof kind === "string" ? { kind } : {}
}

/** Why an agent's process has ended, for a client to read. */
export const diagnosisOf = ({
  exit,
  fault,
  stderr,
  confidential,
}: ProcessEnd): { reason: string } & Diagnosis => {
  const errors = tail(redact(stderr.trim(), confidential), STDERR_MAX_CHARS)
  return {
    reason:
      fault !== undefined
        ? fault
        : exit === undefined
          ? "it broke off the connection"
          : exit.signal === null
            ? `its process exited with code ${exit.code}`
            : `its process was ended by ${exit.signal}`,
    ...(errors === "" ? {} : { stderr: errors }),
    // An agent whose output is not read any more exits as it likes.
    ...(exit?.code == null || fault !== undefined ? {} : { exitCode: exit.code }),
  }
}
