import { HttpApiBuilder } from "@effect/platform"
import { Effect } from "effect"
import type { LogEvent } from "../../domain/Event.ts"
import { EventFeed } from "../../services/journal/EventFeed.ts"
import { Ledger } from "../../services/journal/Ledger.ts"
import { Retention } from "../../services/journal/Retention.ts"
import { Api } from "../Api.ts"
import { CurrentReader } from "../groups/Auth.ts"
import { LIST_LIMIT, toSeconds } from "../groups/Wire.ts"
import { frameOf, toWire } from "../views/LogEvents.ts"
import { OpenStreams } from "../sse/OpenStreams.ts"
import { orProblem } from "../RequestContext.ts"

export const EventsHandlers = HttpApiBuilder.group(Api, "events", (handlers) =>
  Effect.gen(function* () {
    const { events, retention } = yield* Ledger
    const { settings } = yield* Retention
    const feed = yield* EventFeed
    const streams = yield* OpenStreams
    return handlers
      .handle("listEvents", ({ urlParams: { limit = LIST_LIMIT, after, type, run_id, session_id } }) =>
        Effect.gen(function* () {
          const { owner } = yield* CurrentReader
          const filter = { owner, type, runId: run_id, sessionId: session_id }
          const found = yield* after === undefined
            ? events.latest(filter, limit)
            : events.after(Number(after), filter, limit)
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
      .handle("followEvents", ({ request, urlParams: { after, type, run_id, session_id }, headers }) =>
        Effect.gen(function* () {
          const { owner } = yield* CurrentReader
          const filter = { owner, type, runId: run_id, sessionId: session_id }
          const given = headers["last-event-id"] ?? after
          // Now, and not when the first bytes are sent: who has an answer misses nothing.
          const from = given === undefined ? yield* feed.newest : Number(given)
          return streams.answer(request, owner, {
            after: from,
            frames: ({ take, ready }) =>
              feed.follow(filter, from, { take: (items) => take(items.map(frameOf)), ready }),
            // Events are small, and read as they are taken.
            bytesAfter: () => Effect.succeed(0),
          })
        }).pipe(orProblem),
      )
  }),
)

const placeOf = (place: Pick<LogEvent, "seq" | "at"> | null) =>
  place === null ? null : { seq: place.seq, at: toSeconds(place.at) }
