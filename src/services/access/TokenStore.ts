import { Cause, Clock, Context, Duration, Effect, Layer, Option, type Redacted, Schedule } from "effect"
import { type StorageFailed, TokenNameTaken, TokenNotFound, Unauthorized } from "../../domain/Failure.ts"
import type { TokenId } from "../../domain/Ids.ts"
import type { AppToken, Origin, TokenName } from "../../domain/Token.ts"
import { Ids } from "./Ids.ts"
import { Ledger } from "../journal/Ledger.ts"
import { Secrets } from "./Secrets.ts"

/** How far `last_used_at` may lag behind: one write for all tokens in that time, not one a request. */
const TOUCH_INTERVAL = Duration.seconds(5)

/** Apps' bearer tokens. The ledger holds a SHA-256 of each secret, which is also how a token is looked up. */
export class TokenStore extends Context.Tag("clawdforge/TokenStore")<
  TokenStore,
  {
    /** Makes a token. The secret is returned here and can never be read again. */
    readonly mint: (
      name: TokenName,
      ipCidrs: ReadonlyArray<string>,
      origin: Origin,
    ) => Effect.Effect<
      { readonly token: AppToken; readonly secret: Redacted.Redacted },
      TokenNameTaken | StorageFailed
    >
    /**
     * The token in force of that name, minted if there is none: for an app within this process, which needs no secret.
     */
    readonly named: (name: TokenName, origin: Origin) => Effect.Effect<AppToken, StorageFailed>
    /** The token in force that the secret belongs to. Revocation shows at the next call. */
    readonly authenticate: (
      secret: Redacted.Redacted,
    ) => Effect.Effect<AppToken, Unauthorized | StorageFailed>
    /** All tokens, revoked ones too, oldest first. */
    readonly list: Effect.Effect<ReadonlyArray<AppToken>, StorageFailed>
    /** Revokes the token of that name at once, and says whose it was; again, it changes nothing. */
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
        // Where somebody else was first, there is one now.
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
