import { HttpApiBuilder } from "@effect/platform"
import { Effect } from "effect"
import { Retention, type Sizes } from "../../services/journal/Retention.ts"
import { Api } from "../Api.ts"
import { orProblem } from "../RequestContext.ts"

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

const sizesOf = (sizes: Sizes) => ({
  events: sizes.events,
  stream_rows: sizes.streamRows,
  stream_bytes: sizes.streamBytes,
  database_bytes: sizes.databaseBytes,
  free_bytes: sizes.freeBytes,
})
