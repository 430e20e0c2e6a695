import { describe, expect, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Layer, Logger, Option, Ref, TestClock } from "effect"
import {
  NotLoggedIn,
  Overloaded,
  ProviderRefused,
  RateLimited,
  StorageFailed,
} from "../../src/domain/Failure.ts"
import type { RunId, TokenId } from "../../src/domain/Ids.ts"
import { type RunRequest, runRequest } from "../../src/domain/Run.ts"
import type { TokenName } from "../../src/domain/Token.ts"
import { holdChanges } from "../../src/services/journal/HeldChanges.ts"
import { Ledger } from "../../src/services/journal/Ledger.ts"
import { Revocation } from "../../src/services/access/Revocation.ts"
import { Journal } from "../../src/services/journal/Journal.ts"
import { LoginMonitor } from "../../src/services/upkeep/LoginMonitor.ts"
import { OutputSchemas } from "../../src/services/runs/OutputSchemas.ts"
import { RunEngine } from "../../src/services/runs/RunEngine.ts"
import { Runs, type RunsOptions } from "../../src/services/runs/Runs.ts"
import {
  claudeAnswer,
  claudeRunner,
  ids,
  LedgerMemory,
  ledger,
  loginMonitor,
  noFiles,
  outputSchemas,
  revocation,
  workDirs,
} from "../../src/testing.ts"

const request = runRequest("How much flour?", { timeoutSecs: 60 })
const owner = "0".repeat(26) as TokenId
const origin = { requestId: "r", address: "127.0.0.1" }

const runsWith = (
  runner: ReturnType<typeof claudeRunner>,
  memory: LedgerMemory,
  maxConcurrentRuns = 2,
  { shutdownGraceSecs = 0, ...more }: Partial<RunsOptions> & { readonly shutdownGraceSecs?: number } = {},
  monitor: Layer.Layer<LoginMonitor> = loginMonitor(),
  schemas: Layer.Layer<OutputSchemas> = outputSchemas,
) =>
  Runs.layer({ maxConcurrentRuns, maxQueueWaitSecs: 300, ...more }).pipe(
    Layer.provideMerge(RunEngine.layer({ shutdownGraceSecs })),
    Layer.provideMerge(Layer.merge(Journal.layer, revocation)),
    Layer.provide([runner, ledger(memory), ids, monitor, noFiles, schemas, workDirs]),
  )

/** As a client does that hangs up: who stops waiting cancels. */
const asking = (prompt: string, more: Partial<RunRequest> = {}) =>
  Effect.flatMap(Runs, (runs) => runs.open(runRequest(prompt, more), owner, origin)).pipe(
    Effect.flatMap(({ answer, cancel }) => Effect.onInterrupt(answer, () => cancel)),
  )

const ask = asking(request.prompt, request)

const outcomes = (memory: LedgerMemory) =>
  [...memory.runs.values()].map(({ status, end }) => [status, end?.code])

describe("Runs", () => {
  it.effect("records an answer by its lengths and costs, never its text", () => {
    const memory = new LedgerMemory()
    return Effect.gen(function* () {
      const report = yield* ask
      expect(report.result).toEqual({ qty: 2 })
      const [run] = memory.runs.values()
      expect(run).toMatchObject({
        status: "completed",
        promptChars: 15,
        end: { code: null, responseChars: 9 },
      })
      expect(JSON.stringify(run)).not.toMatch(/flour|qty/)
    }).pipe(
      Effect.provide(
        runsWith(
          claudeRunner(() => Effect.succeed(claudeAnswer('{"qty":2}'))),
          memory,
        ),
      ),
    )
  })

  it.effect("records a failure by its code, and passes it on", () => {
    const memory = new LedgerMemory()
    return Effect.gen(function* () {
      expect(yield* Effect.flip(ask)).toMatchObject({ _tag: "NotLoggedIn", durationMs: 0 })
      expect(outcomes(memory)).toEqual([["failed", "not_logged_in"]])
    }).pipe(
      Effect.provide(
        runsWith(
          claudeRunner(() => new NotLoggedIn({})),
          memory,
        ),
      ),
    )
  })

  it.effect("records an answer that cannot be written down as a defect, and ends", () => {
    const memory = new LedgerMemory()
    // What is nested more deeply than the stack is deep can be read, but not written.
    const deep: unknown = JSON.parse(`${"[".repeat(50_000)}${"]".repeat(50_000)}`)
    return Effect.gen(function* () {
      const exit = yield* Effect.exit(asking("nest", { outputSchema: {} }))
      expect(Exit.isFailure(exit) && Cause.isDie(exit.cause)).toBe(true)
      expect(outcomes(memory)).toEqual([["failed", "internal"]])
      const [run] = memory.runs.keys()
      expect(memory.streams.of(run as RunId).at(-1)).toMatchObject({
        kind: "error",
        body: '{"_tag":"RunDefect"}',
      })
    }).pipe(
      Effect.provide(
        runsWith(
          claudeRunner(() => Effect.succeed(claudeAnswer("", { structured: Option.some(deep) }))),
          memory,
        ),
      ),
    )
  })

  it.effect("ends a run at its timeout", () => {
    const memory = new LedgerMemory()
    return Effect.gen(function* () {
      const fiber = yield* Effect.fork(Effect.flip(ask))
      yield* TestClock.adjust("59 seconds")
      expect(outcomes(memory)).toEqual([["running", undefined]])
      yield* TestClock.adjust("1 second")
      expect(yield* Fiber.join(fiber)).toMatchObject({
        _tag: "RunTimedOut",
        timeoutSecs: 60,
        durationMs: 60_000,
      })
      expect(outcomes(memory)).toEqual([["timed_out", "timeout"]])
    }).pipe(
      Effect.provide(
        runsWith(
          claudeRunner(() => Effect.never),
          memory,
        ),
      ),
    )
  })

  it.effect("does not count the time in the queue, neither in the timeout nor in duration_ms", () => {
    const memory = new LedgerMemory()
    const slow = claudeRunner(() => Effect.delay(Effect.succeed(claudeAnswer("done")), "50 seconds"))
    return Effect.gen(function* () {
      const fiber = yield* Effect.fork(Effect.all([ask, ask, ask], { concurrency: "unbounded" }))
      yield* TestClock.adjust("150 seconds")
      expect((yield* Fiber.join(fiber)).map(({ durationMs }) => durationMs)).toEqual([50_000, 50_000, 50_000])
    }).pipe(Effect.provide(runsWith(slow, memory, 1)))
  })

  it.effect("never works on more runs than there are slots", () => {
    const memory = new LedgerMemory()
    return Effect.gen(function* () {
      const working = yield* Ref.make(0)
      const runner = claudeRunner(() =>
        Effect.acquireUseRelease(
          Ref.updateAndGet(working, (n) => n + 1),
          (atWork) => Effect.as(Effect.sleep("1 second"), claudeAnswer(String(atWork))),
          () => Ref.update(working, (n) => n - 1),
        ),
      )
      const fiber = yield* Effect.fork(
        Effect.all(
          Array.from({ length: 50 }, () => ask),
          { concurrency: "unbounded" },
        ).pipe(Effect.provide(runsWith(runner, memory, 4))),
      )
      yield* TestClock.adjust("13 seconds")
      const atWork = (yield* Fiber.join(fiber)).map(({ result }) => result as number)
      expect(Math.max(...atWork)).toBe(4)
    })
  })

  it.effect("cancels a run whose caller goes away, and records that", () => {
    const memory = new LedgerMemory()
    return Effect.gen(function* () {
      const started = yield* Deferred.make<void>()
      const ended = yield* Deferred.make<void>()
      const runner = claudeRunner(() =>
        Effect.zipRight(Deferred.succeed(started, undefined), Effect.never).pipe(
          Effect.onInterrupt(() => Deferred.succeed(ended, undefined)),
        ),
      )
      yield* Effect.gen(function* () {
        const fiber = yield* Effect.fork(ask)
        yield* Deferred.await(started)
        yield* Fiber.interrupt(fiber)
        yield* Deferred.await(ended)
        expect(outcomes(memory)).toEqual([["cancelled", null]])
      }).pipe(Effect.provide(runsWith(runner, memory)))
    })
  })

  it.effect("records a run that is cancelled before it took its first step", () => {
    const memory = new LedgerMemory()
    return Effect.gen(function* () {
      const run = yield* Effect.flatMap(Runs, (runs) => runs.open(request, owner, origin))
      yield* run.cancel
      expect(outcomes(memory)).toEqual([["cancelled", null]])
    }).pipe(
      Effect.provide(
        runsWith(
          claudeRunner(() => Effect.never),
          memory,
        ),
      ),
    )
  })

  it.effect("records a run that is cancelled while it waits for a slot", () => {
    const memory = new LedgerMemory()
    return Effect.gen(function* () {
      yield* Effect.fork(ask)
      yield* Effect.yieldNow()
      const waiting = yield* Effect.fork(ask)
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(waiting)
      expect(outcomes(memory)).toEqual([
        ["running", undefined],
        ["cancelled", null],
      ])
    }).pipe(
      Effect.provide(
        runsWith(
          claudeRunner(() => Effect.never),
          memory,
          1,
        ),
      ),
    )
  })

  it.effect("ends and records everything when it shuts down, and takes nothing more", () => {
    const memory = new LedgerMemory()
    return Effect.gen(function* () {
      const runs = yield* RunEngine
      const fibers = yield* Effect.fork(
        Effect.all([Effect.flip(ask), Effect.flip(ask), Effect.flip(ask)], { concurrency: "unbounded" }),
      )
      yield* TestClock.adjust("1 second")
      yield* runs.shutdown
      expect((yield* Fiber.join(fibers)).map(({ _tag }) => _tag)).toEqual(Array(3).fill("ShuttingDown"))
      expect(new Set(outcomes(memory).map(String))).toEqual(new Set(["cancelled,shutting_down"]))
      expect(yield* Effect.flip(ask)).toMatchObject({ _tag: "ShuttingDown" })
      expect(memory.runs.size).toBe(3)
    }).pipe(
      Effect.provide(
        runsWith(
          claudeRunner(() => Effect.never),
          memory,
        ),
      ),
    )
  })

  it.effect("gives what is at work a grace when it shuts down, and what is queued none", () => {
    const memory = new LedgerMemory()
    const slow = claudeRunner(({ prompt }) =>
      Effect.delay(Effect.succeed(claudeAnswer("done")), Number(prompt)),
    )
    return Effect.gen(function* () {
      const runs = yield* RunEngine
      const quick = yield* Effect.fork(asking("5000"))
      const long = yield* Effect.fork(Effect.flip(asking("50000")))
      yield* TestClock.adjust("1 second")
      const queued = yield* Effect.fork(Effect.flip(asking("1000")))
      yield* TestClock.adjust("1 second")
      const shutdown = yield* Effect.fork(runs.shutdown)
      yield* TestClock.adjust("0 seconds")
      expect(yield* Fiber.join(queued)).toMatchObject({ _tag: "ShuttingDown" })
      expect(yield* Effect.flip(runs.accepting)).toMatchObject({ _tag: "ShuttingDown" })
      yield* TestClock.adjust("9 seconds")
      expect((yield* Fiber.join(quick)).result).toBe("done")
      expect(yield* Fiber.poll(long)).toMatchObject({ _tag: "None" })
      yield* TestClock.adjust("1 second")
      expect(yield* Fiber.join(long)).toMatchObject({ _tag: "ShuttingDown" })
      yield* Fiber.join(shutdown)
    }).pipe(Effect.provide(runsWith(slow, memory, 2, { shutdownGraceSecs: 10 })))
  })

  it.effect("shuts down at once when nothing is at work", () =>
    Effect.flatMap(RunEngine, (runs) => runs.shutdown).pipe(
      Effect.provide(
        runsWith(
          claudeRunner(() => Effect.never),
          new LedgerMemory(),
          2,
          { shutdownGraceSecs: 10 },
        ),
      ),
    ),
  )

  it.effect("does not wait for ever for a machine that cannot check whether an answer fits", () => {
    const memory = new LedgerMemory()
    const busy = Layer.succeed(OutputSchemas, {
      check: () => Effect.succeed({ native: true }),
      fits: () =>
        Effect.delay(new Overloaded({ because: "schema_unchecked", retryAfterSecs: 5 }), "1 minute"),
    })
    return Effect.gen(function* () {
      const asked = yield* Effect.fork(Effect.flip(asking("How much?", { outputSchema: { type: "object" } })))
      yield* TestClock.adjust("3 minutes")
      expect(yield* Fiber.poll(asked)).toMatchObject({ _tag: "Some" })
      expect(outcomes(memory)).toEqual([["failed", "overloaded"]])
    }).pipe(
      Effect.provide(
        runsWith(
          claudeRunner(() => Effect.succeed(claudeAnswer("{}"))),
          memory,
          2,
          {},
          undefined,
          busy,
        ),
      ),
    )
  })

  it.effect("refuses at the door what would be one too many in the queue, without a record", () => {
    const memory = new LedgerMemory()
    return Effect.gen(function* () {
      yield* Effect.fork(Effect.all([ask, ask], { concurrency: "unbounded" }))
      yield* TestClock.adjust("1 second")
      expect(yield* Effect.flip(ask)).toMatchObject({ _tag: "Overloaded", because: "queue_full" })
      expect(memory.runs.size).toBe(2)
    }).pipe(
      Effect.provide(
        runsWith(
          claudeRunner(() => Effect.never),
          memory,
          1,
          { maxQueuedRuns: 1 },
        ),
      ),
    )
  })

  it.effect("records a run that waited too long for its turn", () => {
    const memory = new LedgerMemory()
    return Effect.gen(function* () {
      const fibers = yield* Effect.fork(
        Effect.all([Effect.flip(ask), Effect.flip(ask)], { concurrency: "unbounded" }),
      )
      yield* TestClock.adjust("30 seconds")
      expect(outcomes(memory)).toEqual([
        ["running", undefined],
        ["failed", "overloaded"],
      ])
      yield* Fiber.interrupt(fibers)
    }).pipe(
      Effect.provide(
        runsWith(
          claudeRunner(() => Effect.never),
          memory,
          1,
          { maxQueueWaitSecs: 30 },
        ),
      ),
    )
  })

  it.effect("ends the runs of an app whose token was revoked, at work or queued, and no others", () => {
    const memory = new LedgerMemory()
    return Effect.gen(function* () {
      const runs = yield* Runs
      const other = "1".padStart(26, "0") as TokenId
      const mine = yield* Effect.fork(
        Effect.all([Effect.flip(ask), Effect.flip(ask)], { concurrency: "unbounded" }),
      )
      yield* TestClock.adjust("1 second")
      const theirs = yield* runs.open(request, other, origin)
      yield* (yield* Revocation).revoke(owner as string as TokenName, origin)
      expect((yield* Fiber.join(mine)).map(({ _tag }) => _tag)).toEqual(["Unauthorized", "Unauthorized"])
      yield* TestClock.adjust("59 seconds")
      expect(outcomes(memory)).toEqual([
        ["cancelled", "unauthorized"],
        ["cancelled", "unauthorized"],
        ["running", undefined],
      ])
      expect(theirs.id).toBeDefined()
    }).pipe(
      Effect.scoped,
      Effect.provide(
        runsWith(
          claudeRunner(() => Effect.never),
          memory,
          1,
        ),
      ),
    )
  })

  it.effect("records how long a cancelled run had been at work", () => {
    const memory = new LedgerMemory()
    return Effect.gen(function* () {
      const fiber = yield* Effect.fork(ask)
      yield* TestClock.adjust("7 seconds")
      yield* Fiber.interrupt(fiber)
      expect([...memory.runs.values()][0]?.end?.durationMs).toBe(7000)
    }).pipe(
      Effect.provide(
        runsWith(
          claudeRunner(() => Effect.never),
          memory,
        ),
      ),
    )
  })

  it.effect("records a defect as a failure of ours", () => {
    const memory = new LedgerMemory()
    return Effect.gen(function* () {
      yield* Effect.exit(ask)
      expect(outcomes(memory)).toEqual([["failed", "internal"]])
    }).pipe(
      Effect.provide(
        runsWith(
          claudeRunner(() => Effect.die("a bug")),
          memory,
        ),
      ),
    )
  })

  it.effect("gives a slot to the next only when a cancelled run has cleaned up", () => {
    const memory = new LedgerMemory()
    let ended = 0
    const slowToEnd = claudeRunner(() =>
      Effect.onInterrupt(Effect.never, () => Effect.sleep(ended++ === 0 ? "4 seconds" : "0 seconds")),
    )
    return Effect.gen(function* () {
      const cancelled = yield* Effect.fork(ask)
      yield* TestClock.adjust("1 second")
      yield* Fiber.interruptFork(cancelled)
      yield* TestClock.adjust("1 second")
      yield* Effect.fork(ask)
      yield* TestClock.adjust("2 seconds")
      expect(outcomes(memory).map(([status]) => status)).toEqual(["running", "queued"])
      yield* TestClock.adjust("1 second")
      expect(outcomes(memory).map(([status]) => status)).toEqual(["cancelled", "running"])
    }).pipe(Effect.provide(runsWith(slowToEnd, memory, 1)))
  })

  it.effect("gives out an answer that cannot be recorded, and records it when that can be done again", () => {
    const memory = new LedgerMemory()
    let broken = true
    const failing = Layer.scoped(
      Ledger,
      Effect.flatMap(Ledger, (whole) =>
        holdChanges({
          ...whole,
          runs: {
            ...whole.runs,
            end: (...how) =>
              Effect.suspend(() =>
                broken
                  ? new StorageFailed({ during: "a test", cause: "a full disk" })
                  : whole.runs.end(...how),
              ),
          },
        }),
      ),
    ).pipe(Layer.provide(ledger(memory)))
    return Effect.gen(function* () {
      expect((yield* ask).result).toBe("done")
      yield* TestClock.adjust("1 minute")
      expect(outcomes(memory)).toEqual([["running", undefined]])
      broken = false
      yield* TestClock.adjust("5 seconds")
      expect(outcomes(memory)).toEqual([["completed", null]])
    }).pipe(
      Effect.provide(
        Runs.layer({ maxConcurrentRuns: 1 }).pipe(
          Layer.provide(RunEngine.layer()),
          Layer.provide(Layer.merge(Journal.layer, revocation)),
          Layer.provide([
            claudeRunner(() => Effect.succeed(claudeAnswer("done"))),
            failing,
            ids,
            loginMonitor(),
            noFiles,
            outputSchemas,
            workDirs,
          ]),
          Layer.provide(Logger.remove(Logger.defaultLogger)),
        ),
      ),
    )
  })

  it.effect("tells that the login works when the answer begins, not when it ends", () => {
    const heard: Array<string> = []
    const monitor = Layer.mock(LoginMonitor, {
      admit: () => Effect.void,
      attempt: () =>
        Effect.succeed({ worked: Effect.sync(() => void heard.push("worked")), failed: () => Effect.void }),
    })
    const slow = claudeRunner((_, say) => Effect.zipRight(say("once upon"), Effect.never))
    return Effect.gen(function* () {
      const running = yield* Effect.fork(ask)
      yield* TestClock.adjust("1 second")
      expect(heard).toEqual(["worked"])
      yield* Fiber.interrupt(running)
    }).pipe(Effect.provide(runsWith(slow, new LedgerMemory(), 1, {}, monitor)))
  })

  it.effect("tells the limit that a run met with the time that is left of it", () => {
    const limited = claudeRunner(
      () => new RateLimited({ reason: "a limit", resetsAt: 60_000, retryAfterSecs: 60 }),
    )
    return Effect.gen(function* () {
      const runs = yield* Runs
      const { id, answer } = yield* runs.open(request, owner, origin)
      expect(yield* Effect.flip(answer)).toMatchObject({ retryAfterSecs: 60 })
      yield* TestClock.adjust("20 seconds")
      expect(yield* Effect.flip(runs.outcome(id))).toMatchObject({ code: "rate_limited", retryAfterSecs: 40 })
    }).pipe(Effect.provide(runsWith(limited, new LedgerMemory(), 1)))
  })

  it.effect("gives back the slot of a run that failed", () => {
    const memory = new LedgerMemory()
    const refused = claudeRunner(() => new ProviderRefused({ status: 429, reason: "slow down" }))
    return Effect.gen(function* () {
      for (let n = 0; n < 10; n++) yield* Effect.flip(ask)
      expect(memory.runs.size).toBe(10)
    }).pipe(Effect.provide(runsWith(refused, memory, 1)))
  })
})
