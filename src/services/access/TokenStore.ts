import { Cause, Clock, Context, Duration, Effect, Layer, Option, type Redacted, Schedule } from "effect"
import { type StorageFailed, TokenNameTaken, TokenNotFound, Unauthorized } from "../../domain/Failure.ts"
import type { TokenId } from "../../domain/Ids.ts"
import type { Origin } from "../../domain/Origin.ts"
import type { AppToken, TokenName } from "../../domain/Token.ts"
import { Ids } from "./Ids.ts"
import { Ledger } from "../journal/Ledger.ts"
import { Secrets } from "./Secrets.ts"

/** How often `last_used_at` is written, for all tokens together. A write for each request would be too much. */
const TOUCH_INTERVAL = Duration.seconds(5)

/** The bearer tokens of apps. The ledger stores the SHA-256 of each secret, and finds a token by it. */
export class TokenStore extends Context.Tag("clawdforge/TokenStore")<
  TokenStore,
  {
    /** Mints a token. Its secret is returned here and stored nowhere. Fails if a token of that name is in force. */
    readonly mint: (
      name: TokenName,
      ipCidrs: ReadonlyArray<string>,
      origin: Origin,
    ) => Effect.Effect<
      { readonly token: AppToken; readonly secret: Redacted.Redacted },
      TokenNameTaken | StorageFailed
    >
    /**
     * Returns the token in force of that name. Mints it if there is none, for an app in this process that needs no
     * secret.
     */
    readonly named: (name: TokenName, origin: Origin) => Effect.Effect<AppToken, StorageFailed>
    /** Returns the token in force with that secret. Fails for a revoked token from the next call on. */
    readonly authenticate: (
      secret: Redacted.Redacted,
    ) => Effect.Effect<AppToken, Unauthorized | StorageFailed>
    /** Returns all tokens, revoked ones too, oldest first. */
    readonly list: Effect.Effect<ReadonlyArray<AppToken>, StorageFailed>
    /**
     * Revokes the token of that name. Returns its id, or none if it was revoked before. Does not end the app's work:
     * see `Revocation`.
     */
    readonly revoke: (
      name: TokenName,
      origin: Origin,
    ) => Effect.Effect<Option.Option<TokenId>, TokenNotFound | StorageFailed>
  }
>() {
  static readonly layer = Layer.scoped(
    TokenStore,
    Effect.gen(function* () {
      const { tokens } = yield* Ledger
      const secrets = yield* Secrets
      const ids = yield* Ids
      const used = new Map<TokenId, number>()

      const flush = Effect.suspend(() => {
        if (used.size === 0) return Effect.void
        const lastUsed = new Map(used)
        used.clear()
        return tokens.touch(lastUsed).pipe(
          Effect.catchAll((failure) => {
            for (const [id, at] of lastUsed) if (!used.has(id)) used.set(id, at)
            return Effect.logWarning("last_used_at is not written yet", Cause.die(failure.cause))
          }),
        )
      })
      yield* Effect.addFinalizer(() => flush)
      yield* flush.pipe(Effect.schedule(Schedule.spaced(TOUCH_INTERVAL)), Effect.forkScoped)

      const mint = Effect.fn("TokenStore.mint")(function* (
        name: TokenName,
        ipCidrs: ReadonlyArray<string>,
        origin: Origin,
      ) {
        const secret = yield* secrets.mint("cf_")
        const token: AppToken = {
          id: yield* ids.token,
          name,
          ipCidrs,
          createdAt: yield* Clock.currentTimeMillis,
          lastUsedAt: null,
          revokedAt: null,
        }
        yield* tokens.insert(token, secrets.hash(secret), origin)
        return { token, secret }
      })

      const named = Effect.fn("TokenStore.named")(
        function* (name: TokenName, origin: Origin) {
          const all = yield* tokens.list
          const found = all.find((token) => token.name === name && token.revokedAt === null)
          return found ?? (yield* mint(name, [], origin)).token
        },
        // `TokenNameTaken`: another caller minted it meanwhile. The next attempt finds it.
        Effect.retry({ until: (failure): failure is StorageFailed => failure._tag === "StorageFailed" }),
      )

      const authenticate = (secret: Redacted.Redacted) =>
        tokens.findByHash(secrets.hash(secret)).pipe(
          Effect.flatMap(Option.match({ onNone: () => new Unauthorized(), onSome: Effect.succeed })),
          Effect.tap((token) => Effect.map(Clock.currentTimeMillis, (now) => used.set(token.id, now))),
        )

      const revoke = Effect.fn("TokenStore.revoke")(function* (name: TokenName, origin: Origin) {
        const outcome = yield* tokens.revoke(name, yield* Clock.currentTimeMillis, origin)
        if (outcome === "unknown") return yield* new TokenNotFound()
        return outcome === "already_revoked" ? Option.none() : Option.some(outcome)
      })

      return { mint, named, authenticate, list: tokens.list, revoke }
    }),
  )
}
