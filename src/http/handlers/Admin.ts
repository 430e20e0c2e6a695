import { HttpApiBuilder } from "@effect/platform"
import { Effect, Redacted, Schema } from "effect"
import { TokenNotFound } from "../../domain/Failure.ts"
import { TokenName } from "../../domain/Token.ts"
import { Revocation } from "../../services/access/Revocation.ts"
import { TokenStore } from "../../services/access/TokenStore.ts"
import { Api } from "../Api.ts"
import { CurrentAdmin } from "../groups/Auth.ts"
import { toSeconds, toSecondsOrNull } from "../groups/Wire.ts"
import { orProblem } from "../RequestContext.ts"

export const AdminHandlers = HttpApiBuilder.group(Api, "admin", (handlers) =>
  Effect.gen(function* () {
    const tokens = yield* TokenStore
    const revocation = yield* Revocation
    return handlers
      .handle("mintToken", ({ payload }) =>
        Effect.gen(function* () {
          const { origin } = yield* CurrentAdmin
          const { token, secret } = yield* tokens.mint(payload.name, payload.ip_cidrs ?? [], origin)
          return {
            ok: true as const,
            name: token.name,
            token: Redacted.value(secret),
            ip_cidrs: token.ipCidrs,
            created_at: toSeconds(token.createdAt),
          }
        }).pipe(orProblem),
      )
      .handle("listTokens", () =>
        tokens.list.pipe(
          Effect.map((all) => ({
            ok: true as const,
            tokens: all.map((token) => ({
              name: token.name,
              ip_cidrs: token.ipCidrs,
              created_at: toSeconds(token.createdAt),
              last_used_at: toSecondsOrNull(token.lastUsedAt),
              revoked_at: toSecondsOrNull(token.revokedAt),
            })),
          })),
          orProblem,
        ),
      )
      .handle("revokeToken", ({ path }) =>
        Effect.gen(function* () {
          const { origin } = yield* CurrentAdmin
          // A text that cannot be the name of a token is like an unknown name.
          if (!Schema.is(TokenName)(path.name)) return yield* new TokenNotFound()
          const { alreadyRevoked } = yield* revocation.revoke(path.name, origin)
          return { ok: true as const, name: path.name, already_revoked: alreadyRevoked }
        }).pipe(orProblem),
      )
  }),
)
