import { Either, Redacted } from "effect"
import { SettingsError } from "./Errors.ts"

/** What a client is made with. */
export interface ForgeSettings {
  /** Where the service is, with the path that it is behind, if any. */
  readonly baseUrl: string | URL
  /** An app's token, for all but the operator's routes. */
  readonly token?: Redacted.Redacted | undefined
  /** The operator's token, for the operator's routes; without a `token`, for reading runs and events as well. */
  readonly adminToken?: Redacted.Redacted | undefined
  /** The service's CLAWDFORGE_MAX_QUEUE_WAIT_SECS; by default 30. */
  readonly queueWaitSecs?: number | undefined
  /** The service's DEFAULT_TIMEOUT_SECS; by default 120. */
  readonly defaultTimeoutSecs?: number | undefined
}

/** Settings that can be used. */
export interface Checked {
  /** Without a slash at its end. */
  readonly baseUrl: string
  readonly token: Redacted.Redacted | undefined
  readonly adminToken: Redacted.Redacted | undefined
  readonly queueWaitSecs: number
  readonly defaultTimeoutSecs: number
}

const refused = (why: string) => Either.left(new SettingsError(why))

/** Looks at settings. What is wrong is said without the value: it may hold a secret. */
export const checked = (settings: ForgeSettings): Either.Either<Checked, SettingsError> => {
  if (!URL.canParse(String(settings.baseUrl)))
    return refused("baseUrl is no URL such as http://127.0.0.1:8800")
  const url = new URL(settings.baseUrl)
  if (url.protocol !== "http:" && url.protocol !== "https:") return refused("baseUrl is no http(s) URL")
  if (url.username !== "" || url.password !== "") return refused("baseUrl may hold no user and no password")
  if (url.search !== "" || url.hash !== "") return refused("baseUrl may have no ? and no #")
  for (const name of ["token", "adminToken"] as const) {
    const token = settings[name]
    // The platform would quote it in what it says of a header that it cannot send.
    if (token !== undefined && !/^[\x21-\x7E]+$/.test(Redacted.value(token))) {
      return refused(`${name} is empty, or has characters that no token has`)
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
