import { AgentUnavailable, type Diagnosis, NotLoggedIn, TurnFailed } from "../../../domain/Failure.ts"
import { type Confidential, redact, tail } from "../../../domain/Redaction.ts"
import type { ProcessExit } from "../Processes.ts"

const REASON_MAX_CHARS = 500
const STDERR_MAX_CHARS = 2000

/** The code that the protocol has for an agent without a login. */
export const AUTH_REQUIRED = -32_000

/** The code that the protocol has for what an agent does not have, such as a session. */
const NOT_FOUND = -32_002

/** An error as JSON-RPC has it. */
export interface RpcError {
  readonly code: number
  readonly message: string
  readonly data?: unknown
}

/** An error as an agent sends it, which may be anything. */
export const errorOf = (sent: unknown): RpcError => {
  const { code, message, data } = Object(sent) as Record<keyof RpcError, unknown>
  return {
    code: typeof code === "number" ? code : 0,
    message: typeof message === "string" ? message : "it does not say why",
    data,
  }
}

/** What an agent left behind that says why. */
export interface LastWords {
  readonly exit: ProcessExit | undefined
  readonly stderr: string
  readonly confidential: Confidential
}

export const isNotFound = ({ code }: RpcError): boolean => code === NOT_FOUND

const said = ({ message, data }: RpcError): string => {
  const details = (data as { readonly details?: unknown } | null | undefined)?.details
  return typeof details === "string" ? `${message}: ${details}` : message
}

/** What an error says, in words that a client may read. */
export const reasonOf = (error: RpcError, confidential: Confidential): string =>
  tail(redact(said(error), confidential), REASON_MAX_CHARS)

/** Why an agent did not open a session. */
export const refusalOf = (what: string, error: RpcError, confidential: Confidential) =>
  error.code === AUTH_REQUIRED
    ? new NotLoggedIn({})
    : new AgentUnavailable({ reason: `${what}: ${reasonOf(error, confidential)}` })

/** Why an agent ended a turn with an error. */
export const turnFailureOf = (error: RpcError, confidential: Confidential) =>
  error.code === AUTH_REQUIRED
    ? new NotLoggedIn({})
    : new TurnFailed({ reason: reasonOf(error, confidential) })

/** Why an agent's process is gone. */
export const endingOf = ({ exit, stderr, confidential }: LastWords): { reason: string } & Diagnosis => {
  const errors = tail(redact(stderr.trim(), confidential), STDERR_MAX_CHARS)
  return {
    reason:
      exit === undefined
        ? "it broke off the connection"
        : exit.signal === null
          ? `its process exited with code ${exit.code}`
          : `its process was ended by ${exit.signal}`,
    ...(errors === "" ? {} : { stderr: errors }),
    ...(exit?.code == null ? {} : { exitCode: exit.code }),
  }
}
