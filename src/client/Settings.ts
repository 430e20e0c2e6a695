import { Either, Redacted } from "effect"
import { SettingsError } from "./Errors.ts"

/** The settings of a client. */
export interface ForgeSettings {
  /** The URL of the service, with the path if it is behind one. */
  readonly baseUrl: string | URL
  /** An app's token, for all routes except the operator's. */
  readonly token?: Redacted.Redacted | undefined
  /** The operator's token, for the operator's routes. Without a `token` it also reads the runs and events of all apps. */
  readonly adminToken?: Redacted.Redacted | undefined
  /** The service's CLAWDFORGE_MAX_QUEUE_WAIT_SECS; by default 30. */
  readonly queueWaitSecs?: number | undefined
  /** The service's DEFAULT_TIMEOUT_SECS; by default 120. */
  readonly defaultTimeoutSecs?: number | undefined
}

/** Valid settings, with their defaults. */
export interface CheckedSettings {
  /** Without a trailing slash. */
  readonly baseUrl: string
  readonly token: Redacted.Redacted | undefined
  readonly adminToken: Redacted.Redacted | undefined
  readonly queueWaitSecs: number
  readonly defaultTimeoutSecs: number
}

const invalid = (reason: string) => Either.left(new SettingsError(reason))

/** Checks settings. The error does not quote the bad value, which may hold a secret. */
export const checkSettings = (settings: ForgeSettings): Either.Either<CheckedSettings, SettingsError> => {
  if (!URL.canParse(String(settings.baseUrl)))
    return invalid("baseUrl is no URL such as http://127.0.0.1:8800")
  const url = new URL(settings.baseUrl)
  if (url.protocol !== "http:" && url.protocol !== "https:") return invalid("baseUrl is no http(s) URL")
  if (url.username !== "" || url.password !== "") return invalid("baseUrl may hold no user and no password")
  if (url.search !== "" || url.hash !== "") return invalid("baseUrl may have no ? and no #")
  for (const name of ["token", "adminToken"] as const) {
    const token = settings[name]
    // Checked here: the platform's error for a header that it cannot send would quote the token.
    if (token !== undefined && !/^[\x21-\x7E]+$/.test(Redacted.value(token))) {
      return invalid(`${name} is empty, or has characters that no token has`)
    }
  }
  return Either.right({
    baseUrl: `${url.origin}${url.pathname.replace(/\/+$/, "")}`,
    token: settings.token,
    adminToken: settings.adminToken,
    queueWaitSecs: settings.queueWaitSecs ?? 30,
    defaultTimeoutSecs: settings.defaultTimeoutSecs ?? 120,
  })
}
