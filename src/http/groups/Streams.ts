import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "@effect/platform"
import { Schema } from "effect"
import { ReaderAuth } from "./Auth.ts"
import { KnownQuery } from "./KnownQuery.ts"
import { problems } from "./Problems.ts"
import {
  Answers,
  Deltas,
  EventId,
  EventStreamBody,
  Include,
  optionalParam,
  query,
  RunEventId,
  RunPath,
  TurnInclude,
} from "./Wire.ts"

const after = optionalParam(
  RunEventId.annotations({
    description: "Sends what came after that event; `Last-Event-ID` goes before it.",
  }),
)

const SessionQuery = query({
  after: optionalParam(
    EventId.annotations({ description: "Sends what came after that event; `Last-Event-ID` goes before it." }),
  ),
})
const RunQuery = query({ ...Include, ...Deltas, after })
const TurnQuery = query({ ...TurnInclude, ...Deltas, after })

/** The request headers of a stream: a client that reconnects resumes by them. */
const resumeHeaders = (eventId: typeof EventId) =>
  Schema.Struct({
    "last-event-id": optionalParam(
      eventId.annotations({ description: "The last event that the client has: sends what came after it." }),
    ),
  })

export const ResumeHeaders = resumeHeaders(EventId)
const RunResumeHeaders = resumeHeaders(RunEventId)

const SessionPath = Schema.Struct({
  id: Schema.String.annotations({
    description: "The session's id.",
    examples: ["1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"],
  }),
})

const TurnPath = Schema.Struct({
  id: Schema.String.annotations({
    description: "The session's id.",
    examples: ["1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"],
  }),
  n: Schema.String.annotations({ description: "The turn's index, from 1.", examples: ["2"] }),
})

/** The answer when a stream has ended and nothing comes after the given place. */
export const STREAM_OVER = HttpApiSchema.NoContent.annotations({
  description: "The run has ended, and its stream has nothing after that place.",
})

const DESCRIPTION =
  "First what there is, then what comes, once and in order, up to the `result` or the `error`, also after a restart of the service. After its last event, the stream of a run that has ended is `204`, which stops a browser's `EventSource`. When some of it is kept no more, one `resync` event says so: its id is where that ends, `oldest_id` is what comes next."

export class StreamsGroup extends HttpApiGroup.make("streams")
  .add(
    HttpApiEndpoint.get("runEvents", "/runs/:id/events")
      .setPath(RunPath)
      .setUrlParams(RunQuery)
      .setHeaders(RunResumeHeaders)
      .addSuccess(EventStreamBody)
      .addSuccess(STREAM_OVER)
      .addError(problems("RunNotFound", "Overloaded", "StorageFailed"))
      .annotate(OpenApi.Summary, "Read a run's stream, from any place in it")
      .annotate(OpenApi.Description, DESCRIPTION)
      .annotate(Answers, "events"),
  )
  .add(
    HttpApiEndpoint.get("turnEvents", "/sessions/:id/turns/:n/events")
      .setPath(TurnPath)
      .setUrlParams(TurnQuery)
      .setHeaders(RunResumeHeaders)
      .addSuccess(EventStreamBody)
      .addSuccess(STREAM_OVER)
      .addError(problems("RunNotFound", "Overloaded", "StorageFailed"))
      .annotate(OpenApi.Summary, "Read a turn's stream, from any place in it")
      .annotate(OpenApi.Description, DESCRIPTION)
      .annotate(Answers, "events"),
  )
  .add(
    HttpApiEndpoint.get("sessionEvents", "/sessions/:id/events")
      .setPath(SessionPath)
      .setUrlParams(SessionQuery)
      .setHeaders(ResumeHeaders)
      .addSuccess(
        EventStreamBody.annotations({
          description:
            "Events, as they come: `session.message` for what the agent sends while no turn is open, and the session's own events. Each is an object as in the list of events. The `data` of a `session.message` is `{\"message\":…}`, with the agent's message as it was sent.",
        }),
      )
      .addSuccess(
        HttpApiSchema.NoContent.annotations({
          description: "The session is closed, and its stream has nothing after that place.",
        }),
      )
      .addError(problems("SessionNotFound", "Overloaded", "StorageFailed"))
      .annotate(OpenApi.Summary, "Follow what happens to a session beside its turns")
      .annotate(
        OpenApi.Description,
        "First what there is, then what comes, once and in order, until the session is closed; also after a restart of the service. What an agent says after a turn's answer, or by itself, is here and in no turn. When some of it is kept no more, one `resync` event says so: its id is where that ends, `oldest_id` is the next message that is left. After its last event, the stream of a closed session is `204`.",
      )
      .annotate(Answers, "events"),
  )
  .middleware(KnownQuery)
  .middleware(ReaderAuth)
  .annotate(OpenApi.Description, "What runs, turns and sessions say, again and live.") {}
