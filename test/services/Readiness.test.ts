import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Option, TestClock } from "effect"
import { ShuttingDown, StorageFailed } from "../../src/domain/Failure.ts"
import { type Cli, type CliVersions } from "../../src/services/agents/Clis.ts"
import { Disks } from "../../src/services/upkeep/Disks.ts"
import { Ledger } from "../../src/services/journal/Ledger.ts"
import { Readiness } from "../../src/services/upkeep/Readiness.ts"
import { RunEngine } from "../../src/services/runs/RunEngine.ts"
import { clis } from "../../src/testing.ts"

const broken = new StorageFailed({ during: "a test", cause: new Error("/srv/secret: read-only") })

/** What fails, and what is said of it, in a service that is well but for that. */
const failing = (wrong: {
  readonly versions?: Partial<CliVersions>
  readonly needed?: ReadonlyArray<Cli>
  readonly accepting?: Effect.Effect<void, ShuttingDown>
  readonly writable?: Effect.Effect<void, StorageFailed>
  readonly freeBytes?: Effect.Effect<number, StorageFailed>
}) =>
  Effect.flatMap(Readiness, ({ checks }) => checks).pipe(
    Effect.map((checks) => checks.filter(({ ok }) => !ok).map(({ name, detail }) => `${name} ${detail}`)),
    Effect.provide(Readiness.layer),
    Effect.provide([
      clis(
        {
          claude: Option.some("2.1.0"),
          acpx: Option.some("0.19.1"),
          loggedIn: Option.some(true),
          ...wrong.versions,
        },
        wrong.needed,
      ),
      Layer.mock(RunEngine, { accepting: wrong.accepting ?? Effect.void }),
      Layer.mock(Ledger, { writable: wrong.writable ?? Effect.void } as never),
      Layer.succeed(Disks, { freeBytes: wrong.freeBytes ?? Effect.succeed(1024 ** 4) }),
    ]),
  )

describe("readiness", () => {
  it.effect("is complete when nothing is missing", () =>
    Effect.map(failing({}), (found) => expect(found).toEqual([])),
  )

  it.effect.each<[string, Parameters<typeof failing>[0], RegExp]>([
    ["the service stops", { accepting: new ShuttingDown() }, /^service is stopping$/],
    ["the database is read-only", { writable: broken }, /^database cannot be written to/],
    ["the disks cannot be looked at", { freeBytes: broken }, /^disk cannot be looked at/],
    ["a disk is almost full", { freeBytes: Effect.succeed(1024 ** 2) }, /^disk only 1 MiB free$/],
    ["claude is missing", { versions: { claude: Option.none() } }, /^claude cannot be started/],
    [
      "acpx is missing and needed",
      { versions: { acpx: Option.none() }, needed: ["claude", "acpx"] },
      /^acpx cannot be started/,
    ],
    ["there is no login", { versions: { loggedIn: Option.some(false) } }, /^login none: .*\/login/],
    [
      "claude does not say whether it has a login",
      { versions: { loggedIn: Option.none() } },
      /^login not known/,
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

  it.effect("does not wait for a database that does not answer", () =>
    Effect.gen(function* () {
      const found = yield* Effect.fork(failing({ writable: Effect.never }))
      yield* TestClock.adjust("2 seconds")
      expect(yield* Fiber.join(found)).toHaveLength(1)
    }),
  )
})
