/**
 * A mock or in-memory layer for each service, for tests that are about something else. Each stands in for the
 * real layer of the same service; nothing here starts a process, opens a socket or touches a disk.
 */
import { Effect, Layer, Option, Redacted, Ref, Stream } from "effect"
import {
  type AgentFailure,
  FileNotFound,
  IdempotencyConflict,
  SessionClosed,
  SessionNotFound,
  StorageFailed,
  TokenNameTaken,
  Unauthorized,
} from "./domain/Failure.ts"
import type { StoredFile } from "./domain/File.ts"
import type { FileId, RequestId, RunId, SessionId, TokenId } from "./domain/Ids.ts"
import type { Refusal } from "./domain/Refusal.ts"
import {
  CLAIM_MILLIS,
  type Claim,
  type EndStatus,
  type RunEnded,
  type RunOpened,
  type RunRecord,
} from "./domain/Run.ts"
import type { AppToken, TokenName } from "./domain/Token.ts"
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
import { type KeptAnswer, Ledger, type NewAnswer, type RetentionRecords } from "./services/Ledger.ts"
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
import { type KeptSession, sessionRecords } from "./testing/SessionMemory.ts"

import { StreamMemory, streamRecords } from "./testing/StreamMemory.ts"

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

/** A run or a turn as the in-memory ledger keeps it. */
export interface KeptRun extends Omit<RunOpened, "model"> {
  readonly model: string | null
  readonly session: SessionId | null
  readonly turnIndex: number | null
  readonly status: "queued" | "running" | EndStatus
  readonly startedAt: number | null
  readonly finishedAt: number | null
  readonly end: RunEnded | undefined
}

const recordOf = (run: KeptRun): RunRecord => ({
  id: run.id,
  kind: run.session === null ? "run" : "turn",
  tokenId: run.tokenId,
  sessionId: run.session,
  turnIndex: run.turnIndex,
  status: run.status,
  model: run.model,
  createdAt: run.at,
  startedAt: run.startedAt,
  finishedAt: run.finishedAt,
  durationMs: run.end?.durationMs ?? null,
  stopReason: run.end?.stopReason ?? null,
  code: run.end?.code ?? null,
  usage: run.end?.usage ?? null,
  costUsd: run.end?.costUsd ?? null,
  promptChars: run.promptChars,
  responseChars: run.end?.responseChars ?? null,
  requestId: run.origin.requestId,
})

const FRESH = { status: "queued", startedAt: null, finishedAt: null, end: undefined } as const

/** What an in-memory ledger holds; keep it to look into it. */
export class LedgerMemory {
  readonly tokens = new Map<string, AppToken>()
  readonly runs = new Map<RunId, KeptRun>()
  /** In the order in which they were reserved. */
  readonly sessions = new Map<SessionId, KeptSession>()
  /** By the hash of their token. */
  readonly files = new Map<string, StoredFile>()
  readonly refusals: Array<Refusal> = []
  /** What runs said. */
  readonly streams = new StreamMemory()
  /** By token, route and key. */
  readonly keys = new Map<string, KeptAnswer & { readonly run: RunId | undefined; readonly at: number }>()
  /** How often `last_used_at` was written. */
  touches = 0
}

const keyOf = (owner: TokenId, { route, key }: Pick<Claim, "route" | "key">) =>
  JSON.stringify([owner, route, key])

/** What retention removes when nothing is due. */
const NOTHING_REMOVED = { texts: 0, streamEvents: 0, events: 0, idempotencyKeys: 0 }
const EMPTY = { events: 0, streamRows: 0, streamBytes: 0, databaseBytes: 0, freeBytes: 0 }

/** Memory is gone soon enough. */
const nothingGoes: RetentionRecords = {
  dropTexts: () => Effect.succeed({ removed: 0, done: true }),
  dropStreams: (pass) => Effect.succeed({ removed: 0, done: true, pass }),
  dropEvents: () => Effect.succeed({ removed: 0, done: true }),
  dropKeys: () => Effect.succeed({ removed: 0, done: true }),
  sizes: Effect.succeed(EMPTY),
  vacuum: () => Effect.succeed(0),
  checkpoint: Effect.void,
}

/** The ledger without a disk. */
export const ledger = (memory: LedgerMemory = new LedgerMemory()) => {
  const { tokens, runs, sessions, files, streams, keys } = memory
  const keep = (owner: TokenId, kept: NewAnswer | undefined, at: number, run?: RunId) => {
    if (kept === undefined) return
    const { fingerprint } = kept.claim
    keys.set(keyOf(owner, kept.claim), { fingerprint, answer: JSON.stringify(kept.answer), run, at })
  }
  /** The beginning of a run, with what its app may ask for again. */
  const begin = (run: KeptRun) => {
    runs.set(run.id, run)
    const turn = run.session === null ? {} : { session_id: run.session, turn_index: run.turnIndex }
    streams.add(run.id, "run", JSON.stringify({ run_id: run.id, ...turn }))
    keep(run.tokenId, run.claim && { claim: run.claim, answer: { run_id: run.id } }, run.at, run.id)
  }
  const newestFirst = () => [...runs.values()].map(recordOf).toReversed()
  const update = (where: (token: AppToken) => boolean, change: Partial<AppToken>) => {
    for (const [hash, token] of tokens) if (where(token)) tokens.set(hash, { ...token, ...change })
  }
  const move = (id: RunId, change: Partial<KeptRun>) =>
    Effect.sync(() => {
      const run = runs.get(id)
      if (run === undefined || run.end !== undefined) return undefined
      runs.set(id, { ...run, ...change })
      return run
    })
  const isRevoked = (id: TokenId) => [...tokens.values()].some((t) => t.id === id && t.revokedAt !== null)
  const inForce = (name: TokenName) =>
    [...tokens.values()].some((t) => t.name === name && t.revokedAt === null)
  return Layer.succeed(Ledger, {
    writable: Effect.void,
    tokens: {
      insert: (token, hash) =>
        Effect.suspend(() =>
          inForce(token.name)
            ? new TokenNameTaken({ name: token.name })
            : Effect.sync(() => tokens.set(hash, token)),
        ),
      findByHash: (hash) =>
        Effect.sync(() => Option.filter(Option.fromNullable(tokens.get(hash)), (t) => t.revokedAt === null)),
      list: Effect.sync(() => [...tokens.values()]),
      revoke: (name, at) =>
        Effect.sync(() => {
          const named = [...tokens.values()].filter((token) => token.name === name)
          const revoked = named.find((token) => token.revokedAt === null)
          if (revoked === undefined) return named.length > 0 ? "already_revoked" : "unknown"
          update((token) => token.id === revoked.id, { revokedAt: at })
          return revoked.id
        }),
      touch: (lastUsed) =>
        Effect.sync(() => {
          memory.touches += 1
          for (const [id, at] of lastUsed) update((token) => token.id === id, { lastUsedAt: at })
        }),
    },
    runs: {
      open: (run) =>
        Effect.suspend(() => {
          if (isRevoked(run.tokenId)) return new Unauthorized()
          begin({ ...run, ...FRESH, session: null, turnIndex: null })
          return Effect.void
        }),
      openTurn: (run, id) =>
        Effect.gen(function* () {
          if (isRevoked(run.tokenId)) return yield* new Unauthorized()
          const session = sessions.get(id)
          if (session?.tokenId !== run.tokenId || session.status === "opening") {
            return yield* new SessionNotFound()
          }
          if (session.status === "closed") return yield* new SessionClosed()
          const turnIndex = session.turnCount + 1
          sessions.set(id, { ...session, turnCount: turnIndex, lastTurnAt: run.at })
          const { model } = session
          begin({ ...run, ...FRESH, model, session: id, turnIndex })
          return turnIndex
        }),
      start: (id, at) => Effect.asVoid(move(id, { status: "running", startedAt: at })),
      end: (id, end, at, last) =>
        Effect.map(move(id, { status: end.status, finishedAt: at, end }), (run) => {
          if (run === undefined) return
          streams.add(id, last.kind, last.body)
          if (run.startedAt === null) {
            for (const [key, kept] of keys) if (kept.run === id) keys.delete(key)
          }
          const session = run?.session && sessions.get(run.session)
          if (!session) return
          const answered = session.answered || (end.stopReason !== null && end.stopReason !== "cancelled")
          sessions.set(session.id, { ...session, lastTurnAt: at, answered })
        }),
      loseUnfinished: () => Effect.succeed(0),
      find: (id) => Effect.sync(() => Option.map(Option.fromNullable(runs.get(id)), recordOf)),
      findTurn: (session, index) =>
        Effect.sync(() =>
          Option.fromNullable(
            newestFirst().find((run) => run.sessionId === session && run.turnIndex === index),
          ),
        ),
      page: ({ owner, status, sessionId }, limit, before) =>
        Effect.sync(() =>
          newestFirst()
            .filter((run) => before === undefined || run.id < before)
            .filter((run) => owner === undefined || run.tokenId === owner)
            .filter((run) => status === undefined || run.status === status)
            .filter((run) => sessionId === undefined || run.sessionId === sessionId)
            .slice(0, limit),
        ),
    },
    sessions: sessionRecords(
      sessions,
      isRevoked,
      (id) => [...runs.values()].some(({ session, end }) => session === id && end === undefined),
      keep,
    ),
    files: {
      insert: (file, hash, _, kept) =>
        Effect.suspend(() => {
          if (isRevoked(file.tokenId)) return new Unauthorized()
          files.set(hash, file)
          keep(file.tokenId, kept, file.createdAt)
          return Effect.void
        }),
      findByHash: (hash) => Effect.sync(() => Option.fromNullable(files.get(hash))),
      list: Effect.sync(() => [...files.values()]),
      soonestExpiry: (owner) =>
        Effect.sync(() => {
          const times = [...files.values()].filter((f) => f.tokenId === owner).map((f) => f.expiresAt)
          return times.length === 0 ? Option.none() : Option.some(Math.min(...times))
        }),
      due: (at) => Effect.sync(() => [...files.values()].filter((file) => file.expiresAt <= at)),
      remove: (gone) =>
        Effect.sync(() => {
          const ids = new Set(gone.map(({ id }) => id))
          return [...files]
            .filter(([hash, { id }]) => ids.has(id) && files.delete(hash))
            .map(([, file]) => file)
        }),
    },
    refusals: {
      append: (refusals) => Effect.sync(() => void memory.refusals.push(...refusals)),
    },
    streams: streamRecords(streams),
    events: {
      appended: Effect.never,
      newest: Effect.succeed(0),
      trimmedTo: Effect.succeed(0),
      latest: () => Effect.succeed([]),
      after: () => Effect.succeed([]),
      summary: () => Effect.succeed({ counts: new Map(), oldest: null, newest: null }),
    },
    keys: {
      find: (owner, claim, asked) =>
        Effect.sync(() =>
          Option.fromNullable(keys.get(keyOf(owner, claim))).pipe(
            Option.filter(({ at }) => at > asked - CLAIM_MILLIS),
          ),
        ),
    },
    retention: nothingGoes,
  })
}

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

export { acpxClient, type MockPrompt } from "./testing/AcpxClient.ts"
export { type MockTurn, sessionPool, turnReport } from "./testing/SessionPool.ts"
