import { HttpApiBuilder } from "@effect/platform"
import { Effect, Option, Redacted, Schema } from "effect"
import { TokenNotFound } from "../../domain/Failure.ts"
import { TokenName } from "../../domain/Token.ts"
import { LiveRuns } from "../../services/runs/RunEngine.ts"
import { SessionPool } from "../../services/sessions/SessionPool.ts"
import { TokenStore } from "../../services/access/TokenStore.ts"
import { Api } from "../Api.ts"
import { CurrentAdmin } from "../groups/Auth.ts"
import { toSeconds, toSecondsOrNull } from "../groups/Wire.ts"
import { OpenStreams } from "../sse/OpenStreams.ts"
import { orProblem } from "../RequestContext.ts"

export const AdminHandlers = HttpApiBuilder.group(Api, "admin", (handlers) =>
  Effect.gen(function* () {
    const tokens = yield* TokenStore
    const runs = yield* LiveRuns
    const pool = yield* SessionPool
    const streams = yield* OpenStreams
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
          // A name that no token could have belongs to no token.
          if (!Schema.is(TokenName)(path.name)) return yield* new TokenNotFound()
          const revoked = yield* tokens.revoke(path.name, origin)
          if (Option.isSome(revoked)) {
            yield* runs.endOf(revoked.value)
            yield* pool.endOf(revoked.value, origin)
            yield* streams.endOf(revoked.value)
          }
          return { ok: true as const, name: path.name, already_revoked: Option.isNone(revoked) }
        }).pipe(
          // Who hangs up half-way would leave a revoked token's work, which nobody could end any more.
          Effect.uninterruptible,
          orProblem,
        ),
      )
  }),
)
