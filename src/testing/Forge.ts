import { FetchHttpClient, HttpServer } from "@effect/platform"
import { Context, type Duration, Effect, Layer, Logger, Redacted } from "effect"
import { TokenName } from "../domain/Token.ts"
import { serve } from "../http/Server.ts"
import { Sweeper } from "../services/upkeep/Sweeper.ts"
import { TokenStore } from "../services/access/TokenStore.ts"
import { AgentScript } from "./AcpxClient.ts"
import { type ClaudeReply, ClaudeScript } from "./Claude.ts"
import { ForgeMemory } from "./forge/Memory.ts"
import { ADMIN_TOKEN, type Parts, services } from "./forge/Services.ts"
import { DEFAULTS, type ForgeSettings } from "./forge/Settings.ts"
import * as InMemory from "./http/InMemoryServer.ts"
import * as WebRequestBody from "./http/WebRequestBody.ts"

/** What can be said of a clawdforge in memory; whatever is not said is as in production. */
export interface ForgeOptions extends Partial<ForgeSettings> {
  /** What `claude` answers to the first prompts; after that, `ok`. */
  readonly answers?: ReadonlyArray<ClaudeReply>
  /** What `claude` does; unset: its answers are `answers`, then `ok`. */
  readonly claude?: ClaudeScript
  /** What the agents of sessions do; unset: they answer `ok`. */
  readonly agents?: AgentScript
  /** Which agents sessions may ask for; unset: `claude`. */
  readonly agentNames?: ReadonlyArray<string>
  /** What another one kept, to go on with. */
  readonly memory?: ForgeMemory
  /** `manual`: no time passes but by `advance`. Unset: the clock that the test has, or the machine's. */
  readonly clock?: "manual"
}

/** A whole clawdforge in this process: its HTTP API, what its agents do, and what it keeps. */
export class Forge extends Context.Tag("clawdforge/testing/Forge")<
  Forge,
  {
    /** What `fetch` is told to reach it. No name on the network has anything to do with it. */
    readonly url: string
    /** As the global `fetch`, but reaches this one, whatever host is asked for; it also takes a path alone. */
    readonly fetch: Fetch
    /** The bearer of an app, `app`. */
    readonly token: string
    /** The operator's bearer. */
    readonly adminToken: string
    /** The bearer of another app, which is made. */
    readonly mint: (name: string) => Effect.Effect<string>
    /** What `claude` does with one-shot prompts. */
    readonly claude: ClaudeScript
    /** What the agents of sessions do with their turns. */
    readonly agents: AgentScript
    readonly memory: ForgeMemory
    /**
     * Lets that much time pass at once, and what is due by then be swept: idle sessions, expired files, old texts. What
     * waits for no more than that wakes. A bug, unless its clock is `manual`.
     */
    readonly advance: (time: Duration.DurationInput) => Effect.Effect<void>
  }
>() {}

export type Fetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>

const URL_IN_MEMORY = "http://clawdforge.test"

const APP = "app"
const ORIGIN = { requestId: "testing", address: "127.0.0.1" }

/** What a form may bring around its file. */
const MEBIBYTE = 1024 * 1024

/** What it is made of, with everything that was left out. */
export const partsOf = (options: ForgeOptions): Parts => {
  const { answers = [], claude = new ClaudeScript(), agents = new AgentScript(), ...rest } = options
  const { agentNames = ["claude"], memory = new ForgeMemory(), clock, ...settings } = rest
  claude.nextAnswer(...answers)
  const isManual = clock === "manual"
  return { settings: { ...DEFAULTS, ...settings }, memory, claude, agents, agentNames, isManual }
}

/** The API on those services; still needs a server and its ports. */
export const api = ({ settings }: Parts) =>
  serve({ model: settings.defaultModel, timeoutSecs: settings.defaultTimeoutSecs })

/** What requests may bring. */
export const bodyLimits = ({ settings }: Parts) => ({
  json: settings.maxBodyBytes,
  form: settings.maxUploadBytes + MEBIBYTE,
})

const minting = Effect.map(
  TokenStore,
  (tokens) => (name: string) =>
    tokens.mint(TokenName.make(name), [], ORIGIN).pipe(
      Effect.map(({ secret }) => Redacted.value(secret)),
      Effect.orDie,
    ),
)

/** Whose clock it goes by. */
export const timeOf = ({ isManual, memory }: Parts): Layer.Layer<never> =>
  isManual ? Layer.setClock(memory.clock) : Layer.empty

/** What a test holds of it, wherever it is served. */
export const handles = ({ claude, agents, memory, isManual }: Parts, url: string, fetch: Fetch) =>
  Effect.gen(function* () {
    const { sweep } = yield* Sweeper
    const advance = (time: Duration.DurationInput) =>
      isManual
        ? Effect.zipRight(
            Effect.sync(() => memory.clock.advance(time)),
            Effect.asVoid(sweep),
          )
        : Effect.dieMessage('only a forge with { clock: "manual" } can be told the time')
    const mint = yield* minting
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
 * memory, and agents that do as they are told. No socket, no disk, no process. Time is the test's, by a `TestClock` or
 * by `clock: "manual"`: timeouts, lifetimes and retention come when the test says so.
 *
 * Gives the {@link Forge}, an `HttpClient` that reaches it, and every service.
 */
export const forge = (options: ForgeOptions = {}) =>
  Layer.unwrapEffect(
    Effect.sync(() => {
      const parts = partsOf(options)
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
          // Before the service stops, which would wait for them.
          yield* Effect.addFinalizer(() => hangUp)
          return yield* handles(parts, URL_IN_MEMORY, fetchFrom(handle))
        }),
      )
      return client.pipe(
        Layer.provideMerge(forge),
        Layer.provideMerge(api(parts)),
        Layer.provide(WebRequestBody.layer(bodyLimits(parts))),
        Layer.provideMerge(InMemory.layer),
        Layer.provide(HttpServer.layerContext),
        Layer.provideMerge(services(parts)),
        Layer.provide([timeOf(parts), Logger.remove(Logger.defaultLogger)]),
      )
    }),
  )
