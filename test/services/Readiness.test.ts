import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Option, TestClock } from "effect"
import { ProcessFailed, ShuttingDown, StorageFailed } from "../../src/domain/Failure.ts"
import { type Cli, type CliVersions } from "../../src/services/agents/Clis.ts"
import { Disks } from "../../src/services/upkeep/Disks.ts"
import { type LoginStatus } from "../../src/services/upkeep/LoginMonitor.ts"
import { Ledger } from "../../src/services/journal/Ledger.ts"
import { Readiness } from "../../src/services/upkeep/Readiness.ts"
import { RunEngine } from "../../src/services/runs/RunEngine.ts"
import { Processes } from "../../src/services/agents/Processes.ts"
import { clis, loginMonitor, processes } from "../../src/testing.ts"

const cause = Object.assign(new Error("/srv/secret: read-only"), { code: "EROFS" })
const broken = new StorageFailed({ during: "a test", cause })

/** A machine on which no process starts. */
const noProcesses = Layer.mock(Processes, {
  spawn: () => Effect.fail(new ProcessFailed({ reason: "it could not be started (EAGAIN)" })),
})

/** What fails, and what is said of it, in a service that is well but for that. */
const failing = (wrong: Wrong) =>
  withChecks(wrong, (checks) => checks).pipe(
    Effect.map((checks) => checks.filter(({ ok }) => !ok).map(({ name, detail }) => `${name} ${detail}`)),
  )

/** What is wrong with a service that is well otherwise. */
interface Wrong {
  readonly versions?: Partial<CliVersions>
  readonly needed?: ReadonlyArray<Cli>
  readonly login?: LoginStatus
  readonly accepting?: Effect.Effect<void, ShuttingDown>
  readonly writable?: Effect.Effect<void, StorageFailed>
  readonly freeBytes?: Effect.Effect<number, StorageFailed>
  readonly unwritable?: typeof Disks.Service.unwritable
  readonly processes?: Layer.Layer<Processes>
}

const withChecks = <A>(
  wrong: Wrong,
  use: (checks: typeof Readiness.Service.checks) => Effect.Effect<A>,
): Effect.Effect<A> =>
  Effect.flatMap(Readiness, ({ checks }) => use(checks)).pipe(
    Effect.provide(Readiness.layer),
    Effect.provide([
      clis(
        {
          claude: Option.some("2.1.0"),
          acpx: Option.some("0.19.1"),
          ...wrong.versions,
        },
        wrong.needed,
      ),
      loginMonitor(wrong.login),
      Layer.mock(RunEngine, { accepting: wrong.accepting ?? Effect.void }),
      Layer.mock(Ledger, { writable: wrong.writable ?? Effect.void } as never),
      Layer.succeed(Disks, {
        freeBytes: wrong.freeBytes ?? Effect.succeed(1024 ** 4),
        unwritable: wrong.unwritable ?? Effect.succeed([]),
      }),
      wrong.processes ?? processes(() => ({ lines: [], exit: { code: 0, signal: null } })),
    ]),
  )

describe("readiness", () => {
  it.effect("is complete when nothing is missing", () =>
    Effect.map(failing({}), (found) => expect(found).toEqual([])),
  )

  it.effect.each<[string, Parameters<typeof failing>[0], RegExp]>([
    ["the service stops", { accepting: new ShuttingDown() }, /^service is stopping$/],
    ["the database is read-only", { writable: broken }, /^database cannot be written to \(EROFS\)/],
    [
      "a directory cannot be written to",
      { unwritable: Effect.succeed([{ setting: "RUNS_DIR", code: "EACCES" }]) },
      /^directories cannot be written to: RUNS_DIR \(EACCES\)$/,
    ],
    ["no process can be started", { processes: noProcesses }, /^processes none can be started \(EAGAIN\)/],
    [
      "the shell fails",
      { processes: processes(() => ({ lines: [], exit: { code: 1, signal: null } })) },
      /^processes none can be started/,
    ],
    ["the disks cannot be looked at", { freeBytes: broken }, /^disk cannot be looked at/],
    ["a disk is almost full", { freeBytes: Effect.succeed(1024 ** 2) }, /^disk only 1 MiB free$/],
    ["claude is missing", { versions: { claude: Option.none() } }, /^claude cannot be started/],
    [
      "acpx is missing and needed",
      { versions: { acpx: Option.none() }, needed: ["claude", "acpx"] },
      /^acpx cannot be started/,
    ],
    [
      "there is no login",
      { login: { state: "missing", ok: false, detail: "none: log in" } },
      /^login none: log in$/,
    ],
  ])("says so when %s, and nothing of the machine's paths", ([, wrong, said]) =>
    Effect.map(failing(wrong), (found) => {
      expect(found).toHaveLength(1)
      expect(found[0]).toMatch(said)
      expect(found[0]).not.toContain("/srv")
    }),
  )

  it.effect("does without acpx where nothing needs it", () =>
    Effect.map(failing({ versions: { acpx: Option.none() } }), (found) => expect(found).toEqual([])),
  )

  it.effect("does not wait for a database that does not answer, nor for one that cannot be interrupted", () =>
    Effect.gen(function* () {
      for (const writable of [Effect.never, Effect.uninterruptible(Effect.never)]) {
        const found = yield* Effect.fork(failing({ writable }))
        yield* TestClock.adjust("2 seconds")
        expect(yield* Fiber.join(found)).toHaveLength(1)
      }
    }),
  )

  it.effect(
    "tries once for all who ask at a time, also when the first hangs up, and again after a second",
    () =>
      Effect.gen(function* () {
        let tries = 0
        const latch = yield* Effect.makeLatch()
        const writable = Effect.zipRight(
          Effect.sync(() => (tries += 1)),
          latch.await,
        )
        yield* withChecks({ writable }, (checks) =>
          Effect.gen(function* () {
            const first = yield* Effect.fork(checks)
            yield* TestClock.adjust("1 millis")
            const others = yield* Effect.forkAll([checks, checks])
            yield* TestClock.adjust("1 millis")
            yield* Fiber.interrupt(first)
            yield* latch.open
            for (const found of yield* Fiber.join(others)) expect(found.every(({ ok }) => ok)).toBe(true)
            yield* checks
            expect(tries).toBe(1)
            yield* TestClock.adjust("1 seconds")
            yield* checks
            expect(tries).toBe(2)
          }),
        )
      }),
  )
})
