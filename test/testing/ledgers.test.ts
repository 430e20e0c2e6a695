import { expect } from "@effect/vitest"
import { Effect, Fiber, Option, Queue } from "effect"
import type { RunId, SessionId } from "../../src/domain/Ids.ts"
import type { Event } from "../../src/domain/Event.ts"
import { IDEMPOTENCY_KEY_MILLIS } from "../../src/domain/Origin.ts"
import type { AgentSessionRef } from "../../src/domain/Session.ts"
import type { TokenName } from "../../src/domain/Token.ts"
import { OPERATOR, type Viewer } from "../../src/domain/Viewer.ts"
import {
  type Change,
  Ledger,
  SESSION_BYTES_MAX,
  SESSION_MESSAGES_MAX,
} from "../../src/services/journal/Ledger.ts"
import { runEnd, origin, queuedAt } from "../support/LedgerRuns.ts"
import {
  APP,
  app,
  describeLedgers,
  done,
  failed,
  fileOf,
  idempotencyKey,
  keyed,
  nextApp,
  oneShot,
  OTHER,
  opened,
  other,
  ref,
  result,
  runId,
  sessionId,
  sessionOf,
  STREAM_SECS,
  turn,
  uploadOf,
  usage,
} from "../support/Ledgers.ts"

/** The contract of the ledger: both implementations keep it, so a test may use either. */

const SUBJECTLESS = { runId: null, sessionId: null, tokenId: null }
const ALL = { viewer: OPERATOR }

const idsOf = (found: ReadonlyArray<{ id: SessionId }>) => found.map(({ id }) => id)
const types = (found: ReadonlyArray<{ type: string }>) => found.map(({ type }) => type)

/** Returns all events without their places, which increase. */
const log = Effect.flatMap(Ledger, ({ events }) =>
  Effect.map(events.after(0, ALL, 1000), (all) => {
    const seqs = all.map(({ seq }) => seq)
    expect(seqs).toEqual([...new Set(seqs)].sort((one, other) => one - other))
    return all.map((event) => ({ ...event, seq: undefined }))
  }),
)

/** Returns an event of `app`. */
const of = (type: string, at: number, more: object = {}, data: object = {}) => ({
  type,
  at,
  ...SUBJECTLESS,
  tokenId: app.id,
  token: "app",
  ...more,
  data,
})

/** Accepts a run, starts it and ends it. */
const ended = (n: number, at: number, more: Parameters<typeof oneShot>[1] = {}) =>
  Effect.gen(function* () {
    const { runs } = yield* Ledger
    yield* runs.accept(oneShot(n, more), { at, startedAt: at })
    yield* runs.end(runId(n), runEnd(done, at, result))
  })

const storedKey = (at: number) =>
  Effect.flatMap(Ledger, ({ keys }) => Effect.map(keys.find(app.id, idempotencyKey, at), Option.getOrNull))

describeLedgers(
  (contract) => {
    contract("can be written to", () => Effect.flatMap(Ledger, ({ writable }) => writable))

    contract("has one token of a name in force, and accepts the name again after a revocation", () =>
      Effect.gen(function* () {
        const { tokens } = yield* Ledger
        const taken = yield* Effect.flip(tokens.insert(nextApp(5000), "hash 3", origin))
        expect(taken).toMatchObject({ _tag: "TokenNameTaken", name: "app" })
        expect(yield* tokens.findByHash("hash 1")).toEqual(Option.some(app))
        expect(yield* tokens.revoke(app.name, 4000, origin)).toBe(app.id)
        expect(yield* tokens.revoke(app.name, 4001, origin)).toBe("already_revoked")
        expect(yield* tokens.revoke("nobody" as TokenName, 4001, origin)).toBe("unknown")
        expect(yield* tokens.findByHash("hash 1")).toEqual(Option.none())
        yield* tokens.insert(nextApp(500), "hash 3", origin)
        yield* tokens.touch(new Map([[other.id, 4444]]))
        expect(yield* tokens.list).toEqual([
          nextApp(500),
          { ...app, revokedAt: 4000 },
          { ...other, lastUsedAt: 4444 },
        ])
      }),
    )

    contract("records a run from its acceptance to its end, and returns pages of runs, newest first", () =>
      Effect.gen(function* () {
        const { runs, tokens } = yield* Ledger
        for (const n of [12, 11, 13]) yield* runs.accept(oneShot(n), queuedAt(2000 + n))
        yield* runs.accept(oneShot(14, { owner: other.id }), queuedAt(2014))
        yield* runs.start(runId(11), 3000)
        yield* runs.end(runId(11), runEnd(done, 3005, result))
        yield* runs.end(runId(11), runEnd(failed, 3006, result))
        yield* runs.start(runId(11), 3007)
        yield* runs.end(runId(12), runEnd(failed, 3008, result))
        expect(Option.getOrThrow(yield* runs.find(runId(11)))).toEqual({
          id: runId(11),
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
          Effect.map(runs.page(filter, limit, before === undefined ? undefined : runId(before)), (page) =>
            page.map(({ id }) => Number(id)),
          )
        expect(yield* paged(ALL)).toEqual([14, 13, 12, 11])
        expect(yield* paged({ viewer: APP }, 2)).toEqual([13, 12])
        expect(yield* paged({ viewer: APP }, 2, 12)).toEqual([11])
        expect(yield* paged({ viewer: OPERATOR, status: "queued" })).toEqual([14, 13])
        expect(yield* paged({ viewer: OPERATOR, status: "failed" })).toEqual([12])
        expect(yield* runs.find(runId(99))).toEqual(Option.none())
        yield* tokens.revoke(app.name, 4000, origin)
        expect(yield* Effect.flip(runs.accept(oneShot(15), queuedAt(2015)))).toMatchObject({
          _tag: "Unauthorized",
        })
      }),
    )

    contract("accepts a run that starts at once as running, with both events", () =>
      Effect.gen(function* () {
        const { runs, streams } = yield* Ledger
        yield* opened(1, 1500)
        expect(yield* runs.accept(oneShot(11), { at: 2000, startedAt: 2001 })).toEqual({ turn: null })
        yield* runs.accept(turn(12, 1), { at: 2002, startedAt: 2002 })
        for (const [n, startedAt] of [
          [11, 2001],
          [12, 2002],
        ] as const) {
          expect(Option.getOrThrow(yield* runs.find(runId(n)))).toMatchObject({
            status: "running",
            startedAt,
          })
          expect((yield* streams.read(runId(n), 0)).map(({ kind }) => kind)).toEqual(["run"])
        }
        expect((yield* log).slice(3).map(({ type, at }) => [type, at])).toEqual([
          ["run.queued", 2000],
          ["run.started", 2001],
          ["run.queued", 2002],
          ["run.started", 2002],
        ])
        yield* runs.start(runId(11), 2500)
        expect(Option.getOrThrow(yield* runs.find(runId(11))).startedAt).toBe(2001)
      }),
    )

    contract(
      "records no start before the acceptance and no end before the start, though the clock is set back",
      () =>
        Effect.gen(function* () {
          const { runs } = yield* Ledger
          yield* runs.accept(oneShot(11), queuedAt(5000))
          yield* runs.start(runId(11), 4000)
          yield* runs.end(runId(11), runEnd(done, 3000, result))
          yield* runs.accept(oneShot(12), queuedAt(5000))
          yield* runs.end(runId(12), runEnd({ ...done, status: "cancelled" }, 3000, result))
          const found = yield* Effect.forEach([11, 12], (n) => runs.find(runId(n)))
          const times = found.map(Option.getOrThrow)
          expect(times.map(({ startedAt, finishedAt }) => [startedAt, finishedAt])).toEqual([
            [5000, 5000],
            [null, 5000],
          ])
        }),
    )

    contract("counts the turns of a session, and records in the session when the last one changed", () =>
      Effect.gen(function* () {
        const { runs, sessions } = yield* Ledger
        yield* opened(1, 1500)
        const before = Option.getOrThrow(yield* sessions.find(sessionId(1)))
        expect((yield* runs.accept(turn(21, 1), queuedAt(2021))).turn).toEqual({
          index: 1,
          session: { ...before, turnCount: 1, lastTurnAt: 2021 },
        })
        expect((yield* runs.accept(turn(22, 1), queuedAt(2022))).turn?.index).toBe(2)
        expect(Option.getOrThrow(yield* runs.findTurn(sessionId(1), 2))).toMatchObject({
          id: runId(22),
          kind: "turn",
          model: "opus",
          sessionId: sessionId(1),
        })
        expect(yield* runs.findTurn(sessionId(1), 3)).toEqual(Option.none())
        yield* runs.start(runId(21), 3000)
        yield* runs.end(runId(21), runEnd({ ...done, stopReason: "cancelled" }, 3005, result))
        expect(Option.getOrThrow(yield* sessions.find(sessionId(1)))).toMatchObject({
          turnCount: 2,
          lastTurnAt: 3005,
          answered: false,
        })
        yield* runs.start(runId(22), 3006)
        yield* runs.end(runId(22), runEnd(done, 3010, result))
        expect(Option.getOrThrow(yield* sessions.find(sessionId(1))).answered).toBe(true)
        const page = yield* runs.page({ viewer: APP, sessionId: sessionId(1) }, 10)
        expect(page.map(({ id }) => id)).toEqual([runId(22), runId(21)])
        const foreign = runs.accept(turn(23, 1, { owner: other.id }), queuedAt(2023))
        expect(yield* Effect.flip(foreign)).toMatchObject({ _tag: "SessionNotFound" })
        yield* sessions.close(sessionId(1), 4000, origin)
        const late = runs.accept(turn(24, 1), queuedAt(2024))
        expect(yield* Effect.flip(late)).toMatchObject({ _tag: "SessionClosed" })
        expect(Option.getOrThrow(yield* sessions.find(sessionId(1))).turnCount).toBe(2)
      }),
    )

    contract("keeps a run's input if asked to, until its text is removed", () =>
      Effect.gen(function* () {
        const { retention, runs } = yield* Ledger
        yield* opened(1, 1500)
        const input = { prompt: "Read é.", system: "Be short.", files: [fileOf(41, 9000)] }
        yield* runs.accept(oneShot(11, { input }), { ...queuedAt(2000), keepInput: true })
        yield* runs.accept(turn(12, 1), { ...queuedAt(2000), keepInput: true })
        yield* runs.accept(oneShot(13, { input }), { ...queuedAt(2000), keepInput: false })
        yield* runs.accept(oneShot(14, { input }), queuedAt(2000))
        expect(yield* runs.input(runId(11))).toEqual(Option.some(input))
        expect(yield* runs.input(runId(12))).toEqual(Option.some({ prompt: "7 chars", files: [] }))
        for (const n of [13, 14, 99]) expect(yield* runs.input(runId(n))).toEqual(Option.none())
        yield* runs.start(runId(11), 3000)
        yield* runs.end(runId(11), runEnd(done, 4000, result))
        const due = 4000 + STREAM_SECS * 1000
        yield* retention.dropTexts(due - 1)
        expect(yield* runs.input(runId(11))).toEqual(Option.some(input))
        yield* retention.dropTexts(due)
        expect(yield* runs.input(runId(11))).toEqual(Option.none())
        expect(Option.isSome(yield* runs.input(runId(12)))).toBe(true)
      }),
    )

    contract("stores the messages that an end brings before its result, in order", () =>
      Effect.gen(function* () {
        const { events, runs, streams } = yield* Ledger
        yield* opened(1, 1500)
        yield* runs.accept(turn(11, 1), { at: 2000, startedAt: 2000 })
        yield* streams.append([{ run: runId(11), at: 2001, body: '"stored"' }])
        const bodies = Array.from({ length: 45 }, (_, n) => `"${n}"`)
        const unstored = bodies.map((body) => ({ run: runId(11), at: 2002, body }))
        yield* runs.end(runId(11), runEnd(done, 2003, result, { unstored }))
        const read = yield* streams.read(runId(11), 0)
        expect(read.map(({ kind, body }) => [kind, body]).slice(1)).toEqual([
          ["message", '"stored"'],
          ...bodies.map((body) => ["message", body]),
          ["result", '{"a":"é"}'],
        ])
        const told = yield* events.after(0, { viewer: OPERATOR, runId: runId(11) }, 100)
        const inOrder = [
          ...read.map(({ seq, kind }) => ({ seq, name: kind as string })),
          ...told.map(({ seq, type }) => ({ seq, name: type as string })),
        ].sort((one, other) => one.seq - other.seq)
        expect(new Set(inOrder.map(({ seq }) => seq)).size).toBe(inOrder.length)
        expect(inOrder.map(({ name }) => name)).toEqual([
          "run",
          "run.queued",
          "run.started",
          ...Array.from({ length: 46 }, () => "message"),
          "result",
          "run.completed",
          "session.turn",
        ])
      }),
    )

    contract("changes nothing when a run that has ended is ended or started again", () =>
      Effect.gen(function* () {
        const { runs, sessions, streams } = yield* Ledger
        yield* opened(1, 1500)
        yield* runs.accept(turn(11, 1, keyed), { at: 2000, startedAt: 2000 })
        yield* runs.end(runId(11), runEnd(failed, 2003, result))
        const all = Effect.gen(function* () {
          return [
            yield* runs.find(runId(11)),
            yield* sessions.find(sessionId(1)),
            yield* streams.read(runId(11), 0),
            yield* log,
            yield* storedKey(2004),
          ]
        })
        const before = yield* all
        const unstored = [{ run: runId(11), at: 2002, body: '"late"' }]
        yield* runs.end(
          runId(11),
          runEnd(done, 2005, { kind: "error", body: "{}" }, { unstored, began: false }),
        )
        yield* runs.start(runId(11), 2006)
        expect(yield* runs.loseUnfinished(2007)).toBe(0)
        expect(yield* all).toEqual(before)
        expect(before[4]).not.toBeNull()
      }),
    )

    contract("ignores the start and the end of a run that it does not know", () =>
      Effect.gen(function* () {
        const { runs, streams } = yield* Ledger
        const before = yield* log
        yield* runs.start(runId(99), 2000)
        yield* runs.end(runId(99), runEnd(done, 2001, result))
        expect(yield* log).toEqual(before)
        expect(yield* streams.read(runId(99), 0)).toEqual([])
      }),
    )

    contract("hides a session that is opening, and limits how many are open", () =>
      Effect.gen(function* () {
        const { sessions } = yield* Ledger
        yield* sessions.reserve(sessionOf(1, 1000), 2)
        expect(yield* sessions.find(sessionId(1))).toEqual(Option.none())
        yield* opened(2, 1001)
        expect(yield* Effect.flip(sessions.reserve(sessionOf(3, 1002), 2))).toMatchObject({
          _tag: "PoolFull",
        })
        expect(yield* sessions.countOpen).toBe(2)
        expect(yield* sessions.liveAmong([sessionId(1), sessionId(2), sessionId(3)])).toHaveLength(2)
        yield* sessions.abandon(sessionId(1))
        yield* opened(3, 1001)
        yield* sessions.setRef(sessionId(3), "ref-2" as AgentSessionRef)
        yield* sessions.answered(sessionId(3))
        const { origin: _, at, ...asked } = sessionOf(3, 1001)
        expect(Option.getOrThrow(yield* sessions.find(sessionId(3)))).toEqual({
          ...asked,
          agentCostUsd: null,
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

    contract("returns the sessions that are due, in an order that can be continued, and removes them", () =>
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
        yield* runs.accept(turn(31, 5), queuedAt(1050))
        const idle = yield* sessions.idle(1300)
        expect(idsOf(idle)).toEqual([sessionId(2), sessionId(4), sessionId(3)])
        expect(idsOf(yield* sessions.idle(1300, idle[0]))).toEqual([sessionId(4), sessionId(3)])
        expect(yield* sessions.closeIdle(sessionId(1), 1300, 2000)).toBe(false)
        expect(yield* sessions.closeIdle(sessionId(5), 1300, 2000)).toBe(false)
        expect(yield* sessions.closeIdle(sessionId(2), 1300, 2000)).toBe(true)
        yield* sessions.close(sessionId(3), 2001, null)
        expect(idsOf(yield* sessions.closedUntil(2000))).toEqual([sessionId(2)])
        const closed = yield* sessions.closedUntil(2001)
        expect(idsOf(closed)).toEqual([sessionId(2), sessionId(3)])
        expect(idsOf(yield* sessions.closedUntil(2001, closed[0]))).toEqual([sessionId(3)])
        expect(yield* sessions.remove(sessionId(4), 3000)).toBe(false)
        expect(yield* sessions.remove(sessionId(2), 3000)).toBe(true)
        expect(yield* sessions.find(sessionId(2))).toEqual(Option.none())
      }),
    )

    contract("has one log of everything that happens, with the name of each event's app", () =>
      Effect.gen(function* () {
        const { runs, sessions, files, refusals, events, tokens } = yield* Ledger
        yield* opened(1, 1500)
        yield* runs.accept(turn(21, 1), queuedAt(2021))
        yield* runs.start(runId(21), 3000)
        yield* runs.end(runId(21), runEnd(done, 3005, result))
        yield* runs.accept(oneShot(22), queuedAt(2022))
        yield* runs.end(runId(22), runEnd(failed, 3006, result))
        yield* files.insert(uploadOf(41, 63_000))
        yield* files.remove([fileOf(41, 63_000), fileOf(42, 1)], 64_000)
        yield* sessions.close(sessionId(1), 4000, origin)
        yield* sessions.remove(sessionId(1), 5000)
        yield* events.append({
          type: "login.changed",
          at: 5001,
          ...SUBJECTLESS,
          data: { logged_in: false },
        })
        const refusal = { at: 5000, address: "10.0.0.1", code: "unauthorized", reason: "bearer" } as const
        yield* refusals.append([{ ...refusal, tokenId: null, requestId: "r", count: 3 }])
        yield* tokens.revoke(app.name, 6000, origin)

        const from = { request_id: "req-1", address: "192.168.1.9" }
        const subject = { runId: runId(21), sessionId: sessionId(1) }
        const nobody = { tokenId: null, token: null }
        const { address, code, reason } = refusal
        expect(yield* log).toEqual([
          of("token.mint", 1000, {}, { ...from, ip_cidrs: ["10.0.0.0/8"] }),
          of(
            "token.mint",
            1001,
            { tokenId: other.id, token: "other" },
            { ...from, ip_cidrs: ["10.0.0.0/8"] },
          ),
          of(
            "session.create",
            1500,
            { sessionId: sessionId(1) },
            { agent: "claude", model: "opus", permission_mode: "deny-all", ...from },
          ),
          of("run.queued", 2021, subject),
          of("run.started", 3000, subject),
          of("run.completed", 3005, subject),
          of("session.turn", 3005, subject, { turn_index: 1 }),
          of("run.queued", 2022, { runId: runId(22) }),
          of("run.failed", 3006, { runId: runId(22) }, { code: "run_failed" }),
          of("file.upload", 3000, {}, { file_id: fileOf(41, 0).id, size: 12, expires_at: 63_000, ...from }),
          of("file.expire", 64_000, {}, { file_id: fileOf(41, 0).id, size: 12 }),
          of("session.close", 4000, { sessionId: sessionId(1) }, from),
          of("session.hard_delete", 5000, { sessionId: sessionId(1) }),
          of("login.changed", 5001, nobody, { logged_in: false }),
          of("admission.refused", 5000, nobody, { address, code, reason, count: 3, request_id: "r" }),
          of("token.revoke", 6000, {}, from),
        ])

        expect(types(yield* events.latest(ALL, 2))).toEqual(["token.revoke", "admission.refused"])
        expect(types(yield* events.latest({ viewer: OTHER }, 9))).toEqual(["token.mint"])
        expect(types(yield* events.latest({ viewer: OPERATOR, runId: runId(22) }, 9))).toEqual([
          "run.failed",
          "run.queued",
        ])
        expect(
          yield* events.latest({ viewer: OPERATOR, sessionId: sessionId(1), type: "session.turn" }, 9),
        ).toHaveLength(1)
        const [newest] = yield* events.latest(ALL, 1)
        expect(yield* events.newest).toBe(newest?.seq)
        expect(yield* events.after(newest?.seq ?? 0, ALL, 9)).toEqual([])
        const [first, second] = yield* events.after(0, ALL, 2)
        expect(yield* events.summary(OTHER)).toEqual({
          counts: new Map([["token.mint", 1]]),
          oldest: { seq: second?.seq, at: 1001 },
          newest: { seq: second?.seq, at: 1001 },
        })
        const all = yield* events.summary(OPERATOR)
        expect([all.counts.get("run.queued"), all.counts.size, all.oldest?.seq]).toEqual([2, 14, first?.seq])
      }),
    )

    contract("shows an app what it owns, and the operator everything", () =>
      Effect.gen(function* () {
        const { events, refusals, runs } = yield* Ledger
        yield* runs.accept(oneShot(11), queuedAt(2000))
        yield* runs.accept(oneShot(12, { owner: other.id }), queuedAt(2001))
        yield* events.append({ type: "login.changed", at: 2002, ...SUBJECTLESS, data: { logged_in: true } })
        const refusal = { address: "10.0.0.1", code: "ip_not_allowed", requestId: "r", count: 1 } as const
        yield* refusals.append([
          { ...refusal, at: 2003, reason: "token", tokenId: app.id },
          { ...refusal, at: 2004, reason: "bearer", code: "unauthorized", tokenId: null },
        ])
        const seenBy = (viewer: Viewer) =>
          Effect.gen(function* () {
            const after = yield* events.after(0, { viewer }, 100)
            const latest = yield* events.latest({ viewer }, 100)
            expect(latest.toReversed()).toEqual(after)
            const { counts, oldest, newest } = yield* events.summary(viewer)
            const counted = new Map<string, number>()
            for (const { type } of after) counted.set(type, (counted.get(type) ?? 0) + 1)
            expect(counts).toEqual(counted)
            expect([oldest?.at, newest?.at]).toEqual([after.at(0)?.at, after.at(-1)?.at])
            const page = yield* runs.page({ viewer }, 10)
            return [after.map(({ type, token }) => [type, token]), page.map(({ id }) => Number(id))]
          })
        expect(yield* seenBy(APP)).toEqual([
          [
            ["token.mint", "app"],
            ["run.queued", "app"],
            ["admission.refused", "app"],
          ],
          [11],
        ])
        expect(yield* seenBy(OTHER)).toEqual([
          [
            ["token.mint", "other"],
            ["run.queued", "other"],
          ],
          [12],
        ])
        expect(yield* seenBy(OPERATOR)).toEqual([
          [
            ["token.mint", "app"],
            ["token.mint", "other"],
            ["run.queued", "app"],
            ["run.queued", "other"],
            ["login.changed", null],
            ["admission.refused", "app"],
            ["admission.refused", null],
          ],
          [12, 11],
        ])
        expect(yield* events.after(0, { viewer: APP, runId: runId(12) }, 100)).toEqual([])
        expect(yield* events.latest({ viewer: APP, type: "login.changed" }, 100)).toEqual([])
      }),
    )

    contract("publishes a change once for each transaction, to every subscriber", () =>
      Effect.gen(function* () {
        const { events, refusals, runs, streams, tokens } = yield* Ledger
        const changes = yield* events.changes
        const same = yield* events.changes
        const published: Effect.Effect<ReadonlyArray<Change>> = Effect.map(Queue.takeAll(changes), (all) =>
          [...all].map(({ events, runs }) => ({ events, runs: runs.toSorted(), sessions: [] })),
        )
        const [one, two] = [runId(11), runId(12)]
        expect(yield* published).toEqual([])
        yield* runs.accept(oneShot(11), { at: 2000, startedAt: 2000 })
        expect(yield* published).toEqual([{ events: true, runs: [one], sessions: [] }])
        yield* runs.accept(oneShot(12), queuedAt(2000))
        yield* runs.start(two, 2001)
        expect(yield* published).toEqual([
          { events: true, runs: [two], sessions: [] },
          { events: true, runs: [], sessions: [] },
        ])
        yield* streams.append([
          { run: one, at: 1, body: '"a"' },
          { run: two, at: 1, body: '"b"' },
          { run: one, at: 1, body: '"c"' },
        ])
        expect(yield* published).toEqual([{ events: false, runs: [one, two], sessions: [] }])
        const unstored = [{ run: one, at: 1, body: '"d"' }]
        yield* runs.end(one, runEnd(done, 3000, result, { unstored }))
        yield* runs.end(one, runEnd(done, 3001, result, { unstored }))
        expect(yield* published).toEqual([{ events: true, runs: [one], sessions: [] }])
        yield* runs.accept(oneShot(13), queuedAt(2000))
        expect(yield* runs.loseUnfinished(4000)).toBe(2)
        expect((yield* published).slice(1)).toEqual([{ events: true, runs: [two, runId(13)], sessions: [] }])
        const refusal = { address: "a", code: "unauthorized", reason: "bearer", tokenId: null } as const
        const counted = { ...refusal, at: 1, requestId: "r", count: 1 }
        yield* refusals.append([counted, counted])
        expect(yield* published).toEqual([{ events: true, runs: [], sessions: [] }])
        yield* refusals.append([])
        yield* streams.append([])
        yield* tokens.touch(new Map([[app.id, 5000]]))
        expect(yield* published).toEqual([])
        yield* events.publish({ events: false, runs: [two], sessions: [] })
        expect(yield* published).toEqual([{ events: false, runs: [two], sessions: [] }])
        expect(yield* Queue.takeAll(same)).toHaveLength(9)
        expect(yield* Queue.takeAll(yield* events.changes)).toHaveLength(0)
      }).pipe(Effect.scoped),
    )

    contract("publishes a change when it can be read, and never one that is rolled back", () =>
      Effect.gen(function* () {
        const { events, runs, sessions, tokens } = yield* Ledger
        yield* opened(1, 1500)
        yield* runs.accept(oneShot(11, keyed), queuedAt(2000))
        const changes = yield* events.changes
        const before = [yield* log, yield* sessions.find(sessionId(1))]
        // The key of these runs is in force: after the other rows, its row cannot be written.
        for (const spec of [oneShot(12, keyed), turn(13, 1, keyed)]) {
          const refused = yield* Effect.flip(runs.accept(spec, { ...queuedAt(2001), keepInput: true }))
          expect(refused).toMatchObject({ _tag: "StorageFailed", during: "accepting a run" })
          expect(yield* runs.find(spec.id)).toEqual(Option.none())
          expect(yield* runs.input(spec.id)).toEqual(Option.none())
        }
        expect([yield* log, yield* sessions.find(sessionId(1))]).toEqual(before)
        expect((yield* storedKey(2001))?.answer).toBe(JSON.stringify({ run_id: runId(11) }))
        expect(yield* Queue.takeAll(changes)).toHaveLength(0)

        const waiting = yield* Queue.take(changes).pipe(Effect.zipRight(events.latest(ALL, 1)), Effect.fork)
        yield* Effect.yieldNow()
        expect(waiting.unsafePoll()).toBeNull()
        yield* tokens.revoke(app.name, 3000, origin)
        expect(types(yield* Fiber.join(waiting))).toEqual(["token.revoke"])
        expect(yield* Effect.flip(runs.accept(oneShot(14), queuedAt(3001)))).toMatchObject({
          _tag: "Unauthorized",
        })
        expect(yield* Queue.takeAll(changes)).toHaveLength(0)
      }).pipe(Effect.scoped),
    )

    contract("stores the streams of runs in the sequence of the events, measured in bytes", () =>
      Effect.gen(function* () {
        const { runs, streams, events } = yield* Ledger
        const [one, two] = [runId(11), runId(12)]
        yield* runs.accept(oneShot(11), queuedAt(2011))
        yield* runs.accept(oneShot(12), queuedAt(2012))
        yield* streams.append([
          { run: one, at: 1, body: '"é"' },
          { run: two, at: 1, body: '"other"' },
          { run: one, at: 2, body: '"b"' },
        ])
        expect(yield* streams.end(one)).toEqual(Option.none())
        yield* runs.start(one, 3000)
        yield* runs.end(one, runEnd(done, 3005, result))
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
        const known = (yield* events.after(0, ALL, 100)).map(({ seq }) => seq)
        expect(known.filter((seq) => seqs.includes(seq))).toEqual([])
      }),
    )

    contract("stores what is said in an open session between turns, with the session's events in order", () =>
      Effect.gen(function* () {
        const { events, runs, sessionMessages, sessions } = yield* Ledger
        yield* sessions.reserve(sessionOf(2, 1400), 100)
        yield* sessions.reserve(sessionOf(3, 1400), 100)
        yield* opened(1, 1500)
        const changes = yield* events.changes
        const [one, two] = [sessionId(1), sessionId(2)]
        yield* sessionMessages.append([
          { session: one, at: 1600, body: '"é"' },
          { session: two, at: 1600, body: '"is opening"' },
          { session: sessionId(3), at: 1600, body: '"is given up"' },
          { session: sessionId(9), at: 1600, body: '"is unknown"' },
          { session: one, at: 1601, body: '"b"' },
        ])
        yield* runs.accept(turn(21, 1), { at: 1700, startedAt: 1700 })
        yield* runs.end(runId(21), runEnd(done, 1800, result))
        yield* sessionMessages.append([{ session: one, at: 1900, body: '"c"' }])
        yield* sessions.close(one, 2000, origin)
        yield* sessionMessages.append([{ session: one, at: 2001, body: '"after the close"' }])
        yield* sessionMessages.append([])
        // The end of a turn that the close cancelled.
        yield* events.append({
          type: "session.turn",
          at: 2002,
          runId: null,
          sessionId: one,
          tokenId: app.id,
          data: { turn_index: 2 },
        })

        const read = yield* sessionMessages.read(one, 0)
        expect(read.map((item) => ("type" in item ? item.type : [item.at, item.body, item.token]))).toEqual([
          "session.create",
          [1600, '"é"', "app"],
          [1601, '"b"', "app"],
          "session.turn",
          [1900, '"c"', "app"],
          "session.close",
        ])
        const seqs = read.map(({ seq }) => seq)
        expect(seqs).toEqual([...new Set(seqs)].sort((one, other) => one - other))
        expect(yield* sessionMessages.read(one, seqs[2] ?? 0)).toEqual(read.slice(3))
        expect(yield* sessionMessages.read(one, seqs.at(-1) ?? 0)).toEqual([])
        expect(yield* sessionMessages.read(two, 0)).toMatchObject([{ body: '"is opening"', token: "app" }])
        yield* sessions.abandon(sessionId(3))
        yield* sessions.abandonAll
        for (const given of [sessionId(2), sessionId(3), sessionId(9)]) {
          expect(yield* sessionMessages.read(given, 0)).toEqual([])
        }
        expect(yield* sessionMessages.gap(one, 0)).toEqual(Option.none())
        const told = [...(yield* Queue.takeAll(changes))]
        const changed = told.filter(({ sessions }) => sessions.includes(one))
        expect(changed.map(({ events }) => events)).toEqual([false, true, false, true, true])

        yield* sessions.remove(one, 3000)
        expect((yield* sessionMessages.read(one, 0)).some(({ seq }) => seq === seqs[1])).toBe(false)
      }).pipe(Effect.scoped),
    )

    contract("records what a turn cost and which model answered, and what its session cost so far", () =>
      Effect.gen(function* () {
        const { runs, sessions } = yield* Ledger
        yield* opened(1, 1500)
        const [one, two, single] = [runId(21), runId(22), runId(23)]
        const total = Effect.map(
          sessions.find(sessionId(1)),
          (found) => Option.getOrThrow(found).agentCostUsd,
        )
        const shown = (run: RunId) =>
          Effect.map(runs.find(run), (found) => {
            const { costUsd, model } = Option.getOrThrow(found)
            return [costUsd, model]
          })
        expect(yield* total).toBeNull()
        yield* runs.accept(turn(21, 1), { at: 1600, startedAt: 1600 })
        const known = { ...done, costUsd: 0.25, model: "large-1", agentCostUsd: 0.25 }
        yield* runs.end(one, runEnd(known, 1700, result))
        expect([yield* shown(one), yield* total]).toEqual([[0.25, "large-1"], 0.25])

        // Told after the turn's result, before or after its end is written.
        yield* runs.accept(turn(22, 1), { at: 1800, startedAt: 1800 })
        yield* sessions.setAgentCost(sessionId(1), 0.4, { run: two, costUsd: 0.15 })
        yield* runs.end(two, runEnd({ ...done, costUsd: null }, 1900, result))
        expect([yield* shown(two), yield* total]).toEqual([[0.15, "opus"], 0.4])
        yield* sessions.setAgentCost(sessionId(1), 0.5, { run: two, costUsd: 9 })
        yield* sessions.setAgentCost(sessionId(1), 0.6, null)
        expect([yield* shown(one), yield* shown(two), yield* total]).toEqual([
          [0.25, "large-1"],
          [0.15, "opus"],
          0.6,
        ])

        yield* runs.accept(oneShot(23), { at: 2000, startedAt: 2000 })
        yield* runs.end(single, runEnd(known, 2100, result))
        expect(yield* shown(single)).toEqual([0.25, "sonnet"])
      }),
    )

    contract("keeps the newest of what is said in a session, and tells what is gone", () =>
      Effect.gen(function* () {
        const { retention, sessionMessages } = yield* Ledger
        yield* opened(1, 1500)
        yield* opened(2, 1500)
        const [one, two] = [sessionId(1), sessionId(2)]
        const said = (session: SessionId) =>
          Effect.map(sessionMessages.read(session, 0), (items) =>
            items.flatMap((item) => ("body" in item ? [item] : [])),
          )
        yield* sessionMessages.append([{ session: two, at: 1600, body: '"other"' }])
        const many = Array.from({ length: SESSION_MESSAGES_MAX + 3 }, (_, n) => `"${n}"`)
        yield* sessionMessages.append(many.map((body, n) => ({ session: one, at: 1700 + n, body })))
        const [first, second] = [[...(yield* said(one))], yield* said(two)]
        for (;;) {
          const more = yield* sessionMessages.read(one, first.at(-1)?.seq ?? 0)
          if (more.length === 0) break
          first.push(...more.flatMap((item) => ("body" in item ? [item] : [])))
        }
        expect(first.map(({ body }) => body)).toEqual(many.slice(3))
        expect(second.map(({ body }) => body)).toEqual(['"other"'])
        const gap = { kind: "resync", seq: (first[0]?.seq ?? 0) - 1, oldest: first[0]?.seq }
        expect(yield* sessionMessages.gap(one, 0)).toEqual(Option.some(gap))
        expect(yield* sessionMessages.gap(one, gap.seq)).toEqual(Option.none())
        expect(yield* sessionMessages.gap(two, 0)).toEqual(Option.none())

        const large = JSON.stringify("x".repeat(SESSION_BYTES_MAX))
        yield* sessionMessages.append([
          { session: two, at: 5000, body: '"small"' },
          { session: two, at: 5000, body: large },
        ])
        expect((yield* said(two)).map(({ body }) => body.length)).toEqual([large.length])
        yield* sessionMessages.append([{ session: two, at: 5001, body: '"next"' }])
        expect((yield* said(two)).map(({ body }) => body)).toEqual(['"next"'])

        const before = yield* retention.sizes
        expect(before).toMatchObject({ streamRows: SESSION_MESSAGES_MAX + 1 })
        let removed = 0
        for (let step = { removed: 0, done: false }; !step.done; removed += step.removed) {
          step = yield* retention.dropSessionMessages(1705)
        }
        expect(removed).toBe(2)
        expect((yield* said(one))[0]).toMatchObject({ at: 1705 })
        for (let step = { removed: 0, done: false }; !step.done; ) {
          step = yield* retention.dropSessionMessages(5002)
        }
        expect([yield* said(one), yield* said(two)]).toEqual([[], []])
        expect(yield* sessionMessages.gap(one, 0)).toEqual(
          Option.some({ kind: "resync", seq: first.at(-1)?.seq, oldest: null }),
        )
        expect(yield* retention.sizes).toMatchObject({ streamRows: 0, streamBytes: 0 })
      }),
    )

    contract("keeps the key of a run that began for a day, and removes the key of one that never did", () =>
      Effect.gen(function* () {
        const { keys, runs } = yield* Ledger
        const find = (at: number, owner = app.id) =>
          Effect.map(keys.find(owner, idempotencyKey, at), Option.getOrNull)
        yield* runs.accept(oneShot(11, keyed), queuedAt(2000))
        expect(yield* find(2000)).toEqual({
          fingerprint: "f",
          answer: JSON.stringify({ run_id: runId(11) }),
        })
        expect(yield* find(2000, other.id)).toBeNull()
        yield* runs.end(runId(11), runEnd(failed, 2001, result, { began: false }))
        expect(yield* find(2001)).toBeNull()
        yield* runs.accept(oneShot(12, keyed), queuedAt(2002))
        yield* runs.start(runId(12), 2003)
        yield* runs.end(runId(12), runEnd(failed, 2004, result))
        expect(yield* find(2002 + IDEMPOTENCY_KEY_MILLIS - 1)).not.toBeNull()
        expect(yield* find(2002 + IDEMPOTENCY_KEY_MILLIS)).toBeNull()
      }),
    )

    contract("decides by `began` alone whether the key of an ended run stays", () =>
      Effect.gen(function* () {
        const { runs } = yield* Ledger
        yield* runs.accept(oneShot(11, keyed), { at: 2000, startedAt: 2000 })
        yield* runs.end(runId(11), runEnd(failed, 2001, result, { began: false }))
        expect(yield* storedKey(2001)).toBeNull()
        yield* runs.accept(oneShot(12, keyed), queuedAt(2002))
        yield* runs.end(runId(12), runEnd(failed, 2003, result, { began: true }))
        expect((yield* storedKey(2003))?.answer).toBe(JSON.stringify({ run_id: runId(12) }))
      }),
    )

    contract("accepts a key again when it has expired", () =>
      Effect.gen(function* () {
        const { runs } = yield* Ledger
        const next = 2000 + IDEMPOTENCY_KEY_MILLIS
        yield* ended(11, 2000, keyed)
        expect(yield* Effect.flip(runs.accept(oneShot(12, keyed), queuedAt(next - 1)))).toMatchObject({
          _tag: "StorageFailed",
        })
        yield* runs.accept(oneShot(12, keyed), queuedAt(next))
        expect((yield* storedKey(next))?.answer).toBe(JSON.stringify({ run_id: runId(12) }))
      }),
    )

    contract("stores the answer to an upload and to a session's opening with them, or neither", () =>
      Effect.gen(function* () {
        const { files, keys, sessions, tokens } = yield* Ledger
        yield* files.insert(uploadOf(41, 9000, keyed))
        expect(Option.getOrThrow(yield* keys.find(app.id, idempotencyKey, 3001)).answer).toBe(
          '{"token":"ff_x","size":12,"ttlSecs":60}',
        )
        expect(yield* Effect.flip(files.insert(uploadOf(42, 9000, keyed)))).toMatchObject({
          _tag: "StorageFailed",
        })
        const sessionKey = { ...idempotencyKey, route: "POST /sessions" }
        const opening = sessionOf(1, 1000, { origin: { ...origin, idempotencyKey: sessionKey } })
        yield* sessions.reserve(opening, 5)
        expect(yield* keys.find(app.id, sessionKey, 1001)).toEqual(Option.none())
        yield* sessions.activate(opening, ref)
        expect(JSON.parse(Option.getOrThrow(yield* keys.find(app.id, sessionKey, 1001)).answer)).toEqual({
          id: sessionId(1),
          agent: "claude",
          model: "opus",
          meta: { user: "ada" },
          createdAt: 1000,
        })
        yield* tokens.revoke(app.name, 4000, origin)
        expect(yield* Effect.flip(files.insert(uploadOf(42, 9000)))).toMatchObject({
          _tag: "Unauthorized",
        })
        expect(yield* files.findByHash("file 42")).toEqual(Option.none())
      }),
    )

    contract("has uploads, and returns those that are due, the first to expire first", () =>
      Effect.gen(function* () {
        const { files } = yield* Ledger
        expect(yield* files.soonestExpiry(app.id)).toEqual(Option.none())
        for (const [n, expiresAt] of [
          [41, 9000],
          [42, 7000],
          [43, 8000],
        ] as const) {
          yield* files.insert(uploadOf(n, expiresAt))
        }
        expect(yield* files.findByHash("file 42")).toEqual(Option.some(fileOf(42, 7000)))
        expect(yield* files.soonestExpiry(app.id)).toEqual(Option.some(7000))
        expect((yield* files.due(8000)).map(({ id }) => Number(id))).toEqual([42, 43])
        expect(yield* files.remove([fileOf(42, 7000), fileOf(99, 1)], 9000)).toEqual([fileOf(42, 7000)])
        expect((yield* files.list).map(({ id }) => Number(id)).sort()).toEqual([41, 43])
      }),
    )

    contract("returns which of some files exist, also when they have expired", () =>
      Effect.gen(function* () {
        const { files } = yield* Ledger
        const existing = (...numbers: ReadonlyArray<number>) =>
          Effect.map(files.existing(numbers.map((n) => fileOf(n, 0).id)), (ids) => ids.map(Number).sort())
        for (const n of [41, 42, 43]) yield* files.insert(uploadOf(n, 7000))
        yield* files.remove([fileOf(42, 7000)], 9000)
        expect(yield* existing(43, 42, 41, 99)).toEqual([41, 43])
        expect(yield* existing(41)).toEqual([41])
        expect(yield* existing()).toEqual([])
      }),
    )

    contract("removes texts when their time is over, and returns which part of a stream is gone", () =>
      Effect.gen(function* () {
        const { retention, runs, streams } = yield* Ledger
        const [plain, named] = [runId(11), runId(12)]
        yield* runs.accept(oneShot(11), queuedAt(2011))
        yield* runs.accept(oneShot(12, keyed), queuedAt(2012))
        for (const run of [plain, named]) {
          yield* streams.append([{ run, at: 1, body: '"said"' }])
          yield* runs.start(run, 3000)
          yield* runs.end(run, runEnd(done, 4000, result))
        }
        const due = 4000 + STREAM_SECS * 1000
        expect(yield* retention.dropTexts(due - 1)).toEqual({ removed: 0, done: true })
        expect(yield* retention.dropTexts(due)).toEqual({ removed: 3, done: true })
        expect(yield* streams.read(plain, 0)).toEqual([])
        expect(yield* streams.end(plain)).toEqual(Option.none())
        const [first] = yield* streams.read(named, 0)
        expect(first?.kind).toBe("run")
        expect(Option.getOrThrow(yield* streams.gap(plain, 0))).toMatchObject({
          kind: "resync",
          oldest: null,
        })
        expect(yield* retention.dropTexts(2012 + IDEMPOTENCY_KEY_MILLIS)).toEqual({ removed: 3, done: true })
        expect(yield* retention.sizes).toMatchObject({ streamRows: 6, streamBytes: 0 })
      }),
    )

    contract("removes rows that are too old or too many, except of runs that may still be read", () =>
      Effect.gen(function* () {
        const { retention, runs, streams } = yield* Ledger
        for (const n of [11, 12, 13]) yield* runs.accept(oneShot(n), queuedAt(1000 * n))
        for (const n of [11, 12]) yield* runs.start(runId(n), 1000 * n)
        yield* runs.end(runId(11), runEnd(done, 20_000, result))
        yield* runs.end(runId(12), runEnd(done, 90_000, result))
        expect((yield* retention.sizes).streamRows).toBe(5)
        const pass = { at: 100_000, before: 0, maxRows: 100, seq: 0 }
        expect(yield* retention.dropStreams(pass)).toMatchObject({ removed: 0, done: true })
        expect(yield* retention.dropStreams({ ...pass, maxRows: 4 })).toMatchObject({
          removed: 1,
          done: true,
        })
        const rest = yield* streams.read(runId(11), 0)
        expect(rest.map(({ kind }) => kind)).toEqual(["result"])
        expect(Option.getOrThrow(yield* streams.gap(runId(11), 0)).oldest).toBe(rest[0]?.seq)
        expect(yield* retention.dropStreams({ ...pass, before: 95_000 })).toMatchObject({
          removed: 1,
          done: true,
        })
        expect((yield* retention.sizes).streamRows).toBe(3)
      }),
    )

    contract("removes old events and keys, and returns up to which place events are removed", () =>
      Effect.gen(function* () {
        const { events, keys, retention, runs } = yield* Ledger
        yield* runs.accept(oneShot(11, keyed), queuedAt(2011))
        const [first, second] = yield* events.after(0, ALL, 2)
        expect(yield* events.trimmedTo).toBe(0)
        expect(yield* retention.dropEvents(1001)).toEqual({ removed: 1, done: true })
        expect(yield* events.trimmedTo).toBe(first?.seq)
        expect((yield* events.after(0, ALL, 1))[0]).toEqual(second)
        expect((yield* events.summary(OPERATOR)).counts.get("token.mint")).toBe(1)
        expect((yield* retention.sizes).events).toBe(2)
        expect(yield* retention.dropKeys(2011 + IDEMPOTENCY_KEY_MILLIS - 1)).toEqual({
          removed: 0,
          done: true,
        })
        expect(yield* retention.dropKeys(2011 + IDEMPOTENCY_KEY_MILLIS)).toEqual({ removed: 1, done: true })
        expect(yield* keys.find(app.id, idempotencyKey, 2012)).toEqual(Option.none())
      }),
    )

    contract("has no newest event once all events are removed, and gives no place again", () =>
      Effect.gen(function* () {
        const { events, retention, runs } = yield* Ledger
        const newest = yield* events.newest
        expect(yield* retention.dropEvents(9000)).toEqual({ removed: 2, done: true })
        expect([yield* events.newest, yield* events.trimmedTo]).toEqual([0, newest])
        expect(yield* events.summary(OPERATOR)).toEqual({ counts: new Map(), oldest: null, newest: null })
        yield* runs.accept(oneShot(11), queuedAt(9000))
        expect((yield* events.after(0, ALL, 1))[0]?.seq).toBeGreaterThan(newest)
      }),
    )

    contract("measures what it holds, and gives unused space back step by step", () =>
      Effect.gen(function* () {
        const { retention, runs, streams } = yield* Ledger
        yield* runs.accept(oneShot(11), { at: 2000, startedAt: 2000 })
        const body = JSON.stringify("é".repeat(200_000))
        yield* streams.append([{ run: runId(11), at: 2000, body }])
        const [begin] = yield* streams.read(runId(11), 0)
        const there = yield* retention.sizes
        expect(there).toMatchObject({
          events: 4,
          streamRows: 2,
          streamBytes: (begin?.body.length ?? 0) + 400_002,
        })
        yield* runs.end(runId(11), runEnd(done, 2001, result))
        yield* retention.dropTexts(2001 + STREAM_SECS * 1000)
        yield* retention.purge
        const { freeBytes, databaseBytes } = yield* retention.sizes
        expect(freeBytes).toBeLessThanOrEqual(databaseBytes)
        const left = yield* retention.shrink(8192)
        expect(left).toBeLessThanOrEqual(Math.max(0, freeBytes - 8192))
        expect(left).toBeGreaterThanOrEqual(freeBytes - 16_384)
        expect((yield* retention.sizes).freeBytes).toBe(left)
        expect(yield* retention.shrink(10_000_000)).toBe(0)
        yield* retention.purge
        expect(yield* retention.sizes).toMatchObject({ streamRows: 3, streamBytes: 0, freeBytes: 0 })
      }),
    )

    contract("records runs as lost that another life left unfinished", (restart) =>
      Effect.gen(function* () {
        const { runs, sessions } = yield* Ledger
        yield* runs.accept(oneShot(11), queuedAt(2011))
        yield* runs.start(runId(11), 3000)
        yield* sessions.reserve(sessionOf(1, 1000), 5)
        yield* restart(
          Effect.gen(function* () {
            const { runs, sessions, streams } = yield* Ledger
            const lost = Option.getOrThrow(yield* runs.find(runId(11)))
            expect(lost).toMatchObject({ status: "lost", code: "run_failed", durationMs: null })
            expect(Option.getOrThrow(yield* streams.end(runId(11)))).toMatchObject({ kind: "error" })
            expect((yield* log).at(-1)).toMatchObject({ type: "run.lost", data: {} })
            expect(yield* sessions.abandonAll).toEqual([sessionId(1)])
            expect(yield* sessions.countOpen).toBe(0)
          }),
        )
      }),
    )

    contract("removes the key of a lost run that never began, and keeps what was stored", (restart) =>
      Effect.gen(function* () {
        const { runs, streams } = yield* Ledger
        const startedKey = { ...idempotencyKey, key: "started" }
        const input = { ...queuedAt(2000), keepInput: true }
        yield* opened(1, 1500)
        yield* runs.accept(oneShot(11, keyed), input)
        yield* runs.accept(turn(12, 1, { origin: { ...origin, idempotencyKey: startedKey } }), {
          ...input,
          startedAt: 2000,
        })
        yield* streams.append([{ run: runId(12), at: 2001, body: '"said"' }])
        yield* ended(13, 2002)
        const last = yield* Effect.flatMap(Ledger, ({ events }) => events.newest)
        yield* restart(
          Effect.gen(function* () {
            const { events, keys, runs, sessions, streams } = yield* Ledger
            const statuses = yield* Effect.forEach([11, 12, 13], (n) => runs.find(runId(n)))
            expect(statuses.map((run) => Option.getOrThrow(run).status)).toEqual([
              "lost",
              "lost",
              "completed",
            ])
            expect(yield* keys.find(app.id, idempotencyKey, 2003)).toEqual(Option.none())
            expect(Option.isSome(yield* keys.find(app.id, startedKey, 2003))).toBe(true)
            expect((yield* streams.read(runId(12), 0)).map(({ kind }) => kind)).toEqual([
              "run",
              "message",
              "error",
            ])
            expect(Option.isSome(yield* runs.input(runId(12)))).toBe(true)
            expect(Option.getOrThrow(yield* sessions.find(sessionId(1)))).toMatchObject({
              status: "open",
              answered: false,
            })
            const since: ReadonlyArray<Event> = yield* events.after(last, ALL, 100)
            const told = (run: RunId) => types(since.filter((event) => event.runId === run))
            expect([told(runId(11)), told(runId(12)), told(runId(13))]).toEqual([
              ["run.lost"],
              ["run.lost", "session.turn"],
              [],
            ])
          }),
        )
      }),
    )
  },
  { complete: true },
)
