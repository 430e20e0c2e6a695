import { Effect, Layer, Redacted } from "effect"
import { FileNotFound, IdempotencyConflict, RunNotFound, Unauthorized } from "../domain/Failure.ts"
import type { RunId, TokenId } from "../domain/Ids.ts"
import type { AppToken } from "../domain/Token.ts"
import { Admission } from "../services/access/Admission.ts"
import { type Cli, type CliVersions, Clis } from "../services/agents/Clis.ts"
import { Journal } from "../services/journal/Journal.ts"
import { Files } from "../services/files/Files.ts"
import { Idempotency } from "../services/runs/Idempotency.ts"
import { RunEngine } from "../services/runs/RunEngine.ts"
import { type Check, Readiness } from "../services/upkeep/Readiness.ts"
import { makeRevocation, Revocation } from "../services/access/Revocation.ts"
import { type Refused, Refusals } from "../services/access/Refusals.ts"
import { Retention } from "../services/journal/Retention.ts"
import { type OpenRun, Runs } from "../services/runs/Runs.ts"
import { Sweeper, type SweepReport } from "../services/upkeep/Sweeper.ts"
import { TokenStore } from "../services/access/TokenStore.ts"

/** Layers of one service each that do nothing, or the same for everybody. */

/** Does the work of every request, whatever its key. */
export const idempotency = Layer.succeed(Idempotency, {
  once: ({ origin }, _, work) => Effect.map(work(origin), (answer) => ({ answer, replayed: false })),
  find: () => Effect.succeedNone,
  replay: () => new IdempotencyConflict(),
})

/** No app has uploaded anything. */
export const noFiles = Layer.mock(Files, {
  find: (tokens) => (tokens.length === 0 ? Effect.succeed([]) : new FileNotFound()),
  hold: () => Effect.void,
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

const NOTHING_REMOVED = { texts: 0, streamEvents: 0, events: 0, idempotencyKeys: 0 }
const EMPTY = { events: 0, streamRows: 0, streamBytes: 0, databaseBytes: 0, freeBytes: 0 }

/** Keeps everything. */
export const retention = Layer.succeed(Retention, {
  settings: {
    streamRetentionSecs: 3600,
    eventRetentionDays: 14,
    eventMaxRows: 200_000,
    auditRetentionDays: 365,
  },
  trim: () => Effect.succeed(NOTHING_REMOVED),
  sizes: Effect.succeed(EMPTY),
  maintain: () => Effect.succeed({ removed: NOTHING_REMOVED, before: EMPTY, after: EMPTY, durationMs: 0 }),
})

/** A journal in which nothing happens. */
export const journal = Layer.succeed(Journal, {
  append: () => Effect.void,
  close: (_, write) => write([]),
  read: () => Effect.succeed([]),
  follow: () => Effect.never,
  outcome: () => Effect.never,
  bytesAfter: () => Effect.succeed(0),
  newest: Effect.succeed(0),
  latest: () => Effect.succeed([]),
  summary: () => Effect.succeed({ counts: new Map(), oldest: null, newest: null }),
})

/** An engine that accepts nothing and has no runs. */
export const runEngine = Layer.mock(RunEngine, {
  register: () => Effect.void,
  accepting: Effect.void,
  cancel: () => Effect.succeed(false),
  shutdown: Effect.void,
})

/**
 * A revocation without a token store: any name is a token's, and also its id. It calls the registered effects, in
 * order.
 */
export const revocation = Layer.sync(Revocation, () =>
  makeRevocation((name) => Effect.succeedSome(name as string as TokenId)),
)

/** Runs that all have the same answer, without a queue or a record. */
export const runs = (answer: OpenRun["answer"]) =>
  Layer.mock(Runs, {
    open: () => Effect.succeed({ id: "0".repeat(26) as RunId, answer, cancel: Effect.void }),
    get: () => new RunNotFound(),
    page: () => Effect.succeed([]),
  })

/** Sweeps when it is told to, and finds nothing, or what it is given. */
export const sweeper = (found: Partial<SweepReport> = {}) => {
  const nothing = { closed: 0, deleted: 0, files: 0, directories: 0, trimmed: 0, failed: 0, durationMs: 0 }
  return Layer.succeed(Sweeper, { sweep: Effect.succeed({ ...nothing, ...found }) })
}
