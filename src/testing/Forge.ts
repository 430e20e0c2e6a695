import { FetchHttpClient, HttpServer } from "@effect/platform"
import { Context, type Duration, Effect, Layer, Logger, Redacted } from "effect"
import { TokenName } from "../domain/Token.ts"
import { bodyLimits, serve } from "../http/Server.ts"
import { Sweeper } from "../services/upkeep/Sweeper.ts"
import { TokenStore } from "../services/access/TokenStore.ts"
import { AgentScript } from "./AcpxClient.ts"
import { type ClaudeReply, ClaudeScript } from "./Claude.ts"
import { ForgeMemory } from "./forge/Memory.ts"
import { ADMIN_TOKEN, type ForgeParts, services } from "./forge/Services.ts"
import { DEFAULTS, type ForgeSettings } from "./forge/Settings.ts"
import * as InMemory from "./http/InMemoryServer.ts"
import * as WebRequestBody from "./http/WebRequestBody.ts"

/** The options of a clawdforge in memory. A setting that is left out has the default of production. */
export interface ForgeOptions extends Partial<ForgeSettings> {
  /** The answers of `claude` to the first prompts. Later answers are `ok`. */
  readonly answers?: ReadonlyArray<ClaudeReply>
  /** What `claude` does. By default it answers with `answers`, then `ok`. */
  readonly claude?: ClaudeScript
  /** What the agents of sessions do. By default they answer `ok`. */
  readonly agents?: AgentScript
  /** The agents that a session can be opened with; by default `claude`. */
  readonly agentNames?: ReadonlyArray<string>
  /** The memory of an earlier clawdforge, to continue with. */
  readonly memory?: ForgeMemory
  /** With `manual`, time passes only by `advance`. By default it is the test's clock, or the machine's. */
  readonly clock?: "manual"
}

/** A whole clawdforge in this process: its HTTP API, its scripts and its memory. */
export class Forge extends Context.Tag("clawdforge/testing/Forge")<
  Forge,
  {
    /** The base URL for `fetch`. Nothing on the network has this name. */
    readonly url: string
    /**
     * Like the global `fetch`, but every request goes to this clawdforge, whatever its host. Also takes a bare path.
     */
    readonly fetch: Fetch
    /** The bearer token of an app named `app`. */
    readonly token: string
    /** The operator's bearer token. */
    readonly adminToken: string
    /** Mints the token of another app. Returns the bearer token. */
    readonly mint: (name: string) => Effect.Effect<string>
    /** What `claude` does with one-shot prompts. */
    readonly claude: ClaudeScript
    /** What the agents of sessions do with their turns. */
    readonly agents: AgentScript
    readonly memory: ForgeMemory
    /**
     * Moves the manual clock forward. Sleeps that are over by then end. Then it sweeps: idle sessions, expired files,
     * old texts. Dies unless the clock is `manual`.
     */
    readonly advance: (time: Duration.DurationInput) => Effect.Effect<void>
  }
>() {}

export type Fetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>

const URL_IN_MEMORY = "http://clawdforge.test"

const APP = "app"
const ORIGIN = { requestId: "testing", address: "127.0.0.1" }

/** Fills in every option that was left out. */
export const resolveOptions = (options: ForgeOptions): ForgeParts => {
  const { answers = [], claude = new ClaudeScript(), agents = new AgentScript(), ...rest } = options
  const { agentNames = ["claude"], memory = new ForgeMemory(), clock, ...settings } = rest
  claude.nextAnswer(...answers)
  const isClockManual = clock === "manual"
  return { settings: { ...DEFAULTS, ...settings }, memory, claude, agents, agentNames, isClockManual }
}

/** The HTTP API. It needs the services, an `HttpServer` and the ports of the http layer. */
export const apiLayer = ({ settings }: ForgeParts) =>
  serve({ model: settings.defaultModel, timeoutSecs: settings.defaultTimeoutSecs })

/** Makes the function that mints an app's token and returns its bearer token. */
const makeMint = Effect.map(
  TokenStore,
  (tokens) => (name: string) =>
    tokens.mint(TokenName.make(name), [], ORIGIN).pipe(
      Effect.map(({ secret }) => Redacted.value(secret)),
      Effect.orDie,
    ),
)

/** Sets the manual clock, if it is wanted. */
export const clockLayer = ({ isClockManual, memory }: ForgeParts): Layer.Layer<never> =>
  isClockManual ? Layer.setClock(memory.clock) : Layer.empty

/** Makes the handle that a test uses, for any kind of server. */
export const makeForge = ({ claude, agents, memory, isClockManual }: ForgeParts, url: string, fetch: Fetch) =>
  Effect.gen(function* () {
    const { sweep } = yield* Sweeper
    const advance = (time: Duration.DurationInput) =>
      isClockManual
        ? Effect.zipRight(
            Effect.sync(() => memory.clock.advance(time)),
            Effect.asVoid(sweep),
          )
        : Effect.dieMessage('only a forge with { clock: "manual" } can be told the time')
    const mint = yield* makeMint
    const token = (memory.token ??= yield* mint(APP))
    return Forge.of({ url, fetch, token, adminToken: ADMIN_TOKEN, mint, claude, agents, memory, advance })
  })

const fetchFrom =
  (handle: (request: Request) => Promise<Response>): Fetch =>
  async (input, init) => {
    const target = typeof input === "string" && input.startsWith("/") ? `${URL_IN_MEMORY}${input}` : input
    return handle(new Request(target, init))
  }

/**
 * A whole clawdforge in this process: the real API on the real services, with a ledger, files and directories in
 * memory, and scripted agents. It has no socket, no disk and no child process. A test controls the time with a
 * `TestClock` or `clock: "manual"`: timeouts, lifetimes and retention.
 *
 * Provides {@link Forge}, an `HttpClient` that reaches it, and every service.
 */
export const forge = (options: ForgeOptions = {}) =>
  Layer.unwrapEffect(
    Effect.sync(() => {
      const parts = resolveOptions(options)
      const client = FetchHttpClient.layer.pipe(
        Layer.provide(
          Layer.effect(
            FetchHttpClient.Fetch,
            Effect.map(Forge, ({ fetch }) => fetch as never),
          ),
        ),
      )
      const forge = Layer.scoped(
        Forge,
        Effect.gen(function* () {
          const { handle, hangUp } = yield* InMemory.InMemoryServer
          // Without this, a service that stops would wait for its clients.
          yield* Effect.addFinalizer(() => hangUp)
          return yield* makeForge(parts, URL_IN_MEMORY, fetchFrom(handle))
        }),
      )
      return client.pipe(
        Layer.provideMerge(forge),
        Layer.provideMerge(apiLayer(parts)),
        Layer.provide(WebRequestBody.layer(bodyLimits(parts.settings))),
        Layer.provideMerge(InMemory.layer),
        Layer.provide(HttpServer.layerContext),
        Layer.provideMerge(services(parts)),
        Layer.provide([clockLayer(parts), Logger.remove(Logger.defaultLogger)]),
      )
    }),
  )
