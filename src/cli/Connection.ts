import { FileSystem, Path } from "@effect/platform"
import { Config, Effect, Option, Redacted } from "effect"
import { SettingsError } from "../client/Errors.ts"
import { ForgeClient } from "../client/ForgeClient.ts"
import type { ForgeSettings } from "../client/Settings.ts"
import { readTextFile } from "./Texts.ts"
import { bindsLoopback } from "../infra/Config.ts"

/** The setting, or none if it is unset or empty. */
const nonEmpty = <A>(config: Config.Config<A>) =>
  Config.option(config).pipe(
    Config.map(
      Option.filter((value) => String(Redacted.isRedacted(value) ? Redacted.value(value) : value) !== ""),
    ),
  )

const variables = Config.all({
  url: nonEmpty(Config.string("CLAWDFORGE_URL")),
  token: nonEmpty(Config.redacted("CLAWDFORGE_TOKEN")),
  adminToken: nonEmpty(Config.redacted("CLAWDFORGE_ADMIN_TOKEN")),
  bootstrap: nonEmpty(Config.redacted("ADMIN_BOOTSTRAP_TOKEN")),
  host: nonEmpty(Config.string("BIND_HOST")),
  port: nonEmpty(Config.string("BIND_PORT")),
  dataDir: nonEmpty(Config.string("DATA_DIR")),
})

/** The URL of a service on this machine. A service that listens on all addresses is reached by loopback. */
export const localUrl = (host: string, port: string | number): string => {
  const address = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host
  return `http://${address.includes(":") ? `[${address}]` : address}:${port}`
}

/** The address with a scheme: `127.0.0.1:8800` is taken as `http://127.0.0.1:8800`, as by curl. */
const withScheme = (url: string): string => (/^[a-z][a-z0-9+.-]*:\/\//i.test(url) ? url : `http://${url}`)

/**
 * The client's settings, from CLAWDFORGE_URL, CLAWDFORGE_TOKEN and CLAWDFORGE_ADMIN_TOKEN.
 *
 * Without CLAWDFORGE_URL, or if it names this machine's service, the service's own variables (BIND_HOST, BIND_PORT,
 * ADMIN_BOOTSTRAP_TOKEN, DATA_DIR) give the URL and the operator's token.
 */
export const connection = Effect.gen(function* () {
  const read = yield* variables
  const host = Option.getOrElse(read.host, () => "127.0.0.1")
  const local = localUrl(
    host,
    Option.getOrElse(read.port, () => "8800"),
  )
  const url = Option.match(read.url, { onNone: () => local, onSome: withScheme })
  const isLocal = url.replace(/\/+$/, "") === local
  // The service generates a token on loopback only; it is not sent to any other address.
  const generatedToken =
    isLocal && bindsLoopback(host)
      ? yield* readGeneratedToken(Option.getOrElse(read.dataDir, () => "./data"))
      : Option.none()
  const adminToken = read.adminToken.pipe(
    Option.orElse(() => (isLocal ? read.bootstrap : Option.none())),
    Option.orElse(() => generatedToken),
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

/** The operator's token that the service generated, if this user can read its file. Fails if the file is no text. */
const readGeneratedToken = (dataDir: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const file = path.join(dataDir, "admin-token")
    const isReadable = yield* Effect.isSuccess(fs.access(file, { readable: true }))
    const text = isReadable ? Option.some(yield* readTextFile(file)) : Option.none()
    return Option.filter(
      Option.map(text, (token) => token.trim()),
      (token) => token !== "",
    ).pipe(Option.map(Redacted.make))
  })

/** The client of the service, with the environment's settings. */
export const client = Effect.flatMap(connection, ({ settings }) => clientOf(settings))

/** A client with settings of the environment. A failure names the variable, in place of the client's setting. */
export const clientOf = (settings: ForgeSettings) =>
  Effect.mapError(
    ForgeClient.make(settings),
    ({ message }) => new SettingsError(message.replace(/^\w+/, (name) => VARIABLES[name] ?? name)),
  )

const VARIABLES: Readonly<Record<string, string>> = {
  baseUrl: "CLAWDFORGE_URL",
  token: "CLAWDFORGE_TOKEN",
  adminToken: "CLAWDFORGE_ADMIN_TOKEN",
} satisfies Partial<Record<keyof ForgeSettings, string>>
