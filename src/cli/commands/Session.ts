import { Command, Options } from "@effect/cli"
import { Effect, Option, Schema } from "effect"
import { AgentName, PermissionMode } from "../../domain/Session.ts"
import { client } from "../Connection.ts"
import { reportErrors } from "../ReportErrors.ts"
import { definedOptions } from "../DefinedOptions.ts"
import { Output } from "../Output.ts"
import { promptArg, promptOf } from "../Prompt.ts"
import * as Speech from "../Speech.ts"
import { show, unlessCancelled } from "../Streaming.ts"
import * as Table from "../Table.ts"
import { attach } from "../Upload.ts"
import { attached, json, key, sessionId, timeout } from "./Options.ts"

const open = Command.make(
  "open",
  {
    json,
    agent: Options.text("agent").pipe(
      Options.withSchema(AgentName),
      Options.withDescription("Which agent; by default claude."),
      Options.optional,
    ),
    model: Options.text("model").pipe(
      Options.withDescription("A model that the agent offers."),
      Options.optional,
    ),
    permissions: Options.choice("permissions", PermissionMode.literals).pipe(
      Options.withDescription("What the agent is told when it asks for permission."),
      Options.optional,
    ),
    meta: Options.text("meta").pipe(
      Options.withSchema(Schema.parseJson(Schema.Record({ key: Schema.String, value: Schema.Unknown }))),
      Options.withDescription("A JSON object of your own, to be had back with the session."),
      Options.optional,
    ),
    key,
  },
  (asked) =>
    Effect.gen(function* () {
      const out = yield* Output
      const forge = yield* client
      const session = yield* forge.sessions.openSession({
        payload: definedOptions({
          agent: asked.agent,
          model: asked.model,
          permission_mode: asked.permissions,
          meta: asked.meta,
        }),
        headers: definedOptions({ "idempotency-key": asked.key }),
      })
      yield* asked.json ? out.json(session) : out.line(session.session_id)
    }).pipe(reportErrors(asked.json)),
).pipe(Command.withDescription("Opens a session, and prints its id."))

const turn = Command.make(
  "turn",
  { json, timeout, file: attached, key, session: sessionId, prompt: promptArg },
  (asked) =>
    Effect.gen(function* () {
      const out = yield* Output
      const forge = yield* client
      const prompt = yield* promptOf(asked.prompt)
      const files = yield* attach(forge, asked)
      const payload = { prompt, files, ...definedOptions({ timeout_secs: asked.timeout }) }
      const events: Array<unknown> = []
      const heard = (message: unknown) => {
        if (!asked.json) return Speech.ofAgent(message)
        events.push(message)
        return ""
      }
      const { answer } = yield* show(
        forge.streams.turn(asked.session, payload, definedOptions({ idempotencyKey: asked.key })),
        heard,
        (id) => (Option.isSome(asked.key) ? Effect.void : forge.run.cancelRun({ path: { id } })),
      )
      const { stop_reason, duration_ms, ...turn } = answer
      if (asked.json) yield* out.json({ ...turn, events, stop_reason, duration_ms })
      yield* unlessCancelled(answer)
      if (stop_reason !== "end_turn") yield* out.remark(`clawdforge: ended with ${stop_reason}`)
    }).pipe(reportErrors(asked.json)),
).pipe(Command.withDescription("Says the next thing in a session, and shows the answer as it comes."))

const show_ = Command.make("show", { json, session: sessionId }, (asked) =>
  Effect.gen(function* () {
    const out = yield* Output
    const session = yield* (yield* client).sessions.readSession({ path: { id: asked.session } })
    yield* asked.json ? out.json(session) : out.line(Table.of([session], COLUMNS))
  }).pipe(reportErrors(asked.json)),
).pipe(Command.withDescription("Shows a session's state."))

const list = Command.make(
  "list",
  { json, open: Options.boolean("open").pipe(Options.withDescription("Only those that are open.")) },
  (asked) =>
    Effect.gen(function* () {
      const out = yield* Output
      const forge = yield* client
      const listed = yield* forge.sessions.listSessions({
        urlParams: { include_closed: asked.open ? "false" : "true" },
      })
      yield* asked.json ? out.json(listed) : out.line(Table.of(listed.sessions, COLUMNS))
    }).pipe(reportErrors(asked.json)),
).pipe(Command.withDescription("Lists this app's sessions, the newest first."))

const COLUMNS = {
  session_id: "id",
  agent: "id",
  status: "id",
  turn_count: "id",
  created_at: "time",
  last_turn_at: "time",
} as const

const cancel = Command.make("cancel", { json, session: sessionId }, (asked) =>
  Effect.gen(function* () {
    const out = yield* Output
    const done = yield* (yield* client).sessions.cancelTurns({ path: { id: asked.session } })
    yield* asked.json ? out.json(done) : out.line(done.cancelled ? "cancelled" : "nothing was at work")
  }).pipe(reportErrors(asked.json)),
).pipe(Command.withDescription("Cancels the turn at work and those that wait."))

const close = Command.make("close", { json, session: sessionId }, (asked) =>
  Effect.gen(function* () {
    const out = yield* Output
    const done = yield* (yield* client).sessions.closeSession({ path: { id: asked.session } })
    yield* asked.json ? out.json(done) : out.line(done.already_closed ? "was closed already" : "closed")
  }).pipe(reportErrors(asked.json)),
).pipe(Command.withDescription("Closes a session; again is fine."))

export const session = Command.make("session").pipe(
  Command.withDescription("Conversations with an agent that keeps its context."),
  Command.withSubcommands([open, turn, show_, list, cancel, close]),
)
