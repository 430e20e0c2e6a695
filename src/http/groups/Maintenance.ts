import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "@effect/platform"
import { Schema } from "effect"
import { expected } from "../../domain/Failure.ts"
import { AdminAuth } from "./Auth.ts"
import { KnownQuery } from "./KnownQuery.ts"
import { problems } from "./Problems.ts"
import { body, optional } from "./Wire.ts"

const MaintenancePayload = body({
  vacuum: optional(
    Schema.Boolean.annotations({
      message: expected("must be true or false"),
      description: "Whether the database's file gives the space back; by default it keeps it.",
    }),
  ),
}).annotations({ identifier: "MaintenanceRequest", examples: [{ vacuum: true }] })

const Sizes = Schema.Struct({
  events: Schema.Int,
  stream_rows: Schema.Int,
  stream_bytes: Schema.Int,
  database_bytes: Schema.Int,
  free_bytes: Schema.Int,
})

const MaintenanceReport = Schema.Struct({
  ok: Schema.Literal(true),
  removed: Schema.Struct({
    texts: Schema.Int.annotations({ description: "Rows of streams that lost their text." }),
    stream_events: Schema.Int,
    events: Schema.Int,
    idempotency_keys: Schema.Int,
  }),
  before: Sizes,
  after: Sizes,
  duration_ms: Schema.Int,
}).annotations({
  identifier: "MaintenanceReport",
  examples: [
    {
      ok: true,
      removed: { texts: 120, stream_events: 0, events: 0, idempotency_keys: 2 },
      before: {
        events: 300,
        stream_rows: 900,
        stream_bytes: 1_048_576,
        database_bytes: 2_097_152,
        free_bytes: 0,
      },
      after: { events: 300, stream_rows: 900, stream_bytes: 4096, database_bytes: 1_052_672, free_bytes: 0 },
      duration_ms: 25,
    },
  ],
})

export class MaintenanceGroup extends HttpApiGroup.make("maintenance")
  .add(
    HttpApiEndpoint.post("maintainEvents", "/events/maintenance")
      .setPayload(MaintenancePayload)
      .addSuccess(MaintenanceReport)
      .addError(
        problems("StorageFailed", "BodyTooLarge", "RequestTooSlow", "Overloaded", "UnsupportedMediaType"),
      )
      .annotate(OpenApi.Summary, "Remove now what is kept no longer")
      .annotate(
        OpenApi.Description,
        "Nobody is held up: it works in small steps. Hanging up ends it; what is removed is removed.",
      ),
  )
  .middleware(KnownQuery)
  .middleware(AdminAuth)
  .annotate(OpenApi.Description, "The operator's upkeep of the log.") {}
