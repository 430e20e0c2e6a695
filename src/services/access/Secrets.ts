import { Context, type Effect, type Redacted } from "effect"

/** A SHA-256 of all that was added to it. */
export interface Digest {
  readonly add: (bytes: Uint8Array) => void
  /** In hex. */
  readonly value: () => string
}

/** Port: what needs cryptography. */
export class Secrets extends Context.Tag("clawdforge/Secrets")<
  Secrets,
  {
    /** A new secret: 256 random bits after a prefix that says what for, an app's bearer or an upload. */
    readonly mint: (prefix: "cf_" | "ff_") => Effect.Effect<Redacted.Redacted>
    /** The SHA-256 of a secret, in hex: what is kept of it. */
    readonly hash: (secret: Redacted.Redacted) => string
    /** A new SHA-256, of bytes that come one after the other. */
    readonly digest: Effect.Effect<Digest>
    /** Compares in a time that does not depend on where, or in length, the two differ. */
    readonly equal: (left: Redacted.Redacted, right: Redacted.Redacted) => boolean
  }
>() {}
