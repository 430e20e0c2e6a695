import { HttpApiBuilder } from "@effect/platform"
import { Effect } from "effect"
import type { Event } from "../../domain/Event.ts"
import { Journal, logScope } from "../../services/journal/Journal.ts"
import { Retention } from "../../services/journal/Retention.ts"
import { Api } from "../Api.ts"
import { CurrentReader } from "../groups/Auth.ts"
import { LIST_LIMIT, toSeconds } from "../groups/Wire.ts"
import { orProblem } from "../RequestContext.ts"
import { OpenStreams } from "../sse/OpenStreams.ts"
import { eventAnswer, eventFrame } from "../views/LogEvents.ts"

export const EventsHandlers = HttpApiBuilder.group(Api, "events", (handlers) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    const retention = yield* Retention
    const streams = yield* OpenStreams
    return handlers
      .handle("listEvents", ({ urlParams: { limit = LIST_LIMIT, after, type, run_id, session_id } }) =>
        Effect.gen(function* () {
          const { viewer } = yield* CurrentReader
          const filter = { viewer, type, runId: run_id, sessionId: session_id }
          const found = yield* after === undefined
            ? journal.latest(filter, limit)
            : journal.read(logScope(filter), Number(after), limit)
          return { ok: true as const, events: found.map(eventAnswer) }
        }).pipe(orProblem),
      )
      .handle("readEventStats", () =>
        Effect.gen(function* () {
          const { viewer } = yield* CurrentReader
          const { counts, oldest, newest } = yield* journal.summary(viewer)
          const sizes = viewer._tag === "Operator" ? yield* retention.sizes : undefined
          const { settings } = retention
          return {
            ok: true as const,
            events: {
              count: [...counts.values()].reduce((sum, count) => sum + count, 0),
              by_type: Object.fromEntries([...counts].toSorted(([a], [b]) => (a < b ? -1 : 1))),
              oldest: positionOf(oldest),
              newest: positionOf(newest),
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
      .handle("followEvents", ({ request, urlParams: { after, type, run_id, session_id }, headers }) =>
        Effect.gen(function* () {
          const { viewer } = yield* CurrentReader
          yield* streams.admit(viewer)
          const scope = logScope({ viewer, type, runId: run_id, sessionId: session_id })
          const cursor = headers["last-event-id"] ?? after
          // Read now, not when the first bytes are sent: a client that has the response misses no event.
          const from = cursor === undefined ? yield* journal.newest : Number(cursor)
          return streams.answer(request, viewer, {
            after: from,
            frames: ({ take, ready }) =>
              journal.follow(scope, from, { take: (items) => take(items.map(eventFrame)), ready }),
            // Events are small, and are read from the ledger only as the client takes them.
            bytesAfter: () => Effect.succeed(0),
          })
        }).pipe(orProblem),
      )
  }),
)

const positionOf = (event: Pick<Event, "seq" | "at"> | null) =>
  event === null ? null : { seq: event.seq, at: toSeconds(event.at) }
