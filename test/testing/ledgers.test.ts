import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Logger, Option } from "effect"
import type { FileId, RunId, SessionId, TokenId } from "../../src/domain/Ids.ts"
import { CLAIM_MILLIS, type Claim, type RunEnded } from "../../src/domain/Run.ts"
import type { AgentName, AgentSessionRef } from "../../src/domain/Session.ts"
import type { TokenName } from "../../src/domain/Token.ts"
import * as Database from "../../src/infra/sqlite/Database.ts"
import * as SqliteLedger from "../../src/infra/sqlite/SqliteLedger.ts"
import { Ledger } from "../../src/services/journal/Ledger.ts"
import { LedgerMemory, ledger } from "../../src/testing.ts"
import { temporaryDirectory } from "../support/TestServer.ts"

/** A mock that differs from the real thing is a lie: what holds of the ledger holds of both. */

const STREAM_SECS = 100

/** A ledger, and what makes one more on the same records, as a restart does. */
const ledgers = {
  "in SQLite": Effect.map(
    temporaryDirectory,
    (dir) => () =>
      SqliteLedger.layer({ streamRetentionSecs: STREAM_SECS }).pipe(
        Layer.provide(Database.layer(join(dir, "clawdforge.db"))),
        Layer.provide(Logger.remove(Logger.defaultLogger)),
        Layer.orDie,
      ),
  ),
  "in memory": Effect.sync(() => {
    const memory = new LedgerMemory()
    return () => Layer.fresh(ledger(memory, { streamRetentionSecs: STREAM_SECS }))
  }),
}

const origin = { requestId: "req-1", address: "192.168.1.9" }
const ulid = (n: number) => String(n).padStart(26, "0")
const tokenOf = (n: number, name: string, createdAt = 1000) => ({
  id: ulid(n) as TokenId,
  name: name as TokenName,
  ipCidrs: ["10.0.0.0/8"],
  createdAt,
  lastUsedAt: null,
  revokedAt: null,
})
const app = tokenOf(1, "app")
const other = tokenOf(2, "other", 1001)
const runOf = (n: number, more: { tokenId?: TokenId; at?: number; claim?: Claim } = {}) => ({
  id: ulid(n) as RunId,
  tokenId: app.id,
  model: "sonnet",
  promptChars: 7,
  origin,
  at: 2000 + n,
  ...more,
})
const usage = {
  input_tokens: 1,
  output_tokens: 2,
  cache_creation_input_tokens: 3,
  cache_read_input_tokens: 4,
}
const done: RunEnded = {
  status: "completed",
  code: null,
  stopReason: "end_turn",
  durationMs: 5,
  responseChars: 9,
  usage,
  costUsd: 0.01,
}
const failed: RunEnded = { ...done, status: "failed", code: "run_failed", stopReason: null, usage: null }
const result = { kind: "result", body: '{"a":"é"}' } as const
const claim: Claim = { route: "POST /run", key: "k", fingerprint: "f" }
const sessionId = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}` as SessionId
const sessionOf = (n: number, at: number) => ({
  id: sessionId(n),
  tokenId: app.id,
  agent: "claude" as AgentName,
  model: "opus",
  meta: { user: "ada" },
  permissionMode: "deny-all" as const,
  origin,
  at,
})
const ref = "ref-1" as AgentSessionRef
const fileOf = (n: number, expiresAt: number) => ({
  id: ulid(n) as FileId,
  tokenId: app.id,
  name: "a.txt",
  size: 12,
  createdAt: 3000,
  expiresAt,
})

const idsOf = (found: ReadonlyArray<{ id: SessionId }>) => found.map(({ id }) => id)
const types = (found: ReadonlyArray<{ type: string }>) => found.map(({ type }) => type)

const minted = Effect.gen(function* () {
  const { tokens } = yield* Ledger
  yield* tokens.insert(app, "hash 1", origin)
  yield* tokens.insert(other, "hash 2", origin)
})

const opened = (n: number, at: number) =>
  Effect.gen(function* () {
    const { sessions } = yield* Ledger
    yield* sessions.reserve(sessionOf(n, at), 100)
    yield* sessions.activate(sessionId(n), ref, at)
  })

/** All that happened, but for its places in the sequence. */
const log = Effect.flatMap(Ledger, ({ events }) =>
  Effect.map(events.after(0, {}, 1000), (all) => {
    const seqs = all.map(({ seq }) => seq)
    expect(seqs).toEqual([...new Set(seqs)].sort((one, other) => one - other))
    return all.map((event) => ({ ...event, seq: undefined }))
  }),
)

describe.each(Object.entries(ledgers))("a ledger %s", (_, make) => {
  const holds = (
    what: string,
    test: (
      again: <A, E>(then: Effect.Effect<A, E, Ledger>) => Effect.Effect<A, unknown>,
    ) => Effect.Effect<void, unknown, Ledger>,
  ) =>
    it.effect(what, () =>
      Effect.gen(function* () {
        const layer = yield* make
        const again = <A, E>(then: Effect.Effect<A, E, Ledger>) => Effect.provide(then, layer())
        yield* Effect.provide(Effect.zipRight(minted, test(again)), layer())
      }).pipe(Effect.scoped),
    )

  holds("has tokens: a name is in force once, and a revoked one may be given again", () =>
    Effect.gen(function* () {
      const { tokens } = yield* Ledger
      const taken = yield* Effect.flip(tokens.insert(tokenOf(3, "app", 5000), "hash 3", origin))
      expect(taken).toMatchObject({ _tag: "TokenNameTaken", name: "app" })
      expect(yield* tokens.findByHash("hash 1")).toEqual(Option.some(app))
      expect(yield* tokens.revoke(app.name, 4000, origin)).toBe(app.id)
      expect(yield* tokens.revoke(app.name, 4001, origin)).toBe("already_revoked")
      expect(yield* tokens.revoke("nobody" as TokenName, 4001, origin)).toBe("unknown")
      expect(yield* tokens.findByHash("hash 1")).toEqual(Option.none())
      yield* tokens.insert(tokenOf(3, "app", 500), "hash 3", origin)
      yield* tokens.touch(new Map([[other.id, 4444]]))
      expect(yield* tokens.list).toEqual([
        tokenOf(3, "app", 500),
        { ...app, revokedAt: 4000 },
        { ...other, lastUsedAt: 4444 },
      ])
    }),
  )

  holds("has runs from their acceptance to their end, and pages of them, the newest first", () =>
    Effect.gen(function* () {
      const { runs } = yield* Ledger
      for (const n of [12, 11, 13]) yield* runs.open(runOf(n))
      yield* runs.open(runOf(14, { tokenId: other.id }))
      yield* runs.start(ulid(11) as RunId, 3000)
      yield* runs.end(ulid(11) as RunId, done, 3005, result)
      yield* runs.end(ulid(11) as RunId, failed, 3006, result)
      yield* runs.start(ulid(11) as RunId, 3007)
      yield* runs.end(ulid(12) as RunId, failed, 3008, result)
      expect(Option.getOrThrow(yield* runs.find(ulid(11) as RunId))).toEqual({
        id: ulid(11),
        kind: "run",
        tokenId: app.id,
        sessionId: null,
        turnIndex: null,
        status: "completed",
        model: "sonnet",
        createdAt: 2011,
        startedAt: 3000,
        finishedAt: 3005,
        durationMs: 5,
        stopReason: "end_turn",
        code: null,
        usage,
        costUsd: 0.01,
        promptChars: 7,
        responseChars: 9,
        requestId: "req-1",
      })
      const paged = (filter: Parameters<typeof runs.page>[0], limit = 10, before?: number) =>
        Effect.map(
          runs.page(filter, limit, before === undefined ? undefined : (ulid(before) as RunId)),
          (page) => page.map(({ id }) => Number(id)),
        )
      expect(yield* paged({})).toEqual([14, 13, 12, 11])
      expect(yield* paged({ owner: app.id }, 2)).toEqual([13, 12])
      expect(yield* paged({ owner: app.id }, 2, 12)).toEqual([11])
      expect(yield* paged({ status: "queued" })).toEqual([14, 13])
      expect(yield* paged({ status: "failed" })).toEqual([12])
      expect(yield* runs.find(ulid(99) as RunId)).toEqual(Option.none())
      yield* (yield* Ledger).tokens.revoke(app.name, 4000, origin)
      expect(yield* Effect.flip(runs.open(runOf(15)))).toMatchObject({ _tag: "Unauthorized" })
    }),
  )

  holds("has turns, which are counted, and of which their session learns", () =>
    Effect.gen(function* () {
      const { runs, sessions } = yield* Ledger
      yield* opened(1, 1500)
      expect(yield* runs.openTurn(runOf(21), sessionId(1))).toBe(1)
      expect(yield* runs.openTurn(runOf(22), sessionId(1))).toBe(2)
      expect(Option.getOrThrow(yield* runs.findTurn(sessionId(1), 2))).toMatchObject({
        id: ulid(22),
        kind: "turn",
        model: "opus",
        sessionId: sessionId(1),
      })
      yield* runs.start(ulid(21) as RunId, 3000)
      yield* runs.end(ulid(21) as RunId, { ...done, stopReason: "cancelled" }, 3005, result)
      expect(Option.getOrThrow(yield* sessions.find(sessionId(1)))).toMatchObject({
        turnCount: 2,
        lastTurnAt: 3005,
        answered: false,
      })
      yield* runs.end(ulid(22) as RunId, done, 3010, result)
      expect(Option.getOrThrow(yield* sessions.find(sessionId(1))).answered).toBe(true)
      const foreign = runs.openTurn(runOf(23, { tokenId: other.id }), sessionId(1))
      expect(yield* Effect.flip(foreign)).toMatchObject({ _tag: "SessionNotFound" })
      yield* sessions.close(sessionId(1), 4000, origin)
      const late = runs.openTurn(runOf(24), sessionId(1))
      expect(yield* Effect.flip(late)).toMatchObject({ _tag: "SessionClosed" })
    }),
  )

  holds("has sessions, of which nobody sees one that is opening, and of which only so many are open", () =>
    Effect.gen(function* () {
      const { sessions } = yield* Ledger
      yield* sessions.reserve(sessionOf(1, 1000), 2)
      expect(yield* sessions.find(sessionId(1))).toEqual(Option.none())
      yield* opened(2, 1001)
      expect(yield* Effect.flip(sessions.reserve(sessionOf(3, 1002), 2))).toMatchObject({ _tag: "PoolFull" })
      expect(yield* sessions.countOpen).toBe(2)
      expect(yield* sessions.living([sessionId(1), sessionId(2), sessionId(3)])).toHaveLength(2)
      yield* sessions.abandon(sessionId(1))
      yield* opened(3, 1001)
      yield* sessions.refer(sessionId(3), "ref-2" as AgentSessionRef)
      yield* sessions.answered(sessionId(3))
      const { origin: _, at, ...asked } = sessionOf(3, 1001)
      expect(Option.getOrThrow(yield* sessions.find(sessionId(3)))).toEqual({
        ...asked,
        status: "open",
        ref: "ref-2",
        answered: true,
        turnCount: 0,
        createdAt: at,
        lastTurnAt: null,
        closedAt: null,
      })
      expect(yield* sessions.close(sessionId(2), 5000, null)).toBe(true)
      expect(yield* sessions.close(sessionId(2), 5001, origin)).toBe(false)
      const listed = (includeClosed: boolean) =>
        Effect.map(sessions.list(app.id, { includeClosed }), (all) => all.map(({ id }) => id))
      expect(yield* listed(true)).toEqual([sessionId(3), sessionId(2)])
      expect(yield* listed(false)).toEqual([sessionId(3)])
    }),
  )

  holds("says which sessions are due, one after the other, and removes them for ever", () =>
    Effect.gen(function* () {
      const { runs, sessions } = yield* Ledger
      for (const [n, at] of [
        [1, 1300],
        [2, 1100],
        [3, 1200],
        [4, 1100],
        [5, 1000],
      ] as const)
        yield* opened(n, at)
      yield* runs.openTurn(runOf(31, { at: 1050 }), sessionId(5))
      const idle = yield* sessions.idle(1300)
      expect(idsOf(idle)).toEqual([sessionId(2), sessionId(4), sessionId(3)])
      expect(idsOf(yield* sessions.idle(1300, idle[0]))).toEqual([sessionId(4), sessionId(3)])
      expect(yield* sessions.closeIdle(sessionId(1), 1300, 2000)).toBe(false)
      expect(yield* sessions.closeIdle(sessionId(5), 1300, 2000)).toBe(false)
      expect(yield* sessions.closeIdle(sessionId(2), 1300, 2000)).toBe(true)
      yield* sessions.close(sessionId(3), 2001, null)
      expect(idsOf(yield* sessions.closedBy(2000))).toEqual([sessionId(2)])
      expect(yield* sessions.remove(sessionId(4), 3000)).toBe(false)
      expect(yield* sessions.remove(sessionId(2), 3000)).toBe(true)
      expect(yield* sessions.find(sessionId(2))).toEqual(Option.none())
    }),
  )

  holds("has one log of all that happens, each with its app's name", () =>
    Effect.gen(function* () {
      const { runs, sessions, files, refusals, events, tokens } = yield* Ledger
      yield* opened(1, 1500)
      yield* runs.openTurn(runOf(21), sessionId(1))
      yield* runs.start(ulid(21) as RunId, 3000)
      yield* runs.end(ulid(21) as RunId, done, 3005, result)
      yield* runs.open(runOf(22))
      yield* runs.end(ulid(22) as RunId, failed, 3006, result)
      yield* files.insert(fileOf(41, 63_000), "file 1", origin)
      yield* files.remove([fileOf(41, 63_000), fileOf(42, 1)], 64_000)
      yield* sessions.close(sessionId(1), 4000, origin)
      yield* sessions.remove(sessionId(1), 5000)
      yield* events.append({ type: "login.changed", at: 5001, data: { logged_in: false } })
      const refusal = { at: 5000, address: "10.0.0.1", code: "unauthorized", reason: "bearer" } as const
      yield* refusals.append([{ ...refusal, tokenId: null, requestId: "r", count: 3 }])
      yield* tokens.revoke(app.name, 6000, origin)

      const from = { request_id: "req-1", address: "192.168.1.9" }
      const of = (type: string, at: number, more: object = {}, data: object = {}) => ({
        type,
        at,
        runId: null,
        sessionId: null,
        tokenId: app.id,
        token: "app",
        ...more,
        data,
      })
      const turn = { runId: ulid(21), sessionId: sessionId(1) }
      const nobody = { tokenId: null, token: null }
      const { address, code, reason } = refusal
      expect(yield* log).toEqual([
        of("token.mint", 1000, {}, { ...from, ip_cidrs: ["10.0.0.0/8"] }),
        of("token.mint", 1001, { tokenId: other.id, token: "other" }, { ...from, ip_cidrs: ["10.0.0.0/8"] }),
        of(
          "session.create",
          1500,
          { sessionId: sessionId(1) },
          { agent: "claude", model: "opus", permission_mode: "deny-all", ...from },
        ),
        of("run.queued", 2021, turn),
        of("run.started", 3000, turn),
        of("run.completed", 3005, turn),
        of("session.turn", 3005, turn, { turn_index: 1 }),
        of("run.queued", 2022, { runId: ulid(22) }),
        of("run.failed", 3006, { runId: ulid(22) }, { code: "run_failed" }),
        of("file.upload", 3000, {}, { file_id: ulid(41), size: 12, expires_at: 63_000, ...from }),
        of("file.expire", 64_000, {}, { file_id: ulid(41), size: 12 }),
        of("session.close", 4000, { sessionId: sessionId(1) }, from),
        of("session.hard_delete", 5000, { sessionId: sessionId(1) }),
        of("login.changed", 5001, nobody, { logged_in: false }),
        of("admission.refused", 5000, nobody, { address, code, reason, count: 3, request_id: "r" }),
        of("token.revoke", 6000, {}, from),
      ])

      expect(types(yield* events.latest({}, 2))).toEqual(["token.revoke", "admission.refused"])
      expect(types(yield* events.latest({ owner: other.id }, 9))).toEqual(["token.mint"])
      expect(types(yield* events.latest({ runId: ulid(22) as RunId }, 9))).toEqual([
        "run.failed",
        "run.queued",
      ])
      expect(yield* events.latest({ sessionId: sessionId(1), type: "session.turn" }, 9)).toHaveLength(1)
      const [newest] = yield* events.latest({}, 1)
      expect(yield* events.newest).toBe(newest?.seq)
      expect(yield* events.after(newest?.seq ?? 0, {}, 9)).toEqual([])
      const [first, second] = yield* events.after(0, {}, 2)
      expect(yield* events.summary(other.id)).toEqual({
        counts: new Map([["token.mint", 1]]),
        oldest: { seq: second?.seq, at: 1001 },
        newest: { seq: second?.seq, at: 1001 },
      })
      const all = yield* events.summary(undefined)
      expect([all.counts.get("run.queued"), all.counts.size, all.oldest?.seq]).toEqual([2, 14, first?.seq])
    }),
  )

  holds("tells who waits that something was appended", () =>
    Effect.gen(function* () {
      const { events } = yield* Ledger
      yield* events.appended
      const waiting = yield* Effect.fork(events.appended)
      yield* Effect.yieldNow()
      expect(waiting.unsafePoll()).toBeNull()
      yield* events.append({ type: "login.changed", at: 1, data: {} })
      yield* waiting
    }),
  )

  holds("has what runs say, in one sequence with all else, in bytes", () =>
    Effect.gen(function* () {
      const { runs, streams, events } = yield* Ledger
      const [one, two] = [ulid(11) as RunId, ulid(12) as RunId]
      yield* runs.open(runOf(11))
      yield* runs.open(runOf(12))
      yield* streams.append([
        { run: one, at: 1, body: '"é"' },
        { run: two, at: 1, body: '"other"' },
        { run: one, at: 2, body: '"b"' },
      ])
      expect(yield* streams.end(one)).toEqual(Option.none())
      yield* runs.start(one, 3000)
      yield* runs.end(one, done, 3005, result)
      const read = yield* streams.read(one, 0)
      expect(read.map(({ kind, body }) => [kind, body])).toEqual([
        ["run", JSON.stringify({ run_id: one })],
        ["message", '"é"'],
        ["message", '"b"'],
        ["result", '{"a":"é"}'],
      ])
      const seqs = read.map(({ seq }) => seq)
      expect(yield* streams.bytesAfter(one, seqs[0] ?? 0)).toBe(4 + 3 + 10)
      expect(yield* streams.read(one, seqs[2] ?? 0)).toEqual(read.slice(3))
      expect(yield* streams.end(one)).toEqual(Option.some(result))
      expect(yield* streams.gap(one, 0)).toEqual(Option.none())
      const known = (yield* events.after(0, {}, 100)).map(({ seq }) => seq)
      expect(known.filter((seq) => seqs.includes(seq))).toEqual([])
    }),
  )

  holds("keeps the key of a run that started, for a day, and gives back that of one that did not", () =>
    Effect.gen(function* () {
      const { keys, runs } = yield* Ledger
      const find = (at: number, owner = app.id) => Effect.map(keys.find(owner, claim, at), Option.getOrNull)
      yield* runs.open(runOf(11, { claim, at: 2000 }))
      expect(yield* find(2000)).toEqual({ fingerprint: "f", answer: JSON.stringify({ run_id: ulid(11) }) })
      expect(yield* find(2000, other.id)).toBeNull()
      yield* runs.end(ulid(11) as RunId, failed, 2001, result)
      expect(yield* find(2001)).toBeNull()
      yield* runs.open(runOf(12, { claim, at: 2002 }))
      yield* runs.start(ulid(12) as RunId, 2003)
      yield* runs.end(ulid(12) as RunId, failed, 2004, result)
      expect(yield* find(2002 + CLAIM_MILLIS - 1)).not.toBeNull()
      expect(yield* find(2002 + CLAIM_MILLIS)).toBeNull()
    }),
  )

  holds("keeps the answer to an upload and to a session's opening with them, or not at all", () =>
    Effect.gen(function* () {
      const { files, keys, sessions, tokens } = yield* Ledger
      yield* files.insert(fileOf(41, 9000), "file 1", origin, { claim, answer: { token: "ff_x" } })
      expect(Option.getOrThrow(yield* keys.find(app.id, claim, 3001)).answer).toBe('{"token":"ff_x"}')
      const sessionClaim = { ...claim, route: "POST /sessions" }
      yield* sessions.reserve(sessionOf(1, 1000), 5)
      yield* sessions.activate(sessionId(1), ref, 1000, { claim: sessionClaim, answer: { id: 1 } })
      expect(Option.isSome(yield* keys.find(app.id, sessionClaim, 1001))).toBe(true)
      yield* tokens.revoke(app.name, 4000, origin)
      expect(yield* Effect.flip(files.insert(fileOf(42, 9000), "file 2", origin))).toMatchObject({
        _tag: "Unauthorized",
      })
      expect(yield* files.findByHash("file 2")).toEqual(Option.none())
    }),
  )

  holds("has uploads, and says which are due, the first to expire first", () =>
    Effect.gen(function* () {
      const { files } = yield* Ledger
      expect(yield* files.soonestExpiry(app.id)).toEqual(Option.none())
      for (const [n, expiresAt] of [
        [41, 9000],
        [42, 7000],
        [43, 8000],
      ] as const) {
        yield* files.insert(fileOf(n, expiresAt), `file ${n}`, origin)
      }
      expect(yield* files.findByHash("file 42")).toEqual(Option.some(fileOf(42, 7000)))
      expect(yield* files.soonestExpiry(app.id)).toEqual(Option.some(7000))
      expect((yield* files.due(8000)).map(({ id }) => Number(id))).toEqual([42, 43])
      expect(yield* files.remove([fileOf(42, 7000), fileOf(99, 1)], 9000)).toEqual([fileOf(42, 7000)])
      expect((yield* files.list).map(({ id }) => Number(id)).sort()).toEqual([41, 43])
    }),
  )

  holds("forgets texts when their time is over, and says what of a stream is gone", () =>
    Effect.gen(function* () {
      const { retention, runs, streams } = yield* Ledger
      const [plain, keyed] = [ulid(11) as RunId, ulid(12) as RunId]
      yield* runs.open(runOf(11))
      yield* runs.open(runOf(12, { claim }))
      for (const run of [plain, keyed]) {
        yield* streams.append([{ run, at: 1, body: '"said"' }])
        yield* runs.start(run, 3000)
        yield* runs.end(run, done, 4000, result)
      }
      const due = 4000 + STREAM_SECS * 1000
      expect(yield* retention.dropTexts(due - 1)).toEqual({ removed: 0, done: true })
      expect(yield* retention.dropTexts(due)).toEqual({ removed: 3, done: true })
      expect(yield* streams.read(plain, 0)).toEqual([])
      expect(yield* streams.end(plain)).toEqual(Option.none())
      const [first] = yield* streams.read(keyed, 0)
      expect(first?.kind).toBe("run")
      expect(Option.getOrThrow(yield* streams.gap(plain, 0))).toMatchObject({ kind: "resync", oldest: null })
      expect(yield* retention.dropTexts(2012 + CLAIM_MILLIS)).toEqual({ removed: 3, done: true })
      expect(yield* retention.sizes).toMatchObject({ streamRows: 6, streamBytes: 0 })
    }),
  )

  holds("removes rows that are too old or too many, but for runs that somebody may still read", () =>
    Effect.gen(function* () {
      const { retention, runs, streams } = yield* Ledger
      for (const n of [11, 12, 13]) yield* runs.open(runOf(n, { at: 1000 * n }))
      for (const n of [11, 12]) yield* runs.start(ulid(n) as RunId, 1000 * n)
      yield* runs.end(ulid(11) as RunId, done, 20_000, result)
      yield* runs.end(ulid(12) as RunId, done, 90_000, result)
      expect((yield* retention.sizes).streamRows).toBe(5)
      const pass = { at: 100_000, before: 0, maxRows: 100, seq: 0 }
      expect(yield* retention.dropStreams(pass)).toMatchObject({ removed: 0, done: true })
      expect(yield* retention.dropStreams({ ...pass, maxRows: 4 })).toMatchObject({ removed: 1, done: true })
      const rest = yield* streams.read(ulid(11) as RunId, 0)
      expect(rest.map(({ kind }) => kind)).toEqual(["result"])
      expect(Option.getOrThrow(yield* streams.gap(ulid(11) as RunId, 0)).oldest).toBe(rest[0]?.seq)
      expect(yield* retention.dropStreams({ ...pass, before: 95_000 })).toMatchObject({
        removed: 1,
        done: true,
      })
      expect((yield* retention.sizes).streamRows).toBe(3)
    }),
  )

  holds("removes old events and keys, and says how far it has come", () =>
    Effect.gen(function* () {
      const { events, keys, retention, runs } = yield* Ledger
      yield* runs.open(runOf(11, { claim }))
      const [first, second] = yield* events.after(0, {}, 2)
      expect(yield* events.trimmedTo).toBe(0)
      expect(yield* retention.dropEvents(1001)).toEqual({ removed: 1, done: true })
      expect(yield* events.trimmedTo).toBe(first?.seq)
      expect((yield* events.after(0, {}, 1))[0]).toEqual(second)
      expect((yield* events.summary(undefined)).counts.get("token.mint")).toBe(1)
      expect((yield* retention.sizes).events).toBe(2)
      expect(yield* retention.dropKeys(2011 + CLAIM_MILLIS - 1)).toEqual({ removed: 0, done: true })
      expect(yield* retention.dropKeys(2011 + CLAIM_MILLIS)).toEqual({ removed: 1, done: true })
      expect(yield* keys.find(app.id, claim, 2012)).toEqual(Option.none())
    }),
  )

  holds("after a restart, has what was unfinished as lost", (again) =>
    Effect.gen(function* () {
      const { runs, sessions } = yield* Ledger
      yield* runs.open(runOf(11))
      yield* runs.start(ulid(11) as RunId, 3000)
      yield* sessions.reserve(sessionOf(1, 1000), 5)
      yield* again(
        Effect.gen(function* () {
          const { runs, sessions, streams } = yield* Ledger
          const lost = Option.getOrThrow(yield* runs.find(ulid(11) as RunId))
          expect(lost).toMatchObject({ status: "lost", code: "run_failed", durationMs: null })
          expect(Option.getOrThrow(yield* streams.end(ulid(11) as RunId))).toMatchObject({ kind: "error" })
          expect((yield* log).at(-1)).toMatchObject({ type: "run.lost", data: {} })
          expect(yield* sessions.abandonAll).toEqual([sessionId(1)])
          expect(yield* sessions.countOpen).toBe(0)
        }),
      )
    }),
  )
})
