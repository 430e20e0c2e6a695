import { chmod, mkdir, open, readFile } from "node:fs/promises"
import { join } from "node:path"
import { Context, Effect, Layer, Option, Redacted, Schema } from "effect"
import { StorageFailed } from "../domain/Failure.ts"
import { Ledger } from "../services/journal/Ledger.ts"
import { Secrets } from "../services/access/Secrets.ts"
import { type AppConfig, bindsLoopback, isAdminToken } from "./Config.ts"

/** Reachable from the network, and nobody could ever use it: no admin bearer, and no app token either. */
export class NoWayIn extends Schema.TaggedError<NoWayIn>()("NoWayIn", { host: Schema.String }) {}

/** The operator's bearer, and the file that it is kept in when we made it. */
export class AdminToken extends Context.Tag("clawdforge/AdminToken")<
  AdminToken,
  { readonly token: Option.Option<Redacted.Redacted>; readonly file: Option.Option<string> }
>() {}

/**
 * The admin bearer: the one in the environment; else, on a loopback bind, one that is made once and kept in
 * `DATA_DIR/admin-token` (0600); else none, provided that there is an app token to use the service with.
 */
export const layer = (
  config: AppConfig,
): Layer.Layer<AdminToken, NoWayIn | StorageFailed, Ledger | Secrets> =>
  Layer.effect(
    AdminToken,
    Effect.gen(function* () {
      if (Option.isSome(config.adminToken)) return { token: config.adminToken, file: Option.none() }
      if (bindsLoopback(config.host)) {
        const file = join(config.dataDir, "admin-token")
        const secrets = yield* Secrets
        return { token: Option.some(yield* kept(file, yield* secrets.mint("cf_"))), file: Option.some(file) }
      }
      const ledger = yield* Ledger
      const tokens = yield* ledger.tokens.list
      if (!tokens.some((token) => token.revokedAt === null)) return yield* new NoWayIn({ host: config.host })
      return { token: Option.none(), file: Option.none() }
    }),
  )

/** What the file holds, or `fresh`, written to it. */
const kept = (file: string, fresh: Redacted.Redacted) =>
  Effect.tryPromise({
    try: async () => {
      await mkdir(join(file, ".."), { recursive: true, mode: 0o700 })
      const handle = await open(file, "a+", 0o600)
      try {
        await chmod(file, 0o600)
        const found = (await readFile(file, "utf8")).trim()
        if (isAdminToken(found)) return Redacted.make(found)
        if (found !== "") throw new Error(`${file} holds no usable token: remove it to have a new one made`)
        await handle.writeFile(`${Redacted.value(fresh)}\n`)
        await handle.sync()
        return fresh
      } finally {
        await handle.close()
      }
    },
    catch: (cause) => new StorageFailed({ during: "keeping the admin token", cause }),
  })
