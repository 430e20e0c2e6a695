import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "@effect/platform"
import { Schema } from "effect"
import { EventType } from "../../domain/Event.ts"
import { expected } from "../../domain/Failure.ts"
import { RunId } from "../../domain/Ids.ts"
import { ReaderAuth } from "./Auth.ts"
import { KnownQuery } from "./KnownQuery.ts"
import { problems } from "./Problems.ts"
import { ResumeHeaders } from "./Streams.ts"
import {
  Answers,
  EventId,
  EventStreamBody,
  ListLimit,
  optionalParam,
  query,
  SessionFilter,
  UnixSeconds,
} from "./Wire.ts"

/** Query parameters that select events. */
const filter = {
  type: optionalParam(
    EventType.annotations({
      message: expected("must be an event's type, such as run.completed"),
      description: "Those of that type only.",
    }),
  ),
  run_id: optionalParam(
    RunId.annotations({ message: expected("must be a run's id"), description: "Those of that run only." }),
  ),
  session_id: optionalParam(SessionFilter),
}

const ListQuery = query({
  limit: optionalParam(ListLimit),
  ...filter,
  after: optionalParam(
    EventId.annotations({ description: "A `seq`: those that came after it, in their order." }),
  ),
})

const FollowQuery = query({
  ...filter,
  after: optionalParam(
    EventId.annotations({ description: "Sends what came after that event; `Last-Event-ID` goes before it." }),
  ),
})

const Seq = Schema.Int.annotations({
  description: "Its place in the one sequence of everything that happens. It has gaps.",
  examples: [4711],
})

export const Event = Schema.Struct({
  seq: Seq,
  type: EventType,
  at: UnixSeconds,
  run_id: Schema.NullOr(Schema.String),
  session_id: Schema.NullOr(Schema.String),
  token: Schema.NullOr(Schema.String).annotations({ description: "The name of the app whose doing it was." }),
  data: Schema.Record({ key: Schema.String, value: Schema.Unknown }).annotations({
    description: "What else there is to say; never a prompt or an answer.",
  }),
})

const EVENT = {
  seq: 4711,
  type: "run.completed",
  at: 1_790_000_000,
  run_id: "01JQ3T4Z8ZJ0V5N6W7X8Y9ZABC",
  session_id: null,
  token: "recipes",
  data: {},
} as const

const EventList = Schema.Struct({ ok: Schema.Literal(true), events: Schema.Array(Event) }).annotations({
  identifier: "EventList",
  examples: [{ ok: true, events: [EVENT] }],
})

const LogPosition = Schema.Struct({ seq: Seq, at: UnixSeconds })

const Stats = Schema.Struct({
  ok: Schema.Literal(true),
  events: Schema.Struct({
    count: Schema.Int,
    by_type: Schema.Record({ key: Schema.String, value: Schema.Int }).annotations({
      description: "How many there are of each type that there are any of.",
    }),
    oldest: Schema.NullOr(LogPosition),
    newest: Schema.NullOr(LogPosition),
  }).annotations({ description: "The app's own events; to the operator, everybody's." }),
  stream_events: Schema.NullOr(Schema.Struct({ rows: Schema.Int, bytes: Schema.Int })).annotations({
    description: "What is kept of what runs said, and how long these texts are. To the operator only.",
  }),
  database: Schema.NullOr(Schema.Struct({ bytes: Schema.Int, free_bytes: Schema.Int })).annotations({
    description: "The database's size, and how much of that is unused. To the operator only.",
  }),
  retention: Schema.Struct({
    stream_retention_secs: Schema.Int,
    event_retention_days: Schema.Int,
    event_max_rows: Schema.Int,
    audit_retention_days: Schema.Int,
  }).annotations({ description: "How long things are kept." }),
}).annotations({
  identifier: "EventStats",
  examples: [
    {
      ok: true,
      events: {
        count: 3,
        by_type: { "run.queued": 1, "run.started": 1, "run.completed": 1 },
        oldest: { seq: 4707, at: 1_790_000_000 },
        newest: { seq: 4711, at: 1_790_000_004 },
      },
      stream_events: { rows: 12, bytes: 34_567 },
      database: { bytes: 212_992, free_bytes: 8192 },
      retention: {
        stream_retention_secs: 3600,
        event_retention_days: 14,
        event_max_rows: 200_000,
        audit_retention_days: 365,
      },
    },
  ],
})

export class EventsGroup extends HttpApiGroup.make("events")
  .add(
    HttpApiEndpoint.get("listEvents", "/events")
      .setUrlParams(ListQuery)
      .addSuccess(EventList)
      .addError(problems("StorageFailed"))
      .annotate(OpenApi.Summary, "List events, the newest first; with `after`, from there on"),
  )
  .add(
    HttpApiEndpoint.get("readEventStats", "/events/stats")
      .addSuccess(Stats)
      .addError(problems("StorageFailed"))
      .annotate(OpenApi.Summary, "Count events; and what they take"),
  )
  .add(
    HttpApiEndpoint.get("followEvents", "/events/stream")
      .setUrlParams(FollowQuery)
      .setHeaders(ResumeHeaders)
      .addSuccess(
        EventStreamBody.annotations({
          description: "Events, as they come: named by their type, with the same object as in a list.",
        }),
      )
      .addError(problems("Overloaded", "StorageFailed"))
      .annotate(OpenApi.Summary, "Follow events, from any place in the log")
      .annotate(
        OpenApi.Description,
        "What came after the given place, then what comes, once and in order; without a place, what comes from now on. When some of it is kept no more, one `resync` event says so: its id is where that ends, `oldest_id` is what comes next.",
      )
      .annotate(Answers, "events"),
  )
  .middleware(KnownQuery)
  .middleware(ReaderAuth)
  .annotate(
    OpenApi.Description,
    "All that happens, in one sequence. An app sees its own, the operator everybody's.",
  ) {}
