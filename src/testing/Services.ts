import { Effect, Layer, Redacted, Stream } from "effect"
import { FileNotFound, IdempotencyConflict, Unauthorized } from "../domain/Failure.ts"
import type { RunId } from "../domain/Ids.ts"
import type { AppToken } from "../domain/Token.ts"
import { Admission } from "../services/access/Admission.ts"
import { type Cli, type CliVersions, Clis } from "../services/agents/Clis.ts"
import { EventFeed } from "../services/journal/EventFeed.ts"
import { EventLog } from "../services/journal/EventLog.ts"
import { Files } from "../services/files/Files.ts"
import { Idempotency } from "../services/runs/Idempotency.ts"
import { LiveRuns } from "../services/runs/RunEngine.ts"
import { type Check, Readiness } from "../services/upkeep/Readiness.ts"
import { type Refused, Refusals } from "../services/access/Refusals.ts"
import { Retention } from "../services/journal/Retention.ts"
import { type OpenRun, Runs } from "../services/runs/Runs.ts"
import { Sweeper, type SweepReport } from "../services/upkeep/Sweeper.ts"
import { TokenStore } from "../services/access/TokenStore.ts"

/** Layers of one service each that do nothing, or the same for everybody. */

/** Takes every request for a new one, whatever its key. */
export const idempotency = Layer.succeed(Idempotency, {
  once: (_, __, work) => Effect.map(work(undefined), (answer) => ({ answer, replayed: false })),
  kept: () => Effect.succeedNone,
  again: () => new IdempotencyConflict(),
})

/** No app has uploaded anything. */
export const noFiles = Layer.mock(Files, {
  hold: (tokens) => (tokens.length === 0 ? Effect.succeed([]) : new FileNotFound()),
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
  maintain: () => Effect.succeed({ removed: NOTHING_REMOVED, before: EMPTY, after: EMPTY, durationMs: 0 }),
})

/** A log in which nothing happens. */
export const eventFeed = Layer.succeed(EventFeed, {
  newest: Effect.succeed(0),
  follow: () => Effect.never,
})

/** Takes work, and has none. */
export const liveRuns = Layer.mock(LiveRuns, {
  accepting: Effect.void,
  cancel: () => Effect.succeed(false),
  endOf: () => Effect.void,
  shutdown: Effect.void,
})

/** Runs that all have the same answer, without a queue or a record. */
export const runs = (answer: OpenRun["answer"]) =>
  Layer.succeed(Runs, {
    open: () => Effect.succeed({ id: "0".repeat(26) as RunId, answer, cancel: Effect.void }),
  })

/** A log in which nobody says anything. */
export const eventLog = Layer.succeed(EventLog, {
  append: () => Effect.void,
  ended: () => Effect.void,
  stream: () => Stream.empty,
  bytesAfter: () => Effect.succeed(0),
  messages: () => Effect.succeed([]),
  endOf: () => Effect.never,
})

/** Sweeps when it is told to, and finds nothing, or what it is given. */
export const sweeper = (found: Partial<SweepReport> = {}) => {
  const nothing = { closed: 0, deleted: 0, files: 0, directories: 0, trimmed: 0, failed: 0, durationMs: 0 }
  return Layer.succeed(Sweeper, { sweep: Effect.succeed({ ...nothing, ...found }) })
}
