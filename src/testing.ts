/**
 * A mock or in-memory layer for each service, for tests that are about something else. Each stands in for the
 * real layer of the same service; nothing here starts a process, opens a socket or touches a disk.
 */
import { Effect, Layer, Option, Redacted, Ref, Stream } from "effect"
import {
  type AgentFailure,
  FileNotFound,
  IdempotencyConflict,
  StorageFailed,
  Unauthorized,
} from "./domain/Failure.ts"
import type { FileId, RequestId, RunId, SessionId, TokenId } from "./domain/Ids.ts"
import type { AppToken } from "./domain/Token.ts"
import { Admission } from "./services/Admission.ts"
import type { ClaudeAnswer } from "./services/claude/Outcome.ts"
import type { ClaudeRequest } from "./services/claude/Request.ts"
import { ClaudeRunner } from "./services/ClaudeRunner.ts"
import { type Cli, type CliVersions, Clis } from "./services/Clis.ts"
import { Disks } from "./services/Disks.ts"
import { FileContents } from "./services/FileContents.ts"
import { EventFeed } from "./services/EventFeed.ts"
import { Files } from "./services/Files.ts"
import { Idempotency } from "./services/Idempotency.ts"
import { Ids } from "./services/Ids.ts"
import { LiveRuns } from "./services/LiveRuns.ts"
import { OutputSchemas } from "./services/OutputSchemas.ts"
import { Processes, type ProcessExit, type ProcessSpec } from "./services/Processes.ts"
import { type Refused, Refusals } from "./services/Refusals.ts"
import { type Check, Readiness } from "./services/Readiness.ts"
import { Retention } from "./services/Retention.ts"
import { type OpenRun, Runs } from "./services/Runs.ts"
import { Secrets } from "./services/Secrets.ts"
import { SessionDirs } from "./services/SessionDirs.ts"
import { TokenStore } from "./services/TokenStore.ts"
import { WorkDirs } from "./services/WorkDirs.ts"
import { EMPTY, NOTHING_REMOVED } from "./testing/Ledger.ts"

export type { KeptSession } from "./testing/SessionMemory.ts"

/** An answer of the agent, complete but for what the test cares about. */
export const claudeAnswer = (text: string, more: Partial<ClaudeAnswer> = {}): ClaudeAnswer => ({
  text,
  structured: Option.none(),
  stopReason: "end_turn",
  usage: { input_tokens: 1, output_tokens: 1, cache_creation_input_tokens: 0, cache_read_input_tokens: 0 },
  costUsd: 0,
  model: "mock",
  sessionId: null,
  ...more,
})

/** An agent that answers, fails or hangs as `reply` does. */
export const claudeRunner = (reply: (request: ClaudeRequest) => Effect.Effect<ClaudeAnswer, AgentFailure>) =>
  Layer.succeed(ClaudeRunner, { run: (request) => reply(request) })

/** Processes that print `lines` and exit, whatever is written to them. */
export const processes = (
  script: (spec: ProcessSpec) => { readonly lines: ReadonlyArray<string>; readonly exit: ProcessExit },
) =>
  Layer.succeed(Processes, {
    spawn: (spec) =>
      Effect.sync(() => {
        const { lines, exit } = script(spec)
        return {
          write: () => Effect.void,
          endInput: Effect.void,
          output: Stream.encodeText(Stream.make(...lines.map((line) => `${line}\n`))),
          errorTail: Effect.succeed(""),
          exit: Effect.succeed(exit),
        }
      }),
  })

export const workDirs = Layer.succeed(WorkDirs, {
  make: (run) => Effect.succeed({ cwd: `/runs/${run}/work`, tmp: `/runs/${run}/tmp` }),
})

/** Identifiers that count: 1, 2, 3, each padded to the length of a ULID or of a UUID. */
export const ids = Layer.effect(
  Ids,
  Effect.map(Ref.make(0), (counter) => {
    const next = Effect.map(
      Ref.updateAndGet(counter, (n) => n + 1),
      (n) => String(n).padStart(26, "0"),
    )
    return {
      run: next as Effect.Effect<RunId>,
      file: next as Effect.Effect<FileId>,
      session: Effect.map(next, (n) => `00000000-0000-4000-8000-${n.slice(-12)}`) as Effect.Effect<SessionId>,
      token: next as Effect.Effect<TokenId>,
      request: next as Effect.Effect<RequestId>,
    }
  }),
)

/** Secrets that anybody can guess: `cf_secret-1`, `ff_secret-2`. */
export const secrets = Layer.effect(
  Secrets,
  Effect.map(Ref.make(0), (counter) => ({
    mint: (prefix) =>
      Effect.map(
        Ref.updateAndGet(counter, (n) => n + 1),
        (n) => Redacted.make(`${prefix}secret-${n}`),
      ),
    digest: Effect.sync(() => {
      let sum = 0
      const add = (bytes: Uint8Array) => {
        for (const byte of bytes) sum = (sum * 31 + byte) % 1_000_003
      }
      return { add, value: () => `digest ${sum}` }
    }),
    hash: (secret) => `hash of ${Redacted.value(secret)}`,
    equal: (left, right) => Redacted.value(left) === Redacted.value(right),
  })),
)

/** Takes every request for a new one, whatever its key. */
export const idempotency = Layer.succeed(Idempotency, {
  once: (_, __, work) => Effect.map(work(undefined), (answer) => ({ answer, replayed: false })),
  kept: () => Effect.succeedNone,
  again: () => new IdempotencyConflict(),
})

/** Takes every schema, and finds that every answer fits. */
export const outputSchemas = Layer.succeed(OutputSchemas, {
  check: () => Effect.succeed({ native: true }),
  fits: () => Effect.void,
})

/** Directories of sessions that are in a set only; keep it to look into it. */
export const sessionDirs = (made: Set<SessionId> = new Set()) =>
  Layer.succeed(SessionDirs, {
    of: (session) => `/sessions/${session}`,
    make: (session) => Effect.sync(() => void made.add(session)),
    forFiles: (session, turnIndex) => Effect.succeed(`/sessions/${session}/attached-${turnIndex}`),
    remove: (session) => Effect.sync(() => void made.delete(session)),
    list: Effect.sync(() => [...made]),
  })

/** Bytes of uploads in memory; a copy is a path that nothing is at. */
export const fileContents = (bytes: Map<FileId, Uint8Array> = new Map()) =>
  Layer.succeed(FileContents, {
    create: (id) =>
      Effect.gen(function* () {
        let kept = false
        bytes.set(id, new Uint8Array())
        yield* Effect.addFinalizer(() => Effect.sync(() => kept || bytes.delete(id)))
        return {
          write: (more) =>
            Effect.sync(() => {
              const before = bytes.get(id) ?? new Uint8Array()
              const after = new Uint8Array(before.length + more.length)
              after.set(before)
              after.set(more, before.length)
              bytes.set(id, after)
            }),
          sync: Effect.void,
          keep: Effect.sync(() => {
            kept = true
          }),
        }
      }),
    copy: (id, dir, name) => (bytes.has(id) ? Effect.succeed(`${dir}/${name}`) : new FileNotFound()),
    remove: (id) =>
      Effect.try({
        try: () => void bytes.delete(id),
        catch: (cause) => new StorageFailed({ during: "removing an upload", cause }),
      }),
    list: Effect.sync(() => [...bytes.keys()]),
  })

export const disks = (freeBytes: number) => Layer.succeed(Disks, { freeBytes: Effect.succeed(freeBytes) })

/** No app has uploaded anything. */
export const noFiles = Layer.mock(Files, {
  hold: (tokens) => (tokens.length === 0 ? Effect.succeed([]) : new FileNotFound()),
  attach: () => Effect.succeed([]),
})

/** Keeps each refused admission as it comes. */
export const refusals = (kept: Array<Refused> = []) =>
  Layer.succeed(Refusals, { record: (refused) => Effect.sync(() => void kept.push(refused)) })

/** Lets everybody in as `token`. */
export const admitEverybody = (token: AppToken) =>
  Layer.succeed(Admission, {
    clientOf: ({ address }) => ({ address, local: true }),
    admitAddress: () => Effect.void,
    admitApp: () => Effect.succeed(token),
    isAdmin: () => false,
    admitAdmin: () => Effect.void,
  })

/** Tokens by their secret; none can be minted or revoked. */
export const tokenStore = (tokens: ReadonlyMap<string, AppToken>) =>
  Layer.mock(TokenStore, {
    authenticate: (secret) =>
      Effect.fromNullable(tokens.get(Redacted.value(secret))).pipe(Effect.mapError(() => new Unauthorized())),
    list: Effect.succeed([...tokens.values()]),
  })

export const clis = (versions: CliVersions, needed: ReadonlyArray<Cli> = ["claude"]) =>
  Layer.succeed(Clis, { versions: Effect.succeed(versions), needed })

/** Whether the service says that it can do its work. */
export const readiness = (checks: ReadonlyArray<Check> = []) =>
  Layer.succeed(Readiness, { checks: Effect.succeed(checks) })

/** Keeps everything. */
export const retention = Layer.succeed(Retention, {
  settings: {
    streamRetentionSecs: 3600,
    eventRetentionDays: 14,
    eventMaxRows: 200_000,
    auditRetentionDays: 365,
  },
  trim: () => Effect.succeed(NOTHING_REMOVED),
  maintain: () => Effect.succeed({ removed: NOTHING_REMOVED, before: EMPTY, after: EMPTY, durationMs: 0 }),
})

/** A log in which nothing happens. */
export const eventFeed = Layer.succeed(EventFeed, {
  newest: Effect.succeed(0),
  follow: () => Effect.never,
})

/** Takes work, and has none. */
export const liveRuns = Layer.mock(LiveRuns, {
  accepting: Effect.void,
  cancel: () => Effect.succeed(false),
  endOf: () => Effect.void,
  shutdown: Effect.void,
})

/** Runs that all have the same answer, without a queue or a record. */
export const runs = (answer: OpenRun["answer"]) =>
  Layer.succeed(Runs, {
    open: () => Effect.succeed({ id: "0".repeat(26) as RunId, answer, cancel: Effect.void }),
  })

export { type KeptRun, ledger, LedgerMemory } from "./testing/Ledger.ts"
export { acpxClient, type MockPrompt } from "./testing/AcpxClient.ts"
export { type MockTurn, sessionPool, turnReport } from "./testing/SessionPool.ts"
