import { FetchHttpClient } from "@effect/platform"
import { Cause, Effect, Exit, Layer, Redacted } from "effect"
import type { Derived } from "./Derived.ts"
import { ForgeClient, type ForgeMethods } from "./ForgeClient.ts"
import { run } from "./LongAnswers.ts"
import { type CallOptions, Events, settle } from "./Promises.ts"
import { ForgeSession, keyed, type KeyedOptions } from "./Session.ts"
import { type Checked, checked } from "./Settings.ts"
import type { AnyEnd, LogEvent, Resync, RunAnswer, RunEvent } from "./StreamedEvents.ts"
import type { EventFilter, RunPayload } from "./Streams.ts"

/** What a `Forge` is made with. */
export interface ForgeOptions {
  /** Where the service is, with the path that it is behind, if any. */
  readonly baseUrl: string | URL
  /** An app's token. */
  readonly token?: string | undefined
  /** The operator's token, for `admin`; without a `token`, for reading runs and events as well. */
  readonly adminToken?: string | undefined
  /** In place of the platform's. */
  readonly fetch?: typeof globalThis.fetch | undefined
  /** The service's CLAWDFORGE_MAX_QUEUE_WAIT_SECS; by default 30. */
  readonly queueWaitSecs?: number | undefined
  /** The service's DEFAULT_TIMEOUT_SECS; by default 120. */
  readonly defaultTimeoutSecs?: number | undefined
}

type Method = (...args: never) => Effect.Effect<unknown, unknown>
type Answer<M extends Method> = Effect.Effect.Success<ReturnType<M>>
type Request<M extends (...args: never) => unknown, K extends "payload" | "urlParams"> =
  NonNullable<Parameters<M>[0]> extends { readonly [P in K]?: infer Asked } ? NonNullable<Asked> : never

export interface RunOptions extends KeyedOptions {
  /** Adds tokens, cost, model and session id to the answer. */
  readonly usage?: boolean | undefined
}

export interface UploadOptions extends KeyedOptions {
  /** Of a `File`, its own name by default. */
  readonly name?: string | undefined
  /** How long it is kept, 60 to 86400 seconds; by default 3600. */
  readonly ttlSecs?: number | undefined
}

export type RunResult = RunAnswer & {
  readonly run_id: string
  /** Whether the answer was given before, to the same key. */
  readonly replayed: boolean
}

const payloadOf = (prompt: string | RunPayload): RunPayload =>
  typeof prompt === "string" ? { prompt } : prompt

/**
 * The service for programs that do not use Effect. Every call takes an `AbortSignal`, fails with a `ForgeError` whose class
 * says which `code` it has, and with the signal's reason when that ended it. Streams go on by themselves after a lost
 * connection. See {@link ForgeMethods} for deadlines, and for what is sent again.
 */
export class Forge {
  readonly #client: ForgeMethods
  readonly #settings: Checked
  /** What became of prompts: of the app's, or with no `token` of everybody's. */
  readonly runs: ReturnType<typeof runsOf>
  readonly sessions: ReturnType<typeof sessionsOf>
  /** All that happens. */
  readonly events: ReturnType<typeof eventsOf>
  /** The operator's. */
  readonly admin: ReturnType<typeof adminOf>

  /** Throws a `SettingsError` when `baseUrl` or a token cannot be one. */
  constructor({ token, adminToken, fetch, ...options }: ForgeOptions) {
    const settings = {
      ...options,
      token: token === undefined ? undefined : Redacted.make(token),
      adminToken: adminToken === undefined ? undefined : Redacted.make(adminToken),
    }
    const http =
      fetch === undefined
        ? FetchHttpClient.layer
        : Layer.provide(FetchHttpClient.layer, Layer.succeed(FetchHttpClient.Fetch, fetch))
    const made = Effect.runSyncExit(
      Effect.all([ForgeClient.make(settings), checked(settings)]).pipe(Effect.provide(http)),
    )
    if (Exit.isFailure(made)) throw Cause.squash(made.cause)
    const [client, checkedSettings] = made.value
    this.#client = client
    this.#settings = checkedSettings
    this.runs = runsOf(client)
    this.sessions = sessionsOf(client, checkedSettings)
    this.events = eventsOf(client)
    this.admin = adminOf(client)
  }

  /** Which CLIs are there, and how many sessions are open. */
  healthz(options?: CallOptions): Promise<Answer<Derived["system"]["health"]>> {
    return settle(this.#client.system.health(), options)
  }

  /** Asks once, and waits for the answer. Without an `idempotencyKey`, to abort is to cancel. */
  run(prompt: string | RunPayload, options: RunOptions = {}): Promise<RunResult> {
    return settle(run(this.#client, this.#settings, payloadOf(prompt), options), options)
  }

  /** Asks once, and gives the answer as it comes. To `break` ends the reading; the run, if `on_disconnect` is `cancel`. */
  stream(prompt: string | RunPayload, options: RunOptions = {}): Events<RunEvent<RunAnswer>> {
    return new Events(this.#client.streams.run(payloadOf(prompt), options), options)
  }

  /** Uploads what prompts of this app may read. In Node, `openAsBlob(path)` of `node:fs` makes a file one. */
  async uploadFile(
    content: Blob | Uint8Array<ArrayBuffer> | ArrayBuffer,
    options: UploadOptions = {},
  ): Promise<Answer<Derived["files"]["upload"]>> {
    const form = new FormData()
    if (options.ttlSecs !== undefined) form.set("ttl_secs", String(options.ttlSecs))
    const ownName = content instanceof File ? content.name : "file"
    form.set("file", content instanceof Blob ? content : new Blob([content]), options.name ?? ownName)
    return settle(this.#client.files.upload({ payload: form, headers: keyed(options) }), options)
  }

  /** Opens a session with an agent. */
  session(
    request: Request<Derived["sessions"]["openSession"], "payload"> = {},
    options: KeyedOptions = {},
  ): Promise<ForgeSession> {
    const opened = this.#client.sessions.openSession({ payload: request, headers: keyed(options) })
    return settle(
      Effect.map(opened, ({ session_id }) => new ForgeSession(session_id, this.#client, this.#settings)),
      options,
    )
  }
}

const runsOf = ({ run, runs, streams }: ForgeMethods) => ({
  get: (id: string, options?: CallOptions) => settle(runs.readRun({ path: { id } }), options),
  list: (urlParams: Request<typeof runs.listRuns, "urlParams"> = {}, options?: CallOptions) =>
    settle(runs.listRuns({ urlParams }), options),
  cancel: (id: string, options?: CallOptions) => settle(run.cancelRun({ path: { id } }), options),
  /** What a run or a turn said and says, from its beginning or from after an event. */
  events: (
    id: string,
    options: CallOptions & { readonly after?: string; readonly usage?: boolean } = {},
  ): Events<RunEvent<AnyEnd>> => new Events(streams.runEvents(id, options), options),
})

const sessionsOf = (client: ForgeMethods, settings: Checked) => ({
  get: (id: string, options?: CallOptions) => settle(client.sessions.readSession({ path: { id } }), options),
  list: ({ includeClosed = true }: { readonly includeClosed?: boolean } = {}, options?: CallOptions) =>
    settle(
      client.sessions.listSessions({ urlParams: { include_closed: includeClosed ? "true" : "false" } }),
      options,
    ),
  /** A session that was opened before; nothing is asked. */
  at: (id: string) => new ForgeSession(id, client, settings),
})

const eventsOf = ({ events, streams }: ForgeMethods) => ({
  list: (urlParams: Request<typeof events.listEvents, "urlParams"> = {}, options?: CallOptions) =>
    settle(events.listEvents({ urlParams }), options),
  stats: (options?: CallOptions) => settle(events.readEventStats(), options),
  /** What happens, from now on or from after an event; it ends with `break`. */
  stream: (filter: EventFilter = {}, options?: CallOptions): Events<LogEvent | Resync> =>
    new Events(streams.events(filter), options),
})

const adminOf = ({ admin, maintenance }: ForgeMethods) => ({
  mintToken: (payload: Request<typeof admin.mintToken, "payload">, options?: CallOptions) =>
    settle(admin.mintToken({ payload }), options),
  listTokens: (options?: CallOptions) => settle(admin.listTokens(), options),
  revokeToken: (name: string, options?: CallOptions) =>
    settle(admin.revokeToken({ path: { name } }), options),
  maintainEvents: (
    payload: Request<typeof maintenance.maintainEvents, "payload"> = {},
    options?: CallOptions,
  ) => settle(maintenance.maintainEvents({ payload }), options),
})
