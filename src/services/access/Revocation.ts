import { Context, Effect, Layer, Option, type Scope } from "effect"
import type { StorageFailed, TokenNotFound } from "../../domain/Failure.ts"
import type { TokenId } from "../../domain/Ids.ts"
import type { Origin } from "../../domain/Origin.ts"
import type { TokenName } from "../../domain/Token.ts"
import { TokenStore } from "./TokenStore.ts"

/** Ends what an app has running or open. Returns without waiting for long work. */
export type EndOfApp = (owner: TokenId, origin: Origin) => Effect.Effect<void>

/** The revocation of tokens. Every feature that runs or holds something for an app registers how it is ended. */
export class Revocation extends Context.Tag("clawdforge/Revocation")<
  Revocation,
  {
    /**
     * Registers what a revocation ends, until the scope closes. Registrations are called in their order, which is the
     * order in which the layers are built: runs before sessions before streams.
     */
    readonly register: (end: EndOfApp) => Effect.Effect<void, never, Scope.Scope>
    /**
     * Revokes the token of that name at once, then ends what its app has. Revoked again, it changes nothing. Cannot be
     * interrupted: work of a revoked token that is left over could not be ended by anybody.
     */
    readonly revoke: (
      name: TokenName,
      origin: Origin,
    ) => Effect.Effect<{ readonly alreadyRevoked: boolean }, TokenNotFound | StorageFailed>
  }
>() {
  static readonly layer: Layer.Layer<Revocation, never, TokenStore> = Layer.effect(
    Revocation,
    Effect.map(TokenStore, (tokens) => {
      const registered = new Set<EndOfApp>()
      return {
        register: (end) =>
          Effect.acquireRelease(
            Effect.sync(() => void registered.add(end)),
            () => Effect.sync(() => registered.delete(end)),
          ),
        revoke: Effect.fn("Revocation.revoke")(function* (name, origin) {
          const revoked = yield* tokens.revoke(name, origin)
          if (Option.isSome(revoked)) {
            // A defect must not keep the others from being ended: a second revocation does not call them.
            const ends = yield* Effect.forEach(registered, (end) => Effect.exit(end(revoked.value, origin)))
            yield* Effect.all(ends, { discard: true })
          }
          return { alreadyRevoked: Option.isNone(revoked) }
        }, Effect.uninterruptible),
      }
    }),
  )
}
