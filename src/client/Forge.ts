import { FetchHttpClient } from "@effect/platform"
import { Cause, Effect, Exit, Layer, Redacted } from "effect"
import type { AnswerOf, Derived } from "./Derived.ts"
import { ForgeClient, type ForgeMethods } from "./ForgeClient.ts"
import { run } from "./LongAnswers.ts"
import { type CallOptions, Events, settle } from "./Promises.ts"
import { ForgeSession, type KeyedOptions } from "./Session.ts"
import { type CheckedSettings, checkSettings } from "./Settings.ts"
import type { AnyEnd, LogEvent, Resync, RunAnswer, RunEvent } from "./StreamedEvents.ts"
import { type EventFilter, type ReadOptions, type RunPayload, toPayload } from "./Streams.ts"
import { idempotencyHeaders } from "./Transport.ts"

/** The settings of a `Forge`. */
export interface ForgeOptions {
  /** The URL of the service, with the path if it is behind one. */
  readonly baseUrl: string | URL
  /** An app's token. */
  readonly token?: string | undefined
  /** The operator's token, for `admin`. Without a `token` it also reads the runs and events of all apps. */
  readonly adminToken?: string | undefined
  /** Used in place of the platform's `fetch`. */
  readonly fetch?: typeof globalThis.fetch | undefined
  /** The service's CLAWDFORGE_MAX_QUEUE_WAIT_SECS; by default 30. */
  readonly queueWaitSecs?: number | undefined
  /** The service's DEFAULT_TIMEOUT_SECS; by default 120. */
  readonly defaultTimeoutSecs?: number | undefined
}

type Request<M extends (...args: never) => unknown, K extends "payload" | "urlParams"> =
  NonNullable<Parameters<M>[0]> extends { readonly [P in K]?: infer Part } ? NonNullable<Part> : never

export interface RunOptions extends KeyedOptions {
  /** Adds tokens, cost, model and session id to the answer. */
  readonly usage?: boolean | undefined
}

export interface RunStreamOptions extends RunOptions {
  /** Whether the stream has the answer's text in pieces; by default true. */
  readonly deltas?: boolean | undefined
}

export interface UploadOptions extends KeyedOptions {
  /** The file's name; by default the name of a `File`, else `file`. */
  readonly name?: string | undefined
  /** How long the service keeps the file: 60 to 86400 seconds, by default 3600. */
  readonly ttlSecs?: number | undefined
}

export type RunResult = RunAnswer & {
  readonly run_id: string
  /** Whether this is the answer of an earlier request with the same key. */
  readonly replayed: boolean
}

/**
 * The client for programs that do not use Effect.
 *
 * Each call takes an `AbortSignal`. It rejects with a `ForgeError`, whose class tells the `code`, or with the signal's
 * reason if the signal ended it. Streams resume by themselves after a lost connection. {@link ForgeMethods} describes
 * deadlines and retries.
 */
export class Forge {
  readonly #client: ForgeMethods
  readonly #settings: CheckedSettings
  /** Runs and turns: those of the app; without a `token`, those of all apps. */
  readonly runs: ReturnType<typeof runsOf>
  readonly sessions: ReturnType<typeof sessionsOf>
  /** The log of events: those of the app; without a `token`, those of all apps. */
  readonly events: ReturnType<typeof eventsOf>
  /** The operator's calls. They need an `adminToken`. */
  readonly admin: ReturnType<typeof adminOf>

  /** Throws a `SettingsError` if `baseUrl` or a token cannot be valid. */
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
    const exit = Effect.runSyncExit(
      Effect.all([ForgeClient.make(settings), checkSettings(settings)]).pipe(Effect.provide(http)),
    )
    if (Exit.isFailure(exit)) throw Cause.squash(exit.cause)
    const [client, checkedSettings] = exit.value
    this.#client = client
    this.#settings = checkedSettings
    this.runs = runsOf(client)
    this.sessions = sessionsOf(client, checkedSettings)
    this.events = eventsOf(client)
    this.admin = adminOf(client)
  }

  /** The versions of the installed CLIs, and the number of open sessions. */
  healthz(options?: CallOptions): Promise<AnswerOf<Derived["system"]["health"]>> {
    return settle(this.#client.system.health(), options)
  }

  /** Runs one prompt, and waits for the answer. Without an `idempotencyKey`, aborting the call cancels the run. */
  run(prompt: string | RunPayload, options: RunOptions = {}): Promise<RunResult> {
    return settle(run(this.#client, this.#settings, toPayload(prompt), options), options)
  }

  /** Runs one prompt, and streams the answer. `break` ends the reading, and the run only if `on_disconnect` is `cancel`. */
  stream(prompt: string | RunPayload, options: RunStreamOptions = {}): Events<RunEvent<RunAnswer>> {
    return new Events(this.#client.streams.run(toPayload(prompt), options), options)
  }

  /** Uploads a file that prompts of this app may read. In Node, `openAsBlob(path)` of `node:fs` opens a file as a Blob. */
  async uploadFile(
    content: Blob | Uint8Array<ArrayBuffer> | ArrayBuffer,
    options: UploadOptions = {},
  ): Promise<AnswerOf<Derived["files"]["upload"]>> {
    const form = new FormData()
    if (options.ttlSecs !== undefined) form.set("ttl_secs", String(options.ttlSecs))
    const ownName = content instanceof File ? content.name : "file"
    form.set("file", content instanceof Blob ? content : new Blob([content]), options.name ?? ownName)
    return settle(this.#client.files.upload({ payload: form, headers: idempotencyHeaders(options) }), options)
  }

  /** Opens a session with an agent. */
  session(
    request: Request<Derived["sessions"]["openSession"], "payload"> = {},
    options: KeyedOptions = {},
  ): Promise<ForgeSession> {
    const open = this.#client.sessions.openSession({ payload: request, headers: idempotencyHeaders(options) })
    return settle(
      Effect.map(open, ({ session_id }) => new ForgeSession(session_id, this.#client, this.#settings)),
      options,
    )
  }
}

const runsOf = ({ run, runs, streams }: ForgeMethods) => ({
  get: (id: string, options?: CallOptions) => settle(runs.readRun({ path: { id } }), options),
  list: (urlParams: Request<typeof runs.listRuns, "urlParams"> = {}, options?: CallOptions) =>
    settle(runs.listRuns({ urlParams }), options),
  cancel: (id: string, options?: CallOptions) => settle(run.cancelRun({ path: { id } }), options),
  /** Streams a run's or a turn's events: the past ones from the beginning or after an event, then the live ones. */
  events: (id: string, options: CallOptions & ReadOptions = {}): Events<RunEvent<AnyEnd>> =>
    new Events(streams.runEvents(id, options), options),
})

const sessionsOf = (client: ForgeMethods, settings: CheckedSettings) => ({
  get: (id: string, options?: CallOptions) => settle(client.sessions.readSession({ path: { id } }), options),
  list: ({ includeClosed = true }: { readonly includeClosed?: boolean } = {}, options?: CallOptions) =>
    settle(
      client.sessions.listSessions({ urlParams: { include_closed: includeClosed ? "true" : "false" } }),
      options,
    ),
  /** A handle on a session that was opened before. Sends no request. */
  at: (id: string) => new ForgeSession(id, client, settings),
})

const eventsOf = ({ events, streams }: ForgeMethods) => ({
  list: (urlParams: Request<typeof events.listEvents, "urlParams"> = {}, options?: CallOptions) =>
    settle(events.listEvents({ urlParams }), options),
  stats: (options?: CallOptions) => settle(events.readEventStats(), options),
  /** Streams the log's events, from now on or after an event. It ends only with `break` or the signal. */
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
