import { Effect, Layer, Option } from "effect"
import type { LogEvent } from "../domain/Event.ts"
import { SessionClosed, SessionNotFound, TokenNameTaken, Unauthorized } from "../domain/Failure.ts"
import type { StoredFile } from "../domain/File.ts"
import type { RunId, SessionId, TokenId } from "../domain/Ids.ts"
import type { Refusal } from "../domain/Refusal.ts"
import {
  CLAIM_MILLIS,
  type Claim,
  type EndStatus,
  type RunEnded,
  type RunOpened,
  type RunRecord,
} from "../domain/Run.ts"
import type { AppToken, TokenName } from "../domain/Token.ts"
import { type KeptAnswer, Ledger, type NewAnswer, type RetentionRecords } from "../services/Ledger.ts"
import { type KeptSession, sessionRecords } from "./SessionMemory.ts"
import { StreamMemory, streamRecords } from "./StreamMemory.ts"

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
  /** What happened to nobody in particular; the rest of the log is not kept here. */
  readonly events: Array<Pick<LogEvent, "type" | "at" | "data">> = []
  /** How often `last_used_at` was written. */
  touches = 0
}

const keyOf = (owner: TokenId, { route, key }: Pick<Claim, "route" | "key">) =>
  JSON.stringify([owner, route, key])

/** What retention removes when nothing is due. */
export const NOTHING_REMOVED = { texts: 0, streamEvents: 0, events: 0, idempotencyKeys: 0 }
export const EMPTY = { events: 0, streamRows: 0, streamBytes: 0, databaseBytes: 0, freeBytes: 0 }

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
      append: (event) => Effect.sync(() => void memory.events.push(event)),
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
