import { Context, type Effect, type Redacted } from "effect"

/** The SHA-256 of all bytes that are added to it. */
export interface Digest {
  readonly add: (bytes: Uint8Array) => void
  /** The digest of all bytes so far, in hex. */
  readonly value: () => string
}

/** Port: cryptography. */
export class Secrets extends Context.Tag("clawdforge/Secrets")<
  Secrets,
  {
    /** Makes a new secret: a prefix and 256 random bits. `cf_` is for an app's bearer token, `ff_` for an upload. */
    readonly mint: (prefix: "cf_" | "ff_") => Effect.Effect<Redacted.Redacted>
    /** The SHA-256 of a secret, in hex. Only this is stored. */
    readonly hash: (secret: Redacted.Redacted) => string
    /** Begins a SHA-256 of bytes that arrive in pieces. */
    readonly digest: Effect.Effect<Digest>
    /** Compares two secrets. The time does not depend on where they differ, or on their lengths. */
    readonly equal: (left: Redacted.Redacted, right: Redacted.Redacted) => boolean
  }
>() {}
