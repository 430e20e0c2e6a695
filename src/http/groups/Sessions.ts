import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "@effect/platform"
import { Schema } from "effect"
import { expected } from "../../domain/Failure.ts"
import { Model, Prompt, TimeoutSecs, Usage } from "../../domain/Run.ts"
import { AgentName, PermissionMode, SessionMeta } from "../../domain/Session.ts"
import type { AcpMessage } from "../../services/agents/AcpxClient.ts"
import { AppAuth } from "./Auth.ts"
import { IdempotencyHeaders } from "./IdempotencyHeaders.ts"
import { KnownQuery } from "./KnownQuery.ts"
import { problems } from "./Problems.ts"
import {
  ALSO_STREAMS,
  body,
  Cancelled,
  Deltas,
  FileTokens,
  OnDisconnect,
  optional,
  query,
  TurnInclude,
  UnixSeconds,
} from "./Wire.ts"

const SESSION_ID = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"

/** Any text is allowed: a text that cannot be a session's id is answered like an unknown session, with 404. */
const SessionPath = Schema.Struct({
  id: Schema.String.annotations({ description: "The session's id.", examples: [SESSION_ID] }),
})

const SessionModel = Model.annotations({
  description:
    "A model that the agent offers; by default the service's DEFAULT_MODEL for claude, for others the agent's own.",
})

const OpenPayload = body({
  agent: optional(AgentName),
  model: optional(SessionModel),
  meta: optional(SessionMeta),
  permission_mode: optional(PermissionMode),
}).annotations({
  identifier: "OpenSessionRequest",
  examples: [{ agent: AgentName.make("claude"), meta: { user: "ada" } }],
})

const TurnPayload = body({
  prompt: Prompt,
  files: optional(FileTokens),
  timeout_secs: optional(TimeoutSecs),
  on_disconnect: optional(OnDisconnect),
}).annotations({
  identifier: "TurnRequest",
  examples: [{ prompt: "And for four people?", timeout_secs: 60 }],
})

const TurnQuery = query({
  ...TurnInclude,
  ...Deltas,
  events: Schema.optional(
    Schema.Literal("none").annotations({
      message: expected("must be none"),
      description: "`none` leaves `events` out of the answer.",
    }),
  ),
})

const ListQuery = query({
  include_closed: Schema.optional(
    Schema.Literal("true", "false").annotations({
      message: expected("must be true or false"),
      description: "Whether closed sessions are listed, too; by default they are.",
    }),
  ),
})

/** The request's schema checked it when the session was opened; answers do not check it again. */
const Meta = Schema.declare((value): value is SessionMeta => typeof value === "object").annotations({
  jsonSchema: { type: "object", additionalProperties: true },
  description: "What the app gave when it opened the session.",
  examples: [{ user: "ada" }],
})

const identity = {
  session_id: Schema.String.annotations({ description: "A UUID.", examples: [SESSION_ID] }),
  agent: Schema.String.annotations({ examples: ["claude"] }),
  model: Schema.NullOr(Schema.String).annotations({
    description: "`null` for the agent's own default.",
  }),
  meta: Schema.NullOr(Meta),
}

const OpenedSession = Schema.Struct({
  ok: Schema.Literal(true),
  ...identity,
  created_at: UnixSeconds,
}).annotations({
  identifier: "OpenedSession",
  examples: [
    {
      ok: true,
      session_id: SESSION_ID,
      agent: "claude",
      model: "sonnet",
      meta: { user: "ada" },
      created_at: 1_790_000_000,
    },
  ],
})

const state = {
  ...identity,
  status: Schema.Literal("open", "closed"),
  turn_count: Schema.Int.annotations({ description: "Turns that were taken, those that wait too." }),
  created_at: UnixSeconds,
  last_turn_at: Schema.NullOr(UnixSeconds),
  closed_at: Schema.NullOr(UnixSeconds),
}

const STATE = {
  session_id: SESSION_ID,
  agent: "claude",
  model: "sonnet",
  meta: { user: "ada" },
  status: "open",
  turn_count: 2,
  created_at: 1_790_000_000,
  last_turn_at: 1_790_000_060,
  closed_at: null,
} as const

const SessionState = Schema.Struct({ ok: Schema.Literal(true), ...state }).annotations({
  identifier: "SessionState",
  examples: [{ ok: true, ...STATE }],
})

const SessionList = Schema.Struct({
  ok: Schema.Literal(true),
  sessions: Schema.Array(Schema.Struct(state)),
}).annotations({ identifier: "SessionList", examples: [{ ok: true, sessions: [STATE] }] })

type Messages = ReadonlyArray<AcpMessage>

/**
 * The agent's messages, perhaps tens of megabytes. They are sent as they are, without a check or a copy. The document says
 * what every client gets that does not ask for less: with `events=none` they are absent.
 */
const EventsOnWire = Schema.declare(
  (value): value is Messages | undefined => value === undefined || Array.isArray(value),
).annotations({
  jsonSchema: {
    type: "array",
    items: {
      type: "object",
      description: "A JSON-RPC 2.0 message.",
      properties: {
        jsonrpc: { type: "string", enum: ["2.0"] },
        method: { type: "string", description: "Of a notification or a request: `session/update`, mostly." },
        params: { type: "object", additionalProperties: true, description: "What the method is about." },
        id: { description: "Of a request or a response: a number or a string." },
        result: {
          type: "object",
          additionalProperties: true,
          description: "Of the last message: the turn's result, with `stopReason`.",
        },
      },
      required: ["jsonrpc"],
    },
  },
  description:
    "What the agent sent in this turn, in order, as it came: messages of the Agent Client Protocol. The last is the result. Left out with `events=none`.",
})

/** The client of this declaration reads absent messages as none. */
const Events = Schema.transform(
  EventsOnWire,
  Schema.declare((value): value is Messages => Array.isArray(value)),
  { strict: true, decode: (messages) => messages ?? [], encode: (messages) => messages },
)

export const TurnAnswer = Schema.Struct({
  ok: Schema.Literal(true),
  session_id: identity.session_id,
  turn_index: Schema.Int.annotations({ description: "Counts the session's turns, from 1.", examples: [2] }),
  events: Events,
  stop_reason: Schema.String.annotations({ examples: ["end_turn"] }),
  duration_ms: Schema.Int.annotations({ description: "From start to answer, without the queue." }),
  text: Schema.optional(
    Schema.NullOr(Schema.String).annotations({
      description:
        "The agent's words of this turn, joined; none in a stream that is read when they are gone.",
    }),
  ),
  usage: Schema.optional(Schema.NullOr(Usage)),
  cost_usd: Schema.optional(
    Schema.NullOr(Schema.Number).annotations({
      description: "What this turn cost, if the agent said so by its answer.",
    }),
  ),
  model: Schema.optional(
    Schema.NullOr(Schema.String).annotations({
      description: "The model that answered, if the agent said so.",
    }),
  ),
}).annotations({
  identifier: "TurnAnswer",
  description: "The answer. `X-Run-Id` carries the turn's id.",
  examples: [
    {
      ok: true,
      session_id: SESSION_ID,
      turn_index: 2,
      events: [
        {
          jsonrpc: "2.0",
          method: "session/update",
          params: {
            sessionId: "s-1",
            update: { sessionUpdate: "agent_message_chunk", content: { type: "text", text: "Four cups." } },
          },
        },
        { jsonrpc: "2.0", id: 3, result: { stopReason: "end_turn" } },
      ],
      stop_reason: "end_turn",
      duration_ms: 4321,
    },
  ],
})

const ClosedSession = Schema.Struct({
  ok: Schema.Literal(true),
  session_id: identity.session_id,
  already_closed: Schema.Boolean,
}).annotations({
  identifier: "ClosedSession",
  examples: [{ ok: true, session_id: SESSION_ID, already_closed: false }],
})

const bodyProblems = ["BodyTooLarge", "RequestTooSlow", "UnsupportedMediaType", "Overloaded"] as const
const agentProblems = ["ExecutableMissing", "AgentUnavailable", "NotLoggedIn"] as const
const commonProblems = [
  "ShuttingDown",
  "StorageFailed",
  "InvalidRequest",
  ...bodyProblems,
  ...agentProblems,
] as const

export class SessionsGroup extends HttpApiGroup.make("sessions")
  .add(
    HttpApiEndpoint.post("openSession", "/sessions")
      .setPayload(OpenPayload)
      .setHeaders(IdempotencyHeaders)
      .addSuccess(OpenedSession)
      .addError(problems("PoolFull", "ModelNotFound", "IdempotencyConflict", ...commonProblems))
      .annotate(OpenApi.Summary, "Open a session"),
  )
  .add(
    HttpApiEndpoint.get("listSessions", "/sessions")
      .setUrlParams(ListQuery)
      .addSuccess(SessionList)
      .addError(problems("StorageFailed"))
      .annotate(OpenApi.Summary, "List the app's sessions, the newest first"),
  )
  .add(
    HttpApiEndpoint.post("takeTurn", "/sessions/:id/turn")
      .setPath(SessionPath)
      .setPayload(TurnPayload)
      .setUrlParams(TurnQuery)
      .setHeaders(IdempotencyHeaders)
      .addSuccess(TurnAnswer)
      .addError(
        problems(
          "SessionNotFound",
          "FileNotFound",
          "SessionBusy",
          "SessionClosed",
          "IdempotencyConflict",
          "AnswerGone",
          "TurnFailed",
          "RateLimited",
          "ProviderOverloaded",
          "ModelNotFound",
          "BillingRefused",
          "PromptTooLong",
          "RunLost",
          "RunDefect",
          "RunTimedOut",
          ...commonProblems,
        ),
      )
      .annotate(OpenApi.Summary, "Say the next thing in a session")
      .annotate(
        OpenApi.Description,
        "Waits for the agent's answer; streams it, event by event, to a client that prefers `text/event-stream`. Turns of a session are taken one at a time, in the order in which they came. Hanging up does not end a turn, unless `on_disconnect` is `cancel`.",
      )
      .annotateContext(ALSO_STREAMS),
  )
  .add(
    HttpApiEndpoint.post("cancelTurns", "/sessions/:id/cancel")
      .setPath(SessionPath)
      .addSuccess(Cancelled)
      .addError(problems("SessionNotFound", "StorageFailed"))
      .annotate(OpenApi.Summary, "Cancel the turn at work and those that wait; again is fine")
      .annotate(
        OpenApi.Description,
        "They end with what they have, and `stop_reason` is `cancelled`; the session stays open. Answers when they have ended.",
      ),
  )
  .add(
    HttpApiEndpoint.get("readSession", "/sessions/:id")
      .setPath(SessionPath)
      .addSuccess(SessionState)
      .addError(problems("SessionNotFound", "StorageFailed"))
      .annotate(OpenApi.Summary, "Read a session's state"),
  )
  .add(
    HttpApiEndpoint.del("closeSession", "/sessions/:id")
      .setPath(SessionPath)
      .addSuccess(ClosedSession)
      .addError(problems("SessionNotFound", "StorageFailed"))
      .annotate(OpenApi.Summary, "Close a session; again is fine")
      .annotate(
        OpenApi.Description,
        "Its turns, at work or waiting, end as cancelled first. It can be read until it is deleted for good.",
      ),
  )
  .middleware(KnownQuery)
  .middleware(AppAuth)
  .annotate(
    OpenApi.Description,
    "Conversations with an agent that keeps its context. Each is seen by the app that opened it, and no other.",
  ) {}
