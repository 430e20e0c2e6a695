import { join } from "node:path"
import { Config, ConfigError, Effect, Either, Option, Redacted, Schema } from "effect"
import { Model, TIMEOUT_MAX_SECS } from "../domain/Run.ts"
import { AgentName } from "../domain/Session.ts"
import { isLoopback, parseCidr } from "../services/access/Allowlist.ts"

/** All settings of an operator, as the service uses them. `docs/configuration.md` documents them. */
export interface AppConfig {
  readonly host: string
  readonly port: number
  readonly adminToken: Option.Option<Redacted.Redacted>
  readonly allowCidrs: ReadonlyArray<string>
  readonly trustedProxies: ReadonlyArray<string>
  readonly corsOrigins: ReadonlyArray<string>
  readonly allowedHosts: ReadonlyArray<string>
  readonly maxConnectionsPerAddress: number
  readonly claudeBin: Option.Option<string>
  readonly acpxBin: Option.Option<string>
  readonly defaultModel: string
  readonly defaultTimeoutSecs: number
  readonly maxConcurrentRuns: number
  readonly maxQueuedRuns: number
  readonly maxQueueWaitSecs: number
  readonly agentBackend: "direct" | "acpx"
  /** The agents that sessions may use, each with its command unless acpx knows it. */
  readonly agents: ReadonlyMap<AgentName, Option.Option<string>>
  readonly agentIdleSecs: number
  readonly maxLiveSessions: number
  readonly maxQueuedTurns: number
  readonly sessionTtlSecs: number
  readonly sessionHardTtlSecs: number
  readonly sweepIntervalSecs: number
  readonly streamRetentionSecs: number
  readonly eventRetentionDays: number
  readonly eventMaxRows: number
  readonly auditRetentionDays: number
  readonly shutdownGraceSecs: number
  readonly dataDir: string
  readonly runsDir: string
  readonly sessionsDir: string
  readonly filesDir: string
  readonly dbPath: string
  readonly maxBodyBytes: number
  readonly maxUploadBytes: number
  readonly maxFilesBytesPerToken: number
}

/** The value in `.env.example`. It is no secret, so it is refused. */
const EXAMPLE_ADMIN_TOKEN = "change-me-to-at-least-32-random-characters"
const ADMIN_TOKEN_MIN_CHARS = 32

type Parse<A> = (text: string) => A | undefined

const names = new Set<string>()

/** The names of all settings of the service. */
export const settingNames: ReadonlySet<string> = names

const truncate = (text: string) => (text.length > 80 ? `${text.slice(0, 80)}…` : text)

/**
 * A variable that `parse` reads. A blank value counts as unset: compose files write unset variables so. `quote` writes the
 * value into an error message.
 */
const variable = <A>(
  name: string,
  expected: string,
  parse: Parse<A>,
  quote: (text: string) => string = truncate,
) => {
  names.add(name)
  return Config.string(name).pipe(
    Config.option,
    Config.map(Option.filter((text) => text.trim() !== "")),
    Config.mapOrFail(
      Option.match({
        onNone: () => Either.right(Option.none<A>()),
        onSome: (text) => {
          const value = parse(text.trim())
          return value === undefined
            ? Either.left(ConfigError.InvalidData([name], `given ${quote(text)}, expected ${expected}`))
            : Either.right(Option.some(value))
        },
      }),
    ),
  )
}

const withDefault = <A>(fallback: A) => Config.map<Option.Option<A>, A>(Option.getOrElse(() => fallback))

const text = (name: string) => variable<string>(name, "a text", (value) => value)

const integer = (name: string, min: number, max: number) =>
  variable(name, `a whole number from ${min} to ${max}`, (value) => {
    const number = /^\d{1,16}$/.test(value) ? Number(value) : Number.NaN
    return number >= min && number <= max ? number : undefined
  })

/** A comma-separated list. `parse` reads each part. */
const list = (name: string, expected: string, parse: Parse<string>) =>
  variable(name, expected, (value) => {
    const parts = value
      .split(",")
      .map((part) => part.trim())
      .filter((part) => part !== "")
      .map(parse)
    return parts.every((part) => part !== undefined) ? parts : undefined
  })

const cidrs = (name: string) =>
  list(name, "CIDRs such as 192.168.0.0/16,fd00::/8", (part) =>
    parseCidr(part) === undefined ? undefined : part,
  )

/** Origins as browsers send them: without a path, and without the scheme's own port. */
const origins = (name: string) =>
  list(name, "origins such as https://app.example,http://localhost:3000", (part) => {
    const text = part.replace(/\/$/, "").toLowerCase()
    if (!/^[a-z][a-z\d+.-]*:\/\/[^/?#@\s*]+$/.test(text) || !URL.canParse(text)) return undefined
    const { origin } = new URL(text)
    // The origins of browser extensions and desktop apps have schemes that the URL parser does not know.
    return origin === "null" ? text : origin
  })

const hosts = (name: string) =>
  list(name, "host names without a port such as forge.example.com, or *", (part) =>
    /^(?:\*|[\w-]+(?:\.[\w-]+)*\.?)$/.test(part) ? part.toLowerCase() : undefined,
  )

/** Names of agents, each with an optional command: `claude,mine=node /opt/mine.js`. */
const agents = variable(
  "CLAWDFORGE_AGENTS",
  "names of agents, comma-separated, each perhaps with =command",
  (value): ReadonlyMap<AgentName, Option.Option<string>> | undefined => {
    const parts = value.split(",").map((part) => {
      const [name = "", ...command] = part.trim().split("=")
      return [
        name.trim(),
        Option.filter(Option.some(command.join("=").trim()), (text) => text !== ""),
      ] as const
    })
    return parts.every((part): part is [AgentName, Option.Option<string>] => Schema.is(AgentName)(part[0]))
      ? new Map(parts)
      : undefined
  },
)

const choice = <const A extends string>(name: string, ...choices: ReadonlyArray<A>) =>
  variable(name, choices.join(" or "), (value) => choices.find((known) => known === value))

/** Whether the text can be the operator's bearer token. */
export const isAdminToken = (value: string): boolean =>
  value.length >= ADMIN_TOKEN_MIN_CHARS && /^[\x21-\x7e]+$/.test(value) && value !== EXAMPLE_ADMIN_TOKEN

const adminToken = variable(
  "ADMIN_BOOTSTRAP_TOKEN",
  `a secret of your own (not the example's) of at least ${ADMIN_TOKEN_MIN_CHARS} printable characters without blanks`,
  (value) => (isAdminToken(value) ? Redacted.make(value) : undefined),
  (value) => `<redacted, ${value.trim().length} characters>`,
)

const MEBIBYTE = 1024 * 1024

const variables = Config.all({
  host: text("BIND_HOST").pipe(withDefault("127.0.0.1")),
  port: integer("BIND_PORT", 0, 65535).pipe(withDefault(8800)),
  adminToken,
  allowCidrs: cidrs("ALLOW_CIDRS").pipe(withDefault<ReadonlyArray<string>>([])),
  trustedProxies: cidrs("TRUSTED_PROXIES").pipe(withDefault<ReadonlyArray<string>>([])),
  corsOrigins: origins("CORS_ORIGINS").pipe(withDefault<ReadonlyArray<string>>([])),
  allowedHosts: hosts("ALLOWED_HOSTS").pipe(withDefault<ReadonlyArray<string>>([])),
  maxConnectionsPerAddress: integer("MAX_CONNECTIONS_PER_ADDRESS", 1, 1_000_000).pipe(withDefault(1000)),
  claudeBin: text("CLAUDE_BIN"),
  acpxBin: text("ACPX_BIN"),
  defaultModel: variable("DEFAULT_MODEL", "a model name", (value) =>
    Schema.is(Model)(value) ? value : undefined,
  ).pipe(withDefault("sonnet")),
  defaultTimeoutSecs: integer("DEFAULT_TIMEOUT_SECS", 1, TIMEOUT_MAX_SECS).pipe(withDefault(120)),
  maxConcurrentRuns: integer("CLAWDFORGE_MAX_CONCURRENT_RUNS", 1, 1024).pipe(withDefault(8)),
  maxQueuedRuns: integer("CLAWDFORGE_MAX_QUEUED_RUNS", 0, 100_000).pipe(withDefault(256)),
  maxQueueWaitSecs: integer("CLAWDFORGE_MAX_QUEUE_WAIT_SECS", 1, 3600).pipe(withDefault(30)),
  agentBackend: choice("CLAWDFORGE_AGENT_BACKEND", "direct", "acpx").pipe(
    withDefault<"direct" | "acpx">("direct"),
  ),
  agents: agents.pipe(
    withDefault<ReadonlyMap<AgentName, Option.Option<string>>>(
      new Map([[AgentName.make("claude"), Option.none()]]),
    ),
  ),
  agentIdleSecs: integer("CLAWDFORGE_AGENT_IDLE_SECS", 0, 86_400).pipe(withDefault(300)),
  maxLiveSessions: integer("CLAWDFORGE_MAX_LIVE_SESSIONS", 0, 100_000).pipe(withDefault(32)),
  maxQueuedTurns: integer("CLAWDFORGE_MAX_QUEUED_TURNS", 0, 100_000).pipe(withDefault(32)),
  sessionTtlSecs: integer("CLAWDFORGE_SESSION_TTL_SECS", 1, 31_536_000).pipe(withDefault(3600)),
  sessionHardTtlSecs: integer("CLAWDFORGE_SESSION_HARD_TTL_SECS", 0, 31_536_000).pipe(withDefault(86_400)),
  sweepIntervalSecs: integer("CLAWDFORGE_SWEEP_INTERVAL_SECS", 1, 86_400).pipe(withDefault(60)),
  streamRetentionSecs: integer("STREAM_RETENTION_SECS", 0, 31_536_000).pipe(withDefault(3600)),
  eventRetentionDays: integer("EVENT_RETENTION_DAYS", 1, 36_500).pipe(withDefault(14)),
  eventMaxRows: integer("EVENT_MAX_ROWS", 0, 1_000_000_000).pipe(withDefault(200_000)),
  auditRetentionDays: integer("AUDIT_RETENTION_DAYS", 1, 36_500).pipe(withDefault(365)),
  shutdownGraceSecs: integer("SHUTDOWN_GRACE_SECS", 0, 3600).pipe(withDefault(10)),
  dataDir: text("DATA_DIR").pipe(withDefault("./data")),
  runsDir: text("RUNS_DIR"),
  sessionsDir: text("ACPX_SESSIONS_CWD"),
  filesDir: text("FILES_DIR"),
  dbPath: text("DB_PATH"),
  maxBodyBytes: integer("MAX_BODY_BYTES", 1024, 1024 ** 3).pipe(withDefault(12 * MEBIBYTE)),
  maxUploadBytes: integer("MAX_UPLOAD_BYTES", 1, 1024 ** 4).pipe(withDefault(100 * MEBIBYTE)),
  maxFilesBytesPerToken: integer("MAX_FILES_BYTES_PER_TOKEN", 1, 1024 ** 5).pipe(
    withDefault(2048 * MEBIBYTE),
  ),
})

/** Reads the environment. Fails with all bad variables at once; {@link explain} turns the failure into lines. */
export const load: Effect.Effect<AppConfig, ConfigError.ConfigError> = Effect.map(variables, (read) => ({
  ...read,
  runsDir: Option.getOrElse(read.runsDir, () => join(read.dataDir, "runs")),
  sessionsDir: Option.getOrElse(read.sessionsDir, () => join(read.dataDir, "acpx-cwds")),
  filesDir: Option.getOrElse(read.filesDir, () => join(read.dataDir, "files")),
  dbPath: Option.getOrElse(read.dbPath, () => join(read.dataDir, "clawdforge.db")),
}))

/** One line for each bad variable: its name, its value (secrets redacted), and what is expected. */
export const explain = (error: ConfigError.ConfigError): ReadonlyArray<string> => {
  switch (error._op) {
    case "And":
    case "Or":
      return [...explain(error.left), ...explain(error.right)]
    default:
      return [`${error.path.join(".")}: ${error.message}`]
  }
}

/** Whether a server that is bound to `host` can be reached from this host only. */
export const bindsLoopback = (host: string): boolean => host === "localhost" || isLoopback(host)
