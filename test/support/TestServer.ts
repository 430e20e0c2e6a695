import { mkdtempSync, rmSync } from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { HttpServer } from "@effect/platform"
import { Context, Effect, Layer, Logger, Option, Redacted, Schedule, type Scope } from "effect"
import { agent, app, sessionAgents } from "../../src/app.ts"
import { AgentName } from "../../src/domain/Session.ts"
import type { AppConfig } from "../../src/infra/Config.ts"
import { type Fetch, Forge, forge, type ForgeOptions } from "../../src/testing.ts"
import { scriptedClaude } from "./Scripted.ts"

export { fileForm, scriptedClaude } from "./Scripted.ts"

export const ADMIN_TOKEN = "an-admin-token-for-tests-only-0123456789"

/** A directory that is gone with the scope. */
export const temporaryDirectory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "clawdforge-test-"))),
  (dir) => Effect.sync(() => rmSync(dir, { recursive: true, force: true })),
)

export const configFor = (dataDir: string, overrides: Partial<AppConfig> = {}): AppConfig => ({
  host: "127.0.0.1",
  port: 0,
  adminToken: Option.some(Redacted.make(ADMIN_TOKEN)),
  allowCidrs: [],
  trustedProxies: [],
  corsOrigins: [],
  allowedHosts: [],
  maxConnectionsPerAddress: 1000,
  claudeBin: Option.none(),
  acpxBin: Option.some(scriptedClaude),
  defaultModel: "sonnet",
  defaultTimeoutSecs: 120,
  maxConcurrentRuns: 4,
  maxQueuedRuns: 256,
  maxQueueWaitSecs: 30,
  agentBackend: "direct",
  agents: new Map([[AgentName.make("claude"), Option.none()]]),
  agentIdleSecs: 300,
  maxLiveSessions: 32,
  maxQueuedTurns: 32,
  sessionTtlSecs: 3600,
  sessionHardTtlSecs: 86_400,
  sweepIntervalSecs: 60,
  streamRetentionSecs: 3600,
  eventRetentionDays: 14,
  eventMaxRows: 200_000,
  auditRetentionDays: 365,
  shutdownGraceSecs: 0,
  dataDir,
  runsDir: join(dataDir, "runs"),
  sessionsDir: join(dataDir, "acpx-cwds"),
  filesDir: join(dataDir, "files"),
  dbPath: join(dataDir, "clawdforge.db"),
  maxBodyBytes: 12 * 1024 * 1024,
  maxUploadBytes: 1024 * 1024,
  maxFilesBytesPerToken: 4 * 1024 * 1024,
  ...overrides,
})

/** An answer as a client sees it. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  readonly json: any
}

/** A client of a service, real or in memory. */
export interface TestClient {
  readonly url: string
  readonly request: (method: string, path: string, options?: RequestOptions) => Effect.Effect<Answer>
  /** A new app's token. */
  readonly mint: (name: string, ipCidrs?: ReadonlyArray<string>) => Effect.Effect<string>
  readonly run: (token: string, payload: object, query?: string) => Effect.Effect<Answer>
  /** An upload of a form; a file of that content and name, or whatever form it is. */
  readonly upload: (token: string, form: FormData) => Effect.Effect<Answer>
}

/** The real server, over a real socket. */
export interface TestServer extends TestClient {
  readonly config: AppConfig
}

export interface RequestOptions {
  readonly token?: string
  readonly body?: unknown
  readonly form?: FormData
  readonly headers?: Readonly<Record<string, string>>
}

/**
 * The real service on a real socket, with SQLite in a directory of its own; gone with the scope. Its agents are
 * the executables that the settings name, unless it is given others.
 */
export const startServer = (
  overrides: Partial<AppConfig> = {},
  dataDir?: string,
  runner?: ReturnType<typeof agent>,
  acpx?: ReturnType<typeof sessionAgents>,
): Effect.Effect<TestServer, never, Scope.Scope> =>
  Effect.gen(function* () {
    const config = configFor(dataDir ?? (yield* temporaryDirectory), overrides)
    const service = app(config, runner ?? agent(config), acpx)
    const context = yield* Layer.build(Layer.provide(service, Logger.remove(Logger.defaultLogger)))
    const { address } = Context.get(context, HttpServer.HttpServer)
    return { ...clientOf(HttpServer.formatAddress(address)), config }
  }).pipe(Effect.orDie)

/** As the admin and the apps of the service at that URL. */
const clientOf = (url: string, send: Fetch = fetch): TestClient => {
  const request: TestClient["request"] = (method, path, options = {}) =>
    Effect.promise(async (signal) => {
      const { token, body, form, headers } = options
      const response = await send(`${url}${path}`, {
        method,
        signal,
        headers: {
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...headers,
        },
        ...(form === undefined ? {} : { body: form }),
        ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
      })
      const text = await response.text()
      const isJson = /json/.test(response.headers.get("content-type") ?? "")
      return {
        status: response.status,
        headers: response.headers,
        text,
        json: isJson && text !== "" ? JSON.parse(text) : undefined,
      }
    })
  return {
    url,
    request,
    mint: (name, ipCidrs) =>
      Effect.map(
        request("POST", "/admin/tokens", { token: ADMIN_TOKEN, body: { name, ip_cidrs: ipCidrs ?? null } }),
        (answer) => answer.json.token as string,
      ),
    run: (token, payload, query = "") => request("POST", `/run${query}`, { token, body: payload }),
    upload: (token, form) => request("POST", "/files", { token, form }),
  }
}

/** The whole service in memory; gone with the scope. */
export const startForge = (
  options: ForgeOptions = {},
): Effect.Effect<TestClient & { readonly forge: typeof Forge.Service }, never, Scope.Scope> =>
  Effect.map(Layer.build(forge(options)), (context) => {
    const forge = Context.get(context, Forge)
    return { ...clientOf(forge.url, forge.fetch), forge }
  }).pipe(Effect.orDie)

/** Waits until `check` no longer throws. After two minutes, it fails with the error of the last try. */
export const eventually = (check: () => void): Effect.Effect<void> =>
  Effect.try({ try: check, catch: (error) => error }).pipe(
    Effect.retry(Schedule.intersect(Schedule.spaced("50 millis"), Schedule.recurs(2400))),
    Effect.orDie,
  )

/**
 * Writes bytes to the server's socket, from the address `from`, and returns all that comes back, up to `until` or the
 * end; `later` gives more to write.
 */
export const overSocket = (
  url: string,
  parts: ReadonlyArray<string | Uint8Array>,
  until = /$^/,
  from = "127.0.0.1",
  later: Effect.Effect<ReadonlyArray<string>> = Effect.succeed([]),
): Effect.Effect<string> =>
  Effect.async<string>((resume) => {
    const socket = connect({ port: Number(new URL(url).port), host: "127.0.0.1", localAddress: from })
    let received = ""
    const finish = () => {
      socket.destroy()
      resume(Effect.succeed(received))
    }
    socket.on("data", (data) => {
      received += String(data)
      if (until.test(received)) finish()
    })
    socket.on("close", finish).on("error", () => {})
    for (const part of parts) socket.write(part)
    void Effect.runPromise(later).then((more) => more.forEach((part) => socket.write(part)))
    return Effect.sync(() => socket.destroy())
  }).pipe(Effect.timeout("2 minutes"), Effect.orDie)
