import { FileSystem, Path } from "@effect/platform"
import { Config, Effect, Option, Redacted } from "effect"
import { ForgeClient } from "../client/ForgeClient.ts"
import type { ForgeSettings } from "../client/Settings.ts"
import { bindsLoopback } from "../infra/Config.ts"

/** Set, and not blank. */
const definedOptions = <A>(config: Config.Config<A>) =>
  Config.option(config).pipe(
    Config.map(
      Option.filter((value) => String(Redacted.isRedacted(value) ? Redacted.value(value) : value) !== ""),
    ),
  )

const variables = Config.all({
  url: definedOptions(Config.string("CLAWDFORGE_URL")),
  token: definedOptions(Config.redacted("CLAWDFORGE_TOKEN")),
  adminToken: definedOptions(Config.redacted("CLAWDFORGE_ADMIN_TOKEN")),
  bootstrap: definedOptions(Config.redacted("ADMIN_BOOTSTRAP_TOKEN")),
  host: definedOptions(Config.string("BIND_HOST")),
  port: definedOptions(Config.string("BIND_PORT")),
  dataDir: definedOptions(Config.string("DATA_DIR")),
})

/** Where this machine's own service listens: who listens everywhere can be asked here. */
export const localUrl = (host: string, port: string | number): string => {
  const near = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host
  return `http://${near.includes(":") ? `[${near}]` : near}:${port}`
}

/**
 * Where the service is, and with what to ask it: CLAWDFORGE_URL, CLAWDFORGE_TOKEN, CLAWDFORGE_ADMIN_TOKEN. Without a
 * URL, or with its own, it is this machine's, as the service's own variables say, and so is the operator's token.
 */
export const connection = Effect.gen(function* () {
  const read = yield* variables
  const host = Option.getOrElse(read.host, () => "127.0.0.1")
  const local = localUrl(
    host,
    Option.getOrElse(read.port, () => "8800"),
  )
  const url = Option.getOrElse(read.url, () => local)
  const isLocal = url.replace(/\/+$/, "") === local
  // It is made only where the service listens on loopback, and goes nowhere else.
  const kept =
    isLocal && bindsLoopback(host)
      ? yield* keptAdminToken(Option.getOrElse(read.dataDir, () => "./data"))
      : Option.none()
  const adminToken = read.adminToken.pipe(
    Option.orElse(() => (isLocal ? read.bootstrap : Option.none())),
    Option.orElse(() => kept),
  )
  return {
    isLocal,
    settings: {
      baseUrl: url,
      token: Option.getOrUndefined(read.token),
      adminToken: Option.getOrUndefined(adminToken),
    } satisfies ForgeSettings,
  }
})

/** The token that the service made for itself, where this user may read it. */
const keptAdminToken = (dataDir: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const text = yield* Effect.option(fs.readFileString(path.join(dataDir, "admin-token")))
    return Option.filter(
      Option.map(text, (token) => token.trim()),
      (token) => token !== "",
    ).pipe(Option.map(Redacted.make))
  })

/** The service that is to be asked. */
export const client = Effect.flatMap(connection, ({ settings }) => ForgeClient.make(settings))
