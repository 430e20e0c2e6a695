import { Context, type Effect, type Option } from "effect"

/** What is known of the file in which `claude` keeps its login. It never has the secret. */
export interface Credential {
  /** Differs whenever the content of the file has changed. */
  readonly fingerprint: string
  /** When `claude` can no longer renew the login by itself, in milliseconds since 1970; null when it is not known. */
  readonly expiresAt: number | null
}

/** Port: the file in which `claude` keeps its login. */
export class CredentialFile extends Context.Tag("clawdforge/CredentialFile")<
  CredentialFile,
  {
    /** Reads the file. None when there is none, or when the login does not come from it. */
    readonly read: Effect.Effect<Option.Option<Credential>>
  }
>() {}
