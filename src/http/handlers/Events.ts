import { HttpApiBuilder } from "@effect/platform"
import { Effect } from "effect"
import type { LogEvent } from "../../domain/Event.ts"
import { Ledger, type Sizes } from "../../services/Ledger.ts"
import { Retention } from "../../services/Retention.ts"
import { Api } from "../Api.ts"
import { CurrentReader } from "../groups/Auth.ts"
import { LIST_LIMIT, toSeconds } from "../groups/Wire.ts"
import { orProblem } from "../RequestContext.ts"

export const EventsHandlers = HttpApiBuilder.group(Api, "events", (handlers) =>
  Effect.gen(function* () {
    const { events, retention } = yield* Ledger
    const { settings } = yield* Retention
    return handlers
      .handle("listEvents", ({ urlParams: { limit = LIST_LIMIT, after, type, run_id, session_id } }) =>
        Effect.gen(function* () {
          const { owner } = yield* CurrentReader
          const filter = { owner, type, runId: run_id, sessionId: session_id }
          const found = yield* after === undefined
            ? events.latest(filter, limit)
            : events.after(after, filter, limit)
          return { ok: true as const, events: found.map(toWire) }
        }).pipe(orProblem),
      )
      .handle("readEventStats", () =>
        Effect.gen(function* () {
          const { owner } = yield* CurrentReader
          const { counts, oldest, newest } = yield* events.summary(owner)
          const sizes = owner === undefined ? yield* retention.sizes : undefined
          return {
            ok: true as const,
            events: {
              count: [...counts.values()].reduce((sum, count) => sum + count, 0),
              by_type: Object.fromEntries([...counts].toSorted(([a], [b]) => (a < b ? -1 : 1))),
              oldest: placeOf(oldest),
              newest: placeOf(newest),
            },
            stream_events: sizes === undefined ? null : { rows: sizes.streamRows, bytes: sizes.streamBytes },
            database:
              sizes === undefined ? null : { bytes: sizes.databaseBytes, free_bytes: sizes.freeBytes },
            retention: {
              stream_retention_secs: settings.streamRetentionSecs,
              event_retention_days: settings.eventRetentionDays,
              event_max_rows: settings.eventMaxRows,
              audit_retention_days: settings.auditRetentionDays,
            },
          }
        }).pipe(orProblem),
      )
  }),
)

export const MaintenanceHandlers = HttpApiBuilder.group(Api, "maintenance", (handlers) =>
  Effect.map(Retention, (retention) =>
    handlers.handle("maintainEvents", ({ payload }) =>
      retention.maintain({ vacuum: payload.vacuum ?? false }).pipe(
        Effect.map(({ removed, before, after, durationMs }) => ({
          ok: true as const,
          removed: {
            texts: removed.texts,
            stream_events: removed.streamEvents,
            events: removed.events,
            idempotency_keys: removed.idempotencyKeys,
          },
          before: sizesOf(before),
          after: sizesOf(after),
          duration_ms: durationMs,
        })),
        orProblem,
      ),
    ),
  ),
)

/** An event as it is shown. */
export const toWire = (event: LogEvent) => ({
  seq: event.seq,
  type: event.type,
  at: toSeconds(event.at),
  run_id: event.runId,
  session_id: event.sessionId,
  token: event.token,
  data: event.data,
})

const placeOf = (place: Pick<LogEvent, "seq" | "at"> | null) =>
  place === null ? null : { seq: place.seq, at: toSeconds(place.at) }

const sizesOf = (sizes: Sizes) => ({
  events: sizes.events,
  stream_rows: sizes.streamRows,
  stream_bytes: sizes.streamBytes,
  database_bytes: sizes.databaseBytes,
  free_bytes: sizes.freeBytes,
})
