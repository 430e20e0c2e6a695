import { Context, type Effect, type Redacted } from "effect"

/** Port: what needs cryptography. */
export class Secrets extends Context.Tag("clawdforge/Secrets")<
  Secrets,
  {
    /** A new secret: 256 random bits after a prefix that says what for, an app's bearer or an upload. */
    readonly mint: (prefix: "cf_" | "ff_") => Effect.Effect<Redacted.Redacted>
    /** The SHA-256 of a secret, in hex: what is kept of it. */
    readonly hash: (secret: Redacted.Redacted) => string
    /** Compares in a time that does not depend on where, or in length, the two differ. */
    readonly equal: (left: Redacted.Redacted, right: Redacted.Redacted) => boolean
  }
>() {}
