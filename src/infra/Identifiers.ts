import { createHash, randomBytes, randomUUID, timingSafeEqual } from "node:crypto"
import { Clock, Effect, Layer, Redacted } from "effect"
import { monotonicFactory } from "ulid"
import type { FileId, RequestId, RunId, SessionId, TokenId } from "../domain/Ids.ts"
import { Ids } from "../services/access/Ids.ts"
import { Secrets } from "../services/access/Secrets.ts"

/** Ids are ULIDs, which sort in the order of their creation, also within one millisecond; a session's id is a UUID. */
export const idsLayer = Layer.sync(Ids, () => {
  // Ids are not secret, so `Math.random` is enough; the default would ask the kernel for each character.
  const ulid = monotonicFactory(Math.random)
  const next = Effect.map(Clock.currentTimeMillis, (now) => ulid(now))
  return {
    run: next as Effect.Effect<RunId>,
    file: next as Effect.Effect<FileId>,
    session: Effect.sync(() => randomUUID() as SessionId),
    token: next as Effect.Effect<TokenId>,
    request: next as Effect.Effect<RequestId>,
  }
})

const sha256 = (text: string) => createHash("sha256").update(text)

export const secretsLayer = Layer.succeed(Secrets, {
  mint: (prefix) => Effect.sync(() => Redacted.make(`${prefix}${randomBytes(32).toString("base64url")}`)),
  hash: (secret) => sha256(Redacted.value(secret)).digest("hex"),
  digest: Effect.sync(() => {
    const hash = createHash("sha256")
    return { add: (bytes: Uint8Array) => void hash.update(bytes), value: () => hash.copy().digest("hex") }
  }),
  // `timingSafeEqual` needs two inputs of the same length: hashes have it.
  equal: (left, right) =>
    timingSafeEqual(sha256(Redacted.value(left)).digest(), sha256(Redacted.value(right)).digest()),
})
