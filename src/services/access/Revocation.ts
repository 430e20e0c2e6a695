import { Context, Effect, Layer, Option, type Scope } from "effect"
import type { StorageFailed, TokenNotFound } from "../../domain/Failure.ts"
import type { TokenId } from "../../domain/Ids.ts"
import type { Origin } from "../../domain/Origin.ts"
import type { TokenName } from "../../domain/Token.ts"
import { TokenStore } from "./TokenStore.ts"

/** Ends what an app has running or open. Returns without waiting for long work. */
export type EndOfApp = (owner: TokenId, origin: Origin) => Effect.Effect<void>

/** The revocation of tokens. Each feature that has something running or open for an app registers how that ends. */
export class Revocation extends Context.Tag("clawdforge/Revocation")<
  Revocation,
  {
    /**
     * Registers an effect that each revocation calls, until the scope closes. Effects are called in the order of their
     * registration, which is the order in which the layers are built: runs before sessions before streams.
     */
    readonly register: (end: EndOfApp) => Effect.Effect<void, never, Scope.Scope>
    /**
     * Revokes the token of that name, then calls the registered effects. Revoking a revoked token changes nothing.
     * Cannot be interrupted: nobody could end work that is left over from a revoked token.
     */
    readonly revoke: (
      name: TokenName,
      origin: Origin,
    ) => Effect.Effect<{ readonly alreadyRevoked: boolean }, TokenNotFound | StorageFailed>
  }
>() {
  static readonly layer: Layer.Layer<Revocation, never, TokenStore> = Layer.effect(
    Revocation,
    Effect.map(TokenStore, ({ revoke }) => makeRevocation(revoke)),
  )
}

/** Makes a revocation of the tokens that `revokeToken` revokes. */
export const makeRevocation = (
  revokeToken: (typeof TokenStore.Service)["revoke"],
): typeof Revocation.Service => {
  const registered = new Set<EndOfApp>()
  return {
    register: (end) =>
      Effect.acquireRelease(
        Effect.sync(() => void registered.add(end)),
        () => Effect.sync(() => registered.delete(end)),
      ),
    revoke: Effect.fn("Revocation.revoke")(function* (name, origin) {
      const revoked = yield* revokeToken(name, origin)
      if (Option.isSome(revoked)) {
        // A defect of one must not keep the others from being called: a second revocation does not call them.
        const ends = yield* Effect.forEach(registered, (end) => Effect.exit(end(revoked.value, origin)))
        yield* Effect.all(ends, { discard: true })
      }
      return { alreadyRevoked: Option.isNone(revoked) }
    }, Effect.uninterruptible),
  }
}
