import { describe, expect, it } from "@effect/vitest"
import {
  Cause,
  Clock,
  Deferred,
  Duration,
  Effect,
  Exit,
  Fiber,
  identity,
  Layer,
  Logger,
  Scope,
  TestClock,
} from "effect"
import { ProcessFailed, type RunFailure, StorageFailed } from "../../src/domain/Failure.ts"
import type { RunId, TokenId } from "../../src/domain/Ids.ts"
import { IN_PROCESS, type IdempotencyKey } from "../../src/domain/Origin.ts"
import type { Report } from "../../src/domain/Outcome.ts"
import type { OneShotSpec } from "../../src/domain/Run.ts"
import type { TokenName } from "../../src/domain/Token.ts"
import { Revocation } from "../../src/services/access/Revocation.ts"
import { Journal } from "../../src/services/journal/Journal.ts"
import { holdChanges } from "../../src/services/journal/HeldChanges.ts"
import { Ledger, type RunRecords, type StreamRecords } from "../../src/services/journal/Ledger.ts"
import type { Executor, StartedRun } from "../../src/services/runs/executors/Executor.ts"
import { makeFairQueue } from "../../src/services/runs/FairQueue.ts"
import { RunEngine } from "../../src/services/runs/RunEngine.ts"
import * as Mock from "../../src/testing.ts"

/** A kind of run that no service of ours has: this is how an embedder adds one. */
interface EchoSpec extends Omit<OneShotSpec, "kind"> {
  readonly kind: "echo"
  readonly times: number
}

declare module "../../src/services/runs/executors/Executor.ts" {
  interface RunKinds {
    readonly echo: {
      readonly spec: EchoSpec
      readonly report: Report
      readonly failure: RunFailure
      readonly refusal: import("../../src/domain/Failure.ts").Overloaded
    }
  }
}

const owner = "0".repeat(26) as TokenId
const stranger = "1".padStart(26, "0") as TokenId
const broken = new StorageFailed({ during: "a test", cause: "a full disk" })

const report = (result: unknown, more: Partial<Report> = {}): Report => ({
  result,
  durationMs: 0,
  stopReason: "end_turn",
  responseChars: 1,
  usage: null,
  costUsd: null,
  ...more,
})

let ids = 0
const echo = (more: Partial<EchoSpec> = {}): EchoSpec => ({
  kind: "echo",
  id: String((ids += 1)).padStart(26, "0") as RunId,
  owner,
  origin: IN_PROCESS,
  input: { prompt: "hello", files: [] },
  timeoutSecs: 60,
  model: "none",
  systemMode: "append",
  isSchemaNative: false,
  times: 1,
  ...more,
})

/** Something that a run holds from its preparation to its end, and how many are held. */
const holdings = () => {
  let held = 0
  const hold = Effect.acquireRelease(
    Effect.sync(() => void (held += 1)),
    () => Effect.sync(() => (held -= 1)),
  )
  return { held: () => held, hold }
}

/** What differs from an engine with one slot on which all goes well. */
interface Scene {
  readonly slots?: number
  readonly shutdownGraceSecs?: number
  readonly prepare?: Effect.Effect<void, never, Scope.Scope>
  readonly execute?: (run: StartedRun<"echo">) => Effect.Effect<Report, RunFailure>
  readonly runs?: (whole: RunRecords) => Partial<RunRecords>
  readonly streams?: (whole: StreamRecords) => Partial<StreamRecords>
}

/** An engine, and what it left in the ledger. */
class World {
  readonly memory = new Mock.LedgerMemory()

  /** Each run's status and code, in the order in which they were accepted. */
  get outcomes() {
    return [...this.memory.runs.values()].map(({ status, end }) => [status, end?.code])
  }

  /** The types of a run's events, in order. */
  events(run: RunId) {
    return this.memory.events.filter(({ runId }) => runId === run).map(({ type }) => type)
  }

  /** The kinds of a run's stream, in order. */
  stream(run: RunId) {
    return this.memory.streams.of(run).map(({ kind }) => kind)
  }

  /** Expects that every run has ended exactly once: in its row, in the log and in its stream. */
  endedOnce() {
    const ends = new Set(["completed", "failed", "cancelled", "timed_out", "lost"].map((end) => `run.${end}`))
    for (const { id, end } of this.memory.runs.values()) {
      expect(end).toBeDefined()
      expect(this.events(id).filter((type) => ends.has(type))).toHaveLength(1)
      expect(this.stream(id).filter((kind) => kind === "result" || kind === "error")).toHaveLength(1)
      expect(this.stream(id).at(-1)).toMatch(/^(result|error)$/)
    }
  }

  layer(scene: Scene = {}) {
    const ledger = Layer.scoped(
      Ledger,
      Effect.flatMap(Ledger, (whole) =>
        holdChanges({
          ...whole,
          runs: { ...whole.runs, ...scene.runs?.(whole.runs) },
          streams: { ...whole.streams, ...scene.streams?.(whole.streams) },
        }),
      ),
    ).pipe(Layer.provide(Mock.ledger(this.memory)))
    const registered = Layer.scopedDiscard(
      Effect.flatMap(executor(scene), (echo) => Effect.flatMap(RunEngine, ({ register }) => register(echo))),
    )
    const { shutdownGraceSecs = 10 } = scene
    return registered.pipe(
      Layer.provideMerge(RunEngine.layer({ shutdownGraceSecs })),
      Layer.provideMerge(Layer.merge(Journal.layer, Mock.revocation)),
      Layer.provideMerge(ledger),
      Layer.provide(Logger.remove(Logger.defaultLogger)),
    )
  }
}

/** Says its prompt as often as its spec wants, unless the scene has it do something else. */
const executor = ({ slots = 1, prepare = Effect.void, execute }: Scene) =>
  Effect.map(
    makeFairQueue<TokenId>({ slots, maxWaiting: 8, maxWait: Duration.minutes(5) }),
    (queue): Executor<"echo"> => ({
      kind: "echo",
      unstarted: report("", { stopReason: "cancelled" }),
      prepare: (spec) =>
        Effect.as(prepare, {
          enter: Effect.acquireRelease(queue.enter(spec.owner), ({ leave }) => leave),
          inOrder: identity,
        }),
      execute: execute ?? (({ spec }) => Effect.succeed(report(spec.input.prompt.repeat(spec.times)))),
    }),
  )

const accepted = (more?: Partial<EchoSpec>) =>
  Effect.flatMap(RunEngine, ({ accept }) => accept<"echo">(echo(more)))

/** Works until it is cancelled or interrupted. */
const untilCancelled = ({ cancelled }: StartedRun<"echo">) =>
  Effect.as(cancelled, report("", { stopReason: "cancelled" }))

const revoking = (app = owner) =>
  Effect.flatMap(Revocation, ({ revoke }) => revoke(app as string as TokenName, IN_PROCESS))

const stopping = Effect.flatMap(RunEngine, ({ shutdown }) => shutdown)

describe("a kind of run", () => {
  it.effect("that an embedder adds is executed by its executor, and recorded like a one-shot", () => {
    const world = new World()
    return Effect.gen(function* () {
      const { id, answer, turn } = yield* accepted({ times: 2 })
      expect(yield* answer).toMatchObject({ result: "hellohello" })
      expect(turn).toBeNull()
      expect(world.outcomes).toEqual([["completed", null]])
      expect(world.events(id)).toEqual(["run.queued", "run.started", "run.completed"])
      world.endedOnce()
    }).pipe(Effect.provide(world.layer()))
  })

  it.effect("without an executor is a defect, and leaves nothing behind", () => {
    const world = new World()
    return Effect.gen(function* () {
      const { accept } = yield* RunEngine
      const exit = yield* Effect.exit(accept<"run">({ ...echo(), kind: "run" }))
      expect(Exit.isFailure(exit) && Cause.isDie(exit.cause)).toBe(true)
      expect(world.memory.runs.size).toBe(0)
      // It holds up no other run, and no stop.
      expect(yield* (yield* accepted()).answer).toMatchObject({ result: "hello" })
      yield* stopping
    }).pipe(Effect.provide(world.layer()))
  })

  it.effect("has its executor until the scope closes in which it was registered", () => {
    const world = new World()
    return Effect.gen(function* () {
      const { accept, register } = yield* RunEngine
      const scope = yield* Scope.make()
      const other = { ...(yield* executor({})), kind: "run" } as unknown as Executor<"run">
      yield* Scope.extend(register(other), scope)
      const run = yield* accept<"run">({ ...echo(), kind: "run" })
      expect(yield* run.answer).toMatchObject({ stopReason: "end_turn" })
      yield* Scope.close(scope, Exit.void)
      const exit = yield* Effect.exit(accept<"run">({ ...echo(), kind: "run" }))
      expect(Exit.isFailure(exit) && Cause.isDie(exit.cause)).toBe(true)
    }).pipe(Effect.provide(world.layer()))
  })
})

describe("a run that is accepted", () => {
  it.effect("with a free slot is recorded as started at once, in one step of the ledger", () => {
    const world = new World()
    let starts = 0
    const runs: Scene["runs"] = (whole) => ({
      start: (...how) =>
        Effect.zipRight(
          Effect.sync(() => (starts += 1)),
          whole.start(...how),
        ),
    })
    const seen: Array<boolean> = []
    const execute: Scene["execute"] = (run) =>
      Effect.zipRight(
        Effect.sync(() => seen.push(run.hasWaited)),
        untilCancelled(run),
      )
    return Effect.gen(function* () {
      const { id } = yield* accepted()
      expect(world.outcomes).toEqual([["running", undefined]])
      expect(world.events(id)).toEqual(["run.queued", "run.started"])
      yield* TestClock.adjust("1 second")
      expect(starts).toBe(0)
      expect(seen).toEqual([false])
    }).pipe(Effect.provide(world.layer({ runs, execute })))
  })

  it.effect("without a free slot is queued, and recorded as started when it has one", () => {
    const world = new World()
    const seen: Array<[boolean, number]> = []
    const execute: Scene["execute"] = (run) =>
      Effect.zipRight(
        Effect.map(Clock.currentTimeMillis, (now) => seen.push([run.hasWaited, now])),
        untilCancelled(run),
      )
    return Effect.gen(function* () {
      const first = yield* accepted()
      const second = yield* accepted()
      yield* TestClock.adjust("2 seconds")
      expect(world.outcomes).toEqual([
        ["running", undefined],
        ["queued", undefined],
      ])
      expect(world.events(second.id)).toEqual(["run.queued"])
      yield* first.cancel
      yield* TestClock.adjust("0 seconds")
      expect(world.outcomes).toEqual([
        ["cancelled", null],
        ["running", undefined],
      ])
      expect(world.events(second.id)).toEqual(["run.queued", "run.started"])
      expect(seen).toEqual([
        [false, 0],
        [true, 2000],
      ])
    }).pipe(Effect.provide(world.layer({ execute })))
  })
})

describe("the outcome of a run is recorded once", () => {
  it.effect.each<[string, Effect.Effect<Report, RunFailure>, string, string | null]>([
    ["succeeds", Effect.succeed(report("ok")), "completed", null],
    [
      "is cancelled by its own report",
      Effect.succeed(report("", { stopReason: "cancelled" })),
      "cancelled",
      null,
    ],
    ["fails", new ProcessFailed({ reason: "it broke" }), "failed", "run_failed"],
    ["has a defect", Effect.die("a bug"), "failed", "internal"],
    ["interrupts itself", Effect.interrupt, "cancelled", null],
  ])("when its executor %s", ([, execute, status, code]) => {
    const world = new World()
    return Effect.gen(function* () {
      const { answer } = yield* accepted()
      yield* Effect.exit(answer)
      expect(world.outcomes).toEqual([[status, code]])
      world.endedOnce()
      // The slot is free again.
      yield* Effect.exit((yield* accepted()).answer)
      expect(world.outcomes).toHaveLength(2)
      world.endedOnce()
    }).pipe(Effect.provide(world.layer({ execute: () => execute })))
  })

  it.effect("when its caller goes away after the acceptance: it goes on", () => {
    const world = new World()
    const ok = report("ok")
    const execute: Scene["execute"] = () => Effect.delay(Effect.succeed(ok), "5 seconds")
    return Effect.gen(function* () {
      const caller = yield* Effect.fork(Effect.flatMap(accepted(), ({ answer }) => answer))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(caller)
      expect(world.outcomes).toEqual([["running", undefined]])
      yield* TestClock.adjust("4 seconds")
      expect(world.outcomes).toEqual([["completed", null]])
      world.endedOnce()
    }).pipe(Effect.provide(world.layer({ execute })))
  })

  it.effect("when its caller goes away while it is recorded: it goes on", () => {
    const world = new World()
    return Effect.gen(function* () {
      const door = yield* Deferred.make<void>()
      const runs: Scene["runs"] = (whole) => ({
        accept: (...how) => Effect.zipRight(Deferred.await(door), whole.accept(...how)),
      })
      yield* Effect.gen(function* () {
        const caller = yield* Effect.fork(accepted())
        yield* TestClock.adjust("1 second")
        yield* Fiber.interruptFork(caller)
        yield* TestClock.adjust("1 second")
        expect(world.memory.runs.size).toBe(0)
        yield* Deferred.succeed(door, undefined)
        yield* TestClock.adjust("1 second")
        expect(world.outcomes).toEqual([["completed", null]])
        world.endedOnce()
      }).pipe(Effect.provide(world.layer({ runs })))
    })
  })

  it.effect("or not at all, when its caller goes away before: nothing is left behind", () => {
    const world = new World()
    let isStuck = true
    const { held, hold } = holdings()
    const prepare = hold.pipe(Effect.zipRight(Effect.suspend(() => (isStuck ? Effect.never : Effect.void))))
    return Effect.gen(function* () {
      const caller = yield* Effect.fork(accepted())
      yield* TestClock.adjust("1 second")
      expect(held()).toBe(1)
      yield* Fiber.interrupt(caller)
      expect([held(), world.memory.runs.size]).toEqual([0, 0])
      isStuck = false
      yield* (yield* accepted()).answer
      expect(held()).toBe(0)
      yield* stopping
    }).pipe(Effect.provide(world.layer({ prepare })))
  })

  it.effect("or not at all, when the ledger does not accept it: nothing is left behind", () => {
    const world = new World()
    let accepts = false
    const { held, hold: prepare } = holdings()
    const runs: Scene["runs"] = (whole) => ({
      accept: (...how) => Effect.suspend(() => (accepts ? whole.accept(...how) : broken)),
    })
    return Effect.gen(function* () {
      expect(yield* Effect.flip(accepted())).toMatchObject({ _tag: "StorageFailed" })
      expect([held(), world.memory.runs.size]).toEqual([0, 0])
      accepts = true
      const { id } = yield* accepted()
      // The slot was free.
      expect(world.events(id)).toContain("run.started")
      yield* stopping
    }).pipe(Effect.provide(world.layer({ prepare, runs })))
  })

  it.effect(
    "when it is cancelled: queued, with the report of a run that never started; running, with its own",
    () => {
      const world = new World()
      return Effect.gen(function* () {
        const { cancel } = yield* RunEngine
        const [running, queued] = [yield* accepted(), yield* accepted()]
        yield* TestClock.adjust("3 seconds")
        expect(yield* cancel(queued.id)).toBe(true)
        expect(yield* queued.answer).toMatchObject({ stopReason: "cancelled", durationMs: 0 })
        expect(yield* cancel(running.id)).toBe(true)
        expect(yield* running.answer).toMatchObject({ stopReason: "cancelled" })
        expect(yield* cancel(running.id)).toBe(false)
        expect(world.outcomes).toEqual([
          ["cancelled", null],
          ["cancelled", null],
        ])
        expect(world.events(queued.id)).toEqual(["run.queued", "run.cancelled"])
        world.endedOnce()
      }).pipe(Effect.provide(world.layer({ execute: untilCancelled })))
    },
  )

  it.effect(
    "when its token is revoked: queued, running, or just being recorded; no other app's run ends",
    () => {
      const world = new World()
      return Effect.gen(function* () {
        const door = yield* Deferred.make<void>()
        let isHeld = false
        const runs: Scene["runs"] = (whole) => ({
          accept: (...how) =>
            Effect.zipLeft(whole.accept(...how), isHeld ? Deferred.await(door) : Effect.void),
        })
        yield* Effect.gen(function* () {
          const theirs = yield* accepted({ owner: stranger })
          const running = yield* accepted()
          const queued = yield* accepted()
          isHeld = true
          const late = yield* Effect.fork(accepted())
          yield* TestClock.adjust("1 second")
          yield* revoking()
          yield* Deferred.succeed(door, undefined)
          for (const run of [running, queued, yield* Fiber.join(late)]) {
            expect(yield* Effect.flip(run.answer)).toMatchObject({ _tag: "Unauthorized" })
          }
          expect(world.outcomes).toEqual([
            ["running", undefined],
            ["cancelled", "unauthorized"],
            ["cancelled", "unauthorized"],
            ["cancelled", "unauthorized"],
          ])
          yield* theirs.cancel
          world.endedOnce()
        }).pipe(Effect.provide(world.layer({ slots: 2, runs, execute: untilCancelled })))
      })
    },
  )

  it.effect(
    "when the service stops: queued at once, running after the grace, just being recorded as well",
    () => {
      const world = new World()
      return Effect.gen(function* () {
        const door = yield* Deferred.make<void>()
        let isHeld = false
        const runs: Scene["runs"] = (whole) => ({
          accept: (...how) =>
            Effect.zipRight(isHeld ? Deferred.await(door) : Effect.void, whole.accept(...how)),
        })
        yield* Effect.gen(function* () {
          const { accepting } = yield* RunEngine
          const running = yield* accepted()
          const queued = yield* accepted()
          isHeld = true
          const late = yield* Effect.fork(accepted())
          yield* TestClock.adjust("1 second")
          const stop = yield* Effect.fork(stopping)
          yield* TestClock.adjust("0 seconds")
          expect(yield* Effect.flip(accepting)).toMatchObject({ _tag: "ShuttingDown" })
          expect(yield* Effect.flip(accepted())).toMatchObject({ _tag: "ShuttingDown" })
          expect(yield* Effect.flip(queued.answer)).toMatchObject({ _tag: "ShuttingDown" })
          yield* Deferred.succeed(door, undefined)
          expect(yield* Effect.flip((yield* Fiber.join(late)).answer)).toMatchObject({ _tag: "ShuttingDown" })
          yield* TestClock.adjust("9 seconds")
          expect(world.outcomes[0]).toEqual(["running", undefined])
          yield* TestClock.adjust("1 second")
          expect(yield* Effect.flip(running.answer)).toMatchObject({ _tag: "ShuttingDown" })
          yield* Fiber.join(stop)
          expect(new Set(world.outcomes.map(String))).toEqual(new Set(["cancelled,shutting_down"]))
          expect(world.outcomes).toHaveLength(3)
          world.endedOnce()
        }).pipe(Effect.provide(world.layer({ runs, execute: untilCancelled })))
      })
    },
  )

  it.effect("when the engine's scope closes: running or queued, it is cancelled", () => {
    const world = new World()
    return Effect.gen(function* () {
      yield* Effect.provide(
        Effect.gen(function* () {
          yield* accepted()
          yield* accepted()
          yield* TestClock.adjust("1 second")
        }),
        world.layer({ execute: () => Effect.never }),
      )
      expect(world.outcomes).toEqual([
        ["cancelled", null],
        ["cancelled", null],
      ])
      world.endedOnce()
    })
  })

  it.effect("when its slot cannot be recorded as taken: it fails, and the next has the slot", () => {
    const world = new World()
    let works = false
    const runs: Scene["runs"] = (whole) => ({
      start: (...how) => Effect.suspend(() => (works ? whole.start(...how) : broken)),
    })
    return Effect.gen(function* () {
      const [first, second, third] = [yield* accepted(), yield* accepted(), yield* accepted()]
      yield* TestClock.adjust("1 second")
      yield* first.cancel
      expect(yield* Effect.flip(second.answer)).toMatchObject({ _tag: "StorageFailed" })
      works = true
      yield* TestClock.adjust("1 second")
      yield* third.cancel
      world.endedOnce()
      expect(world.outcomes.map(([status]) => status)).toEqual(["cancelled", "failed", expect.anything()])
    }).pipe(Effect.provide(world.layer({ runs, execute: untilCancelled })))
  })
})

describe("the slot of a run", () => {
  it.effect("is given back only when its executor has cleaned up, also after a revocation", () => {
    const world = new World()
    let ends = 0
    const execute: Scene["execute"] = () =>
      Effect.onInterrupt(Effect.never, () => Effect.sleep((ends += 1) === 1 ? "3 seconds" : "0 seconds"))
    return Effect.gen(function* () {
      yield* accepted()
      yield* accepted({ owner: stranger })
      yield* TestClock.adjust("1 second")
      yield* revoking()
      yield* TestClock.adjust("2 seconds")
      expect(world.outcomes.map(([status]) => status)).toEqual(["running", "queued"])
      yield* TestClock.adjust("1 second")
      expect(world.outcomes.map(([status]) => status)).toEqual(["cancelled", "running"])
    }).pipe(Effect.provide(world.layer({ execute })))
  })
})

describe("a ledger that fails at the end of a run", () => {
  it.effect.each<[string, boolean]>([
    ["stores no messages, either", false],
    ["stores messages", true],
  ])("and %s is tried again, loses no message, and holds up neither answers nor slots", ([, stores]) => {
    const world = new World()
    let isBroken = true
    let tries = 0
    const runs: Scene["runs"] = (whole) => ({
      end: (...how) =>
        Effect.suspend(() => {
          tries += 1
          return isBroken ? broken : whole.end(...how)
        }),
    })
    const streams: Scene["streams"] = (whole) => ({
      append: (...how) => Effect.suspend(() => (isBroken && !stores ? broken : whole.append(...how))),
    })
    let execute: (Scene["execute"] & {}) | undefined
    return Effect.gen(function* () {
      const { append } = yield* Journal
      execute = ({ spec }) =>
        append(spec.id, ["1", "2"]).pipe(Effect.zipRight(append(spec.id, ["3"])), Effect.as(report("ok")))
      const { id, answer } = yield* accepted()
      expect(yield* answer).toMatchObject({ result: "ok" })
      expect(yield* (yield* accepted()).answer).toMatchObject({ result: "ok" })
      yield* TestClock.adjust("14 seconds")
      expect(world.outcomes).toEqual([
        ["running", undefined],
        ["running", undefined],
      ])
      // Of each run at its end, then every second; of the first at once again.
      expect(tries).toBe(31)
      isBroken = false
      yield* TestClock.adjust("1 second")
      expect(world.outcomes).toEqual([
        ["completed", null],
        ["completed", null],
      ])
      const said = world.memory.streams.of(id).flatMap(({ kind, body }) => (kind === "message" ? [body] : []))
      expect(said).toEqual(["1", "2", "3"])
      expect(world.stream(id)).toEqual(["run", "message", "message", "message", "result"])
      world.endedOnce()
      yield* TestClock.adjust("1 minute")
      expect(tries).toBe(33)
    }).pipe(Effect.provide(world.layer({ runs, streams, execute: (run) => execute?.(run) ?? Effect.never })))
  })
})

const key = (name: string): IdempotencyKey => ({ route: "POST /x", key: name, fingerprint: "f" })

const isKept = (name: string) =>
  Effect.map(
    Effect.flatMap(Ledger, ({ keys }) => keys.find(owner, key(name), 0)),
    (found) => found._tag === "Some",
  )

const keyed = (name: string) => accepted({ origin: { ...IN_PROCESS, idempotencyKey: key(name) } })

describe("the idempotency key of a run", () => {
  it.effect("may be used again if the run never began: cancelled, revoked or stopped in the queue", () => {
    const world = new World()
    return Effect.gen(function* () {
      const began = yield* keyed("began")
      const cancelled = yield* keyed("cancelled")
      yield* TestClock.adjust("1 second")
      expect([yield* isKept("began"), yield* isKept("cancelled")]).toEqual([true, true])
      yield* cancelled.cancel
      expect([yield* isKept("began"), yield* isKept("cancelled")]).toEqual([true, false])
      const again = yield* keyed("cancelled")
      expect(again.id).not.toBe(cancelled.id)
      yield* revoking()
      yield* TestClock.adjust("1 second")
      expect([yield* isKept("began"), yield* isKept("cancelled")]).toEqual([true, false])
      expect(yield* Effect.flip(began.answer)).toMatchObject({ _tag: "Unauthorized" })
      const running = yield* keyed("running")
      yield* TestClock.adjust("1 second")
      yield* keyed("stopped")
      const stop = yield* Effect.fork(stopping)
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(stop)
      expect([yield* isKept("running"), yield* isKept("stopped")]).toEqual([true, false])
      expect(yield* Effect.flip(running.answer)).toMatchObject({ _tag: "ShuttingDown" })
      world.endedOnce()
    }).pipe(Effect.provide(world.layer({ execute: untilCancelled })))
  })
})
