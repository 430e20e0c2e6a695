import { Effect, Layer, Redacted } from "effect"
import type { FileId, RequestId, RunId, SessionId, TokenId } from "../domain/Ids.ts"
import { Ids } from "../services/access/Ids.ts"
import { Secrets } from "../services/access/Secrets.ts"

/** Counts 1, 2, 3. */
export class Counter {
  #last = 0

  readonly next = Effect.sync(() => (this.#last += 1))
}

/** Identifiers 1, 2, 3 of a counter, padded to the length of a ULID or a UUID. */
export const countingIds = (counter: Counter) => {
  const next = Effect.map(counter.next, (n) => String(n).padStart(26, "0"))
  return Layer.succeed(Ids, {
    run: next as Effect.Effect<RunId>,
    file: next as Effect.Effect<FileId>,
    session: Effect.map(next, (n) => `00000000-0000-4000-8000-${n.slice(-12)}`) as Effect.Effect<SessionId>,
    token: next as Effect.Effect<TokenId>,
    request: next as Effect.Effect<RequestId>,
  })
}

/** Identifiers 1, 2, 3, padded to the length of a ULID or a UUID. Each build of the layer begins at 1. */
export const ids = Layer.suspend(() => countingIds(new Counter()))

/** Predictable secrets of a counter: `cf_secret-1`, `ff_secret-2`. */
export const countingSecrets = (counter: Counter) =>
  Layer.succeed(Secrets, {
    mint: (prefix) => Effect.map(counter.next, (n) => Redacted.make(`${prefix}secret-${n}`)),
    digest: Effect.sync(() => {
      let sum = 0
      const add = (bytes: Uint8Array) => {
        for (const byte of bytes) sum = (sum * 31 + byte) % 1_000_003
      }
      return { add, value: () => `digest ${sum}` }
    }),
    hash: (secret) => `hash of ${Redacted.value(secret)}`,
    equal: (left, right) => Redacted.value(left) === Redacted.value(right),
  })

/** Predictable secrets: `cf_secret-1`, `ff_secret-2`. Each build of the layer begins at 1. */
export const secrets = Layer.suspend(() => countingSecrets(new Counter()))
