import { describe, expect, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Layer, Logger, LogLevel, TestClock } from "effect"
import { AgentUnavailable, StorageFailed } from "../../src/domain/Failure.ts"
import type { FileId, RunId, SessionId, TokenId } from "../../src/domain/Ids.ts"
import type { AgentName, AgentSessionRef } from "../../src/domain/Session.ts"
import { WorkDirs } from "../../src/services/agents/WorkDirs.ts"
import { Files } from "../../src/services/files/Files.ts"
import { Ledger, type SessionRecords } from "../../src/services/journal/Ledger.ts"
import { Retention } from "../../src/services/journal/Retention.ts"
import { SessionDirs } from "../../src/services/sessions/SessionDirs.ts"
import { SessionPool } from "../../src/services/sessions/SessionPool.ts"
import { Sweeper } from "../../src/services/upkeep/Sweeper.ts"
import * as Mock from "../../src/testing.ts"

const owner = "0".repeat(26) as TokenId
const origin = { requestId: "r", address: "127.0.0.1" }
const sessionId = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}` as SessionId
const runId = (n: number) => String(n).padStart(26, "0") as RunId

type Pool = Pick<SessionPool["Type"], "closeIdle" | "erase">

/** A pool that only changes the ledger. */
const bookkeeper = (sessions: SessionRecords): Pool => ({
  closeIdle: ({ id }, since) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => sessions.closeIdle(id, since, now)),
  erase: (id) => Effect.flatMap(Clock.currentTimeMillis, (now) => sessions.remove(id, now)),
})

const YEAR_SECS = 365 * 86_400

class World {
  options = { sweepIntervalSecs: 60, sessionTtlSecs: 3600, sessionHardTtlSecs: 86_400 }
  readonly memory = new Mock.LedgerMemory()
  readonly dirs = new Set<SessionId>()
  readonly logs: Array<readonly [level: string, message: unknown, annotations: Record<string, unknown>]> = []

  /** Replacements for the pool, the files and the directories. */
  pool: (usual: Pool) => Partial<Pool> = () => ({})
  files: Partial<Files["Type"]> = { expire: Effect.succeed(0) }
  sessionDirs: Partial<SessionDirs["Type"]> = {}
  workDirs: Partial<WorkDirs["Type"]> = {}
  retention: Partial<Retention["Type"]> = {}

  readonly run = <A, E>(test: Effect.Effect<A, E, Ledger | Sweeper>) => {
    const logger = Logger.make(({ logLevel, message, annotations }) => {
      this.logs.push([
        logLevel.label,
        ([] as Array<unknown>).concat(message)[0],
        Object.fromEntries(annotations),
      ])
    })
    const pool = Layer.unwrapEffect(
      Effect.map(Ledger, ({ sessions }) => {
        const usual = bookkeeper(sessions)
        return Layer.mock(SessionPool, { ...usual, ...this.pool(usual) })
      }),
    )
    const dirs = Layer.effect(
      SessionDirs,
      Effect.map(SessionDirs, (usual) => ({ ...usual, ...this.sessionDirs })),
    ).pipe(Layer.provide(Mock.sessionDirs(this.dirs)))
    const retention = Layer.effect(
      Retention,
      Effect.map(Retention, (usual) => ({ ...usual, ...this.retention })),
    ).pipe(Layer.provide(Mock.retention))
    const workDirs = Layer.effect(
      WorkDirs,
      Effect.map(WorkDirs, (usual) => ({ ...usual, ...this.workDirs })),
    ).pipe(Layer.provide(Mock.workDirs))
    return test.pipe(
      Effect.provide(
        Sweeper.layer(this.options).pipe(
          Layer.provide([pool, dirs, retention, workDirs, Layer.mock(Files, this.files)]),
          Layer.provideMerge(Mock.ledger(this.memory)),
        ),
      ),
      Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
      Logger.withMinimumLogLevel(LogLevel.Debug),
    )
  }

  readonly statusOf = (n: number) => this.memory.sessions.get(sessionId(n))?.status ?? "gone"
}

/** Opens a session now. */
const open = Effect.fn(function* (n: number) {
  const { sessions } = yield* Ledger
  const now = yield* Clock.currentTimeMillis
  const asked = { agent: "claude" as AgentName, model: null, meta: null, permissionMode: "deny-all" as const }
  const opening = { ...asked, id: sessionId(n), tokenId: owner, origin, at: now }
  yield* sessions.reserve(opening, 1000)
  yield* sessions.activate(opening, "ref" as AgentSessionRef)
})

const openTurn = Effect.fn(function* (n: number, session: number) {
  const { runs } = yield* Ledger
  const at = yield* Clock.currentTimeMillis
  const input = { prompt: "x", files: [] }
  const turn = { kind: "turn", id: runId(n), owner, origin, input, timeoutSecs: 60 } as const
  yield* runs.accept({ ...turn, sessionId: sessionId(session) }, { at, startedAt: undefined })
})

const endTurn = Effect.fn(function* (n: number) {
  const { runs } = yield* Ledger
  const end = { status: "completed", code: null, stopReason: "end_turn", durationMs: 1 } as const
  const unknown = { responseChars: null, usage: null, costUsd: null }
  const ended = { ...end, ...unknown }
  const last = { kind: "result", body: "{}" } as const
  const at = yield* Clock.currentTimeMillis
  yield* runs.start(runId(n), at)
  yield* runs.end(runId(n), { at, ended, last, unstored: [], began: true })
})

const sweep = Effect.flatMap(Sweeper, ({ sweep }) => sweep)
const nothing = { closed: 0, deleted: 0, files: 0, directories: 0, trimmed: 0, failed: 0, durationMs: 0 }

describe("a sweep", () => {
  it.effect("runs at every interval, closes idle sessions, and deletes sessions closed long ago", () => {
    const world = new World()
    world.options.sweepIntervalSecs = 1800
    return world.run(
      Effect.gen(function* () {
        yield* open(1)
        yield* TestClock.adjust("30 minutes")
        yield* openTurn(1, 1)
        yield* endTurn(1)
        yield* open(2)
        yield* TestClock.adjust("60 minutes")
        expect([world.statusOf(1), world.statusOf(2)]).toEqual(["open", "open"])
        yield* TestClock.adjust("30 minutes")
        expect([world.statusOf(1), world.statusOf(2)]).toEqual(["closed", "closed"])
        expect(world.memory.sessions.get(sessionId(1))?.closedAt).toBe(120 * 60_000)
        yield* TestClock.adjust("1410 minutes")
        expect([world.statusOf(1), world.statusOf(2)]).toEqual(["closed", "closed"])
        yield* TestClock.adjust("30 minutes")
        expect([world.statusOf(1), world.statusOf(2)]).toEqual(["gone", "gone"])
      }),
    )
  })

  it.effect("does not close a session with a running or waiting turn, however long it takes", () => {
    const world = new World()
    world.options.sweepIntervalSecs = 1800
    return world.run(
      Effect.gen(function* () {
        yield* open(1)
        yield* openTurn(1, 1)
        yield* TestClock.adjust("10 hours")
        expect(world.statusOf(1)).toBe("open")
        yield* endTurn(1)
        yield* TestClock.adjust("60 minutes")
        expect(world.statusOf(1)).toBe("open")
        yield* TestClock.adjust("30 minutes")
        expect(world.statusOf(1)).toBe("closed")
      }),
    )
  })

  it.effect("handles all other sessions when one fails, and tries that one again later", () => {
    const world = new World()
    world.options.sweepIntervalSecs = YEAR_SECS
    let tries = 0
    const sick = (id: SessionId, usual: Effect.Effect<boolean, StorageFailed>) => {
      if (id === sessionId(1)) {
        tries += 1
        return Effect.fail(new StorageFailed({ during: "closing", cause: new Error("/secret/path") }))
      }
      if (id === sessionId(2)) return Effect.die("a bug")
      if (id === sessionId(3)) return Effect.uninterruptible(Effect.never)
      return usual
    }
    world.pool = (usual) => ({
      closeIdle: (session, since) => sick(session.id, usual.closeIdle(session, since)),
      erase: (id) => sick(id, Effect.orDie(usual.erase(id))),
    })
    return world.run(
      Effect.gen(function* () {
        yield* Effect.forEach([1, 2, 3, 4, 5, 6, 7, 8, 9], open)
        yield* TestClock.setTime(2 * 3600_000)
        const sweeping = yield* Effect.fork(sweep)
        yield* TestClock.adjust("60 seconds")
        expect(yield* Fiber.join(sweeping)).toMatchObject({ closed: 6, failed: 3 })
        expect([1, 2, 3, 4, 9].map(world.statusOf)).toEqual(["open", "open", "open", "closed", "closed"])
        // The step that hangs is still running, so its session is left alone.
        const before = tries
        expect(yield* sweep).toMatchObject({ closed: 0, failed: 3 })
        expect(tries).toBe(before + 1)
        const reasons = world.logs.flatMap(([level, , { why }]) => (level === "WARN" ? [why] : []))
        expect(new Set(reasons)).toEqual(
          new Set(["closing: unknown", "it takes too long", "what was begun before is not over yet"]),
        )
        expect(JSON.stringify(world.logs)).not.toContain("/secret")
      }),
    )
  })

  it.effect("reaches the last sessions although many before them hang", () => {
    const world = new World()
    world.options.sessionHardTtlSecs = 60
    world.pool = (usual) => ({
      erase: (id) => (id < sessionId(21) ? Effect.never : usual.erase(id)),
    })
    return world.run(
      Effect.gen(function* () {
        yield* Effect.forEach(Array.from({ length: 30 }), (_, n) => open(n + 1))
        const { sessions } = yield* Ledger
        for (let n = 1; n <= 30; n++) yield* sessions.close(sessionId(n), n, null)
        yield* TestClock.adjust("20 minutes")
        expect([1, 20].map(world.statusOf)).toEqual(["closed", "closed"])
        expect([21, 22, 30].map(world.statusOf)).toEqual(["gone", "gone", "gone"])
      }),
    )
  })

  it.effect("tries again to delete a session whose agent refused it", () => {
    const world = new World()
    world.options.sessionHardTtlSecs = 60
    let isThere = false
    world.pool = (usual) => ({
      erase: (id) => (isThere ? usual.erase(id) : new AgentUnavailable({ reason: "the agent is gone" })),
    })
    return world.run(
      Effect.gen(function* () {
        yield* open(1)
        yield* (yield* Ledger).sessions.close(sessionId(1), 0, null)
        yield* TestClock.adjust("1 minutes")
        expect(world.statusOf(1)).toBe("closed")
        isThere = true
        yield* TestClock.adjust("1 minutes")
        expect(world.statusOf(1)).toBe("gone")
        expect(world.logs).toContainEqual([
          "WARN",
          "closed sessions are not deleted yet",
          { session_id: sessionId(1), why: "the agent is gone" },
        ])
      }),
    )
  })

  it.effect("removes expired files", () => {
    const disk = new Map<FileId, Uint8Array>()
    const memory = new Mock.LedgerMemory()
    const files = Files.layer({ maxUploadBytes: 1000, maxBytesPerToken: 10_000 }).pipe(
      Layer.provide([Mock.fileContents(disk), Mock.ids, Mock.secrets]),
    )
    return Effect.gen(function* () {
      const { receive } = yield* Files
      yield* Effect.scoped(Effect.flatMap(receive(owner), ({ keep }) => keep("a.txt", 90, origin)))
      yield* TestClock.adjust("60 seconds")
      expect(disk.size).toBe(1)
      yield* TestClock.adjust("60 seconds")
      expect(disk.size).toBe(0)
    }).pipe(
      Effect.provide(
        Sweeper.layer(new World().options).pipe(
          Layer.provide([Layer.mock(SessionPool, {}), Mock.retention, Mock.sessionDirs(), Mock.workDirs]),
          Layer.provideMerge(files),
          Layer.provide(Mock.ledger(memory)),
        ),
      ),
    )
  })

  it.effect("removes the directories of sessions that are closed or were never opened", () => {
    const world = new World()
    return world.run(
      Effect.gen(function* () {
        const { sessions } = yield* Ledger
        yield* Effect.forEach([1, 2], open)
        yield* sessions.close(sessionId(2), 0, null)
        for (const n of [1, 2, 3]) world.dirs.add(sessionId(n))
        expect(yield* sweep).toEqual({ ...nothing, directories: 2 })
        expect([...world.dirs]).toEqual([sessionId(1)])
      }),
    )
  })

  it.effect("keeps the directory of a session that is being opened during the sweep", () => {
    const world = new World()
    const { dirs, memory } = world
    world.sessionDirs = {
      list: Effect.sync(() => {
        const other = memory.sessions.get(sessionId(1))
        if (other === undefined) throw new Error("there is one")
        memory.sessions.set(sessionId(2), { ...other, id: sessionId(2), status: "opening" })
        dirs.add(sessionId(2))
        return [...dirs]
      }),
    }
    return world.run(
      Effect.gen(function* () {
        yield* open(1)
        expect(yield* sweep).toEqual(nothing)
        expect([...dirs]).toEqual([sessionId(2)])
      }),
    )
  })

  it.effect("continues with its other tasks when one fails", () => {
    const world = new World()
    world.options.sweepIntervalSecs = YEAR_SECS
    const broken = new StorageFailed({ during: "listing", cause: { code: "EIO" } })
    world.files = { expire: Effect.die("a bug") }
    world.sessionDirs = { list: broken }
    world.retention = { trim: () => broken }
    return world.run(
      Effect.gen(function* () {
        yield* Effect.forEach([1, 2], open)
        yield* (yield* Ledger).sessions.close(sessionId(2), 0, null)
        yield* TestClock.setTime(48 * 3600_000)
        expect(yield* sweep).toEqual({ ...nothing, closed: 1, deleted: 1, failed: 3 })
        expect(world.logs).toEqual([
          ["ERROR", "expired files are not removed yet", {}],
          ["WARN", "orphaned directories are not removed yet", { why: "listing: EIO" }],
          ["WARN", "what is kept no longer is not removed yet", { why: "listing: EIO" }],
          [
            "INFO",
            "sweep",
            { closed: 1, deleted: 1, files: 0, directories: 0, trimmed: 0, failed: 3, duration_ms: 0 },
          ],
        ])
      }),
    )
  })

  it.effect("applies the retention, and counts the removed rows", () => {
    const world = new World()
    world.options.sweepIntervalSecs = YEAR_SECS
    const removed = { texts: 1, streamEvents: 20, events: 300, idempotencyKeys: 4000 }
    world.retention = { trim: () => Effect.succeed(removed) }
    return world.run(Effect.map(sweep, (report) => expect(report).toEqual({ ...nothing, trimmed: 4321 })))
  })

  it.effect("logs its results in one line, at debug level when there are none", () => {
    const world = new World()
    let expired = 0
    world.files = { expire: Effect.sync(() => expired).pipe(Effect.delay("5 seconds")) }
    return world.run(
      Effect.gen(function* () {
        yield* TestClock.adjust("65 seconds")
        expired = 7
        yield* TestClock.adjust("65 seconds")
        const counts = {
          closed: 0,
          deleted: 0,
          files: 0,
          directories: 0,
          trimmed: 0,
          failed: 0,
          duration_ms: 5000,
        }
        expect(world.logs).toEqual([
          ["DEBUG", "sweep", counts],
          ["INFO", "sweep", { ...counts, files: 7 }],
        ])
      }),
    )
  })

  it.effect("never runs while another sweep is running", () => {
    const world = new World()
    const atWork = { now: 0, most: 0, all: 0 }
    world.files = {
      expire: Effect.acquireUseRelease(
        Effect.sync(() => {
          atWork.now += 1
          atWork.all += 1
          atWork.most = Math.max(atWork.most, atWork.now)
        }),
        () => Effect.as(Effect.sleep("3 minutes"), 0),
        () => Effect.sync(() => void (atWork.now -= 1)),
      ),
    }
    return world.run(
      Effect.gen(function* () {
        const asked = yield* Effect.fork(Effect.all([sweep, sweep], { concurrency: "unbounded" }))
        yield* TestClock.adjust("30 minutes")
        yield* Fiber.join(asked)
        expect(atWork.most).toBe(1)
        expect(atWork.all).toBeGreaterThan(6)
      }),
    )
  })

  it.effect("removes the directories of runs that their runs could not remove", () => {
    const world = new World()
    world.workDirs = { removeOrphans: Effect.succeed(3) }
    return world.run(Effect.map(sweep, (done) => expect(done).toEqual({ ...nothing, directories: 3 })))
  })

  it.effect("ends with its layer, also in the middle of its work", () => {
    const world = new World()
    let isInterrupted = false
    world.pool = () => ({
      closeIdle: () =>
        Effect.onInterrupt(Effect.never, () =>
          Effect.sync(() => {
            isInterrupted = true
          }),
        ),
    })
    return Effect.gen(function* () {
      yield* world.run(Effect.zipRight(open(1), TestClock.adjust("62 minutes")))
      yield* Effect.yieldNow()
      expect(isInterrupted).toBe(true)
    })
  })
})
