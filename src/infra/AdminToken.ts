import { chmod, mkdir, open, readFile } from "node:fs/promises"
import { join } from "node:path"
import { Context, Effect, Either, Layer, Option, Redacted, Schema } from "effect"
import { StorageFailed } from "../domain/Failure.ts"
import { Ledger } from "../services/journal/Ledger.ts"
import { Secrets } from "../services/access/Secrets.ts"
import { type AppConfig, bindsLoopback, isAdminToken } from "./Config.ts"
import { decodeUtf8 } from "./Utf8.ts"

/** The service would listen on the network, but it has no admin token and no app token: nobody could use it. */
export class NoWayIn extends Schema.TaggedError<NoWayIn>()("NoWayIn", { host: Schema.String }) {}

/** The operator's bearer token, and the file that holds it if the service generated it. */
export class AdminToken extends Context.Tag("clawdforge/AdminToken")<
  AdminToken,
  { readonly token: Option.Option<Redacted.Redacted>; readonly file: Option.Option<string> }
>() {}

/**
 * Finds the operator's token: `ADMIN_BOOTSTRAP_TOKEN` if it is set; else, if the service listens on loopback only, a token
 * that is generated once and stored in `DATA_DIR/admin-token` (mode 0600); else none.
 *
 * Fails with `NoWayIn` if there is none and no app token is in force. Fails with `StorageFailed` if the file cannot be
 * read or written, or holds no usable token.
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
        return {
          token: Option.some(yield* readOrCreate(file, yield* secrets.mint("cf_"))),
          file: Option.some(file),
        }
      }
      const ledger = yield* Ledger
      const tokens = yield* ledger.tokens.list
      if (!tokens.some((token) => token.revokedAt === null)) return yield* new NoWayIn({ host: config.host })
      return { token: Option.none(), file: Option.none() }
    }),
  )

/** The file's token. If the file is missing or empty, writes `fresh` to it and returns that. */
const readOrCreate = (file: string, fresh: Redacted.Redacted) =>
  Effect.tryPromise({
    try: async () => {
      await mkdir(join(file, ".."), { recursive: true, mode: 0o700 })
      const handle = await open(file, "a+", 0o600)
      try {
        await chmod(file, 0o600)
        const stored = Either.getOrThrowWith(
          decodeUtf8(await readFile(file)),
          (reason) => new Error(`${file} ${reason}`),
        ).trim()
        if (isAdminToken(stored)) return Redacted.make(stored)
        if (stored !== "") throw new Error(`${file} holds no usable token: remove it to have a new one made`)
        await handle.writeFile(`${Redacted.value(fresh)}\n`)
        await handle.sync()
        return fresh
      } finally {
        await handle.close()
      }
    },
    catch: (cause) => new StorageFailed({ during: "keeping the admin token", cause }),
  })
