import { Effect, Layer, Redacted, Ref } from "effect"
import type { FileId, RequestId, RunId, SessionId, TokenId } from "../domain/Ids.ts"
import { Ids } from "../services/Ids.ts"
import { Secrets } from "../services/Secrets.ts"

/** Identifiers that count: 1, 2, 3, each padded to the length of a ULID or of a UUID. */
export const ids = Layer.effect(
  Ids,
  Effect.map(Ref.make(0), (counter) => {
    const next = Effect.map(
      Ref.updateAndGet(counter, (n) => n + 1),
      (n) => String(n).padStart(26, "0"),
    )
    return {
      run: next as Effect.Effect<RunId>,
      file: next as Effect.Effect<FileId>,
      session: Effect.map(next, (n) => `00000000-0000-4000-8000-${n.slice(-12)}`) as Effect.Effect<SessionId>,
      token: next as Effect.Effect<TokenId>,
      request: next as Effect.Effect<RequestId>,
    }
  }),
)

/** Secrets that anybody can guess: `cf_secret-1`, `ff_secret-2`. */
export const secrets = Layer.effect(
  Secrets,
  Effect.map(Ref.make(0), (counter) => ({
    mint: (prefix) =>
      Effect.map(
        Ref.updateAndGet(counter, (n) => n + 1),
        (n) => Redacted.make(`${prefix}secret-${n}`),
      ),
    digest: Effect.sync(() => {
      let sum = 0
      const add = (bytes: Uint8Array) => {
        for (const byte of bytes) sum = (sum * 31 + byte) % 1_000_003
      }
      return { add, value: () => `digest ${sum}` }
    }),
    hash: (secret) => `hash of ${Redacted.value(secret)}`,
    equal: (left, right) => Redacted.value(left) === Redacted.value(right),
  })),
)
