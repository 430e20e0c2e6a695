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
import { LoginMonitor, type LoginStatus } from "../services/upkeep/LoginMonitor.ts"
import { type Check, Readiness } from "../services/upkeep/Readiness.ts"
import { makeRevocation, Revocation } from "../services/access/Revocation.ts"
import { type Refused, Refusals } from "../services/access/Refusals.ts"
import { Retention } from "../services/journal/Retention.ts"
import { type OpenRun, Runs } from "../services/runs/Runs.ts"
import { Sweeper, type SweepReport } from "../services/upkeep/Sweeper.ts"
import { TokenStore } from "../services/access/TokenStore.ts"

/** Mock layers, each of one service, that do nothing or always the same. */

/** Does the work of every request, whatever its key. Replays nothing. */
export const idempotency = Layer.succeed(Idempotency, {
  once: ({ origin }, _, work) => Effect.map(work(origin), (answer) => ({ answer, replayed: false })),
  find: () => Effect.succeedNone,
  replay: () => new IdempotencyConflict(),
})

/** Files without any upload. */
export const noFiles = Layer.mock(Files, {
  find: (tokens) => (tokens.length === 0 ? Effect.succeed([]) : new FileNotFound()),
  hold: () => Effect.void,
  attach: () => Effect.succeed([]),
})

/** Adds each refused request to `recorded` at once. */
export const refusals = (recorded: Array<Refused> = []) =>
  Layer.succeed(Refusals, { record: (refused) => Effect.sync(() => void recorded.push(refused)) })

/** Admits every request as the app of `token`, and no operator. */
export const admitEverybody = (token: AppToken) =>
  Layer.succeed(Admission, {
    clientOf: ({ address }) => ({ address, local: true }),
    admitAddress: () => Effect.void,
    siteOf: () => ({}),
    admitSite: () => Effect.void,
    admitApp: () => Effect.succeed(token),
    isAdmin: () => false,
    admitAdmin: () => Effect.void,
  })

/** A store with these tokens, by their secrets. Minting and revoking are not implemented. */
export const tokenStore = (tokens: ReadonlyMap<string, AppToken>) =>
  Layer.mock(TokenStore, {
    authenticate: (secret) =>
      Effect.fromNullable(tokens.get(Redacted.value(secret))).pipe(Effect.mapError(() => new Unauthorized())),
    list: Effect.succeed([...tokens.values()]),
  })

/** CLIs with these versions. `needed` are the ones that the service needs. */
export const clis = (versions: CliVersions, needed: ReadonlyArray<Cli> = ["claude"]) =>
  Layer.succeed(Clis, { versions: Effect.succeed(versions), needed })

/** A login that always is in that state, and admits everything. */
export const loginMonitor = (status: LoginStatus = { state: "ok", ok: true, detail: "present" }) =>
  Layer.succeed(LoginMonitor, {
    status: Effect.succeed(status),
    admit: () => Effect.void,
    attempt: () => Effect.succeed({ worked: Effect.void, failed: () => Effect.void }),
    asked: () => Effect.void,
  })

/** Readiness with these checks. Without any, the service is ready. */
export const readiness = (checks: ReadonlyArray<Check> = []) =>
  Layer.succeed(Readiness, { checks: Effect.succeed(checks) })

const NOTHING_REMOVED = { texts: 0, streamEvents: 0, events: 0, idempotencyKeys: 0 }
const EMPTY_SIZES = { events: 0, streamRows: 0, streamBytes: 0, databaseBytes: 0, freeBytes: 0 }

/** Retention that removes nothing. */
export const retention = Layer.succeed(Retention, {
  settings: {
    streamRetentionSecs: 3600,
    eventRetentionDays: 14,
    eventMaxRows: 200_000,
    auditRetentionDays: 365,
  },
  trim: () => Effect.succeed(NOTHING_REMOVED),
  sizes: Effect.succeed(EMPTY_SIZES),
  maintain: () =>
    Effect.succeed({ removed: NOTHING_REMOVED, before: EMPTY_SIZES, after: EMPTY_SIZES, durationMs: 0 }),
})

/** A journal that stores nothing. Followers and outcomes wait for ever. */
export const journal = Layer.succeed(Journal, {
  append: () => Effect.void,
  appendToSessions: () => Effect.void,
  drain: (_, write) => write([]),
  read: () => Effect.succeed([]),
  follow: () => Effect.never,
  outcome: () => Effect.never,
  bytesAfter: () => Effect.succeed(0),
  newest: Effect.succeed(0),
  latest: () => Effect.succeed([]),
  summary: () => Effect.succeed({ counts: new Map(), oldest: null, newest: null }),
})

/** An engine without runs. Accepting one is not implemented. */
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

/** Runs that all have the same id and answer, without a queue or a record. No run can be found later. */
export const runs = (answer: OpenRun["answer"]) =>
  Layer.mock(Runs, {
    open: () => Effect.succeed({ id: "0".repeat(26) as RunId, answer, cancel: Effect.void }),
    get: () => new RunNotFound(),
    page: () => Effect.succeed([]),
  })

/** A sweeper whose report is `found`; by default it finds nothing. It never sweeps by itself. */
export const sweeper = (found: Partial<SweepReport> = {}) => {
  const nothing = { closed: 0, deleted: 0, files: 0, directories: 0, trimmed: 0, failed: 0, durationMs: 0 }
  return Layer.succeed(Sweeper, { sweep: Effect.succeed({ ...nothing, ...found }) })
}
