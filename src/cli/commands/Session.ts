import { Command, Options } from "@effect/cli"
import { Effect, Schema, Stream } from "effect"
import { textOf } from "../../client/Session.ts"
import type { SessionStreamEvent } from "../../client/StreamedEvents.ts"
import { AgentName, PermissionMode } from "../../domain/Session.ts"
import { client } from "../Connection.ts"
import { eventLine, goneLine } from "../EventLines.ts"
import { reportErrors } from "../ReportErrors.ts"
import { EXIT, Failed } from "../Exit.ts"
import { definedOptions } from "../DefinedOptions.ts"
import { Output } from "../Output.ts"
import { promptArg, promptOf } from "../Prompt.ts"
import { failIfCancelled, printStream } from "../Streaming.ts"
import * as Table from "../Table.ts"
import { uploadFiles } from "../Upload.ts"
import {
  fileTokens,
  goesOn,
  json,
  key,
  onDisconnect,
  optionalText,
  promptFiles,
  sessionId,
  timeout,
  usage,
} from "./Options.ts"

const open = Command.make(
  "open",
  {
    json,
    agent: Options.text("agent").pipe(
      Options.withSchema(AgentName),
      Options.withDescription("The agent; by default claude."),
      Options.optional,
    ),
    model: optionalText("model", "A model that the agent offers."),
    permissionMode: Options.choice("permission-mode", PermissionMode.literals).pipe(
      // Its name in the first versions of the command.
      Options.withAlias("permissions"),
      Options.withDescription("How the service answers when the agent asks for permission."),
      Options.optional,
    ),
    meta: Options.text("meta").pipe(
      Options.withSchema(Schema.parseJson(Schema.Record({ key: Schema.String, value: Schema.Unknown }))),
      Options.withDescription("A JSON object of your own, which is stored with the session."),
      Options.optional,
    ),
    key,
  },
  (options) =>
    Effect.gen(function* () {
      const out = yield* Output
      const forge = yield* client
      const session = yield* forge.sessions.openSession({
        payload: definedOptions({
          agent: options.agent,
          model: options.model,
          permission_mode: options.permissionMode,
          meta: options.meta,
        }),
        headers: definedOptions({ "idempotency-key": options.key }),
      })
      yield* options.json ? out.json(session) : out.line(session.session_id)
    }).pipe(reportErrors(options.json)),
).pipe(Command.withDescription("Opens a session, and prints its id."))

const turn = Command.make(
  "turn",
  {
    json,
    timeout,
    usage,
    noEvents: Options.boolean("no-events").pipe(
      Options.withDescription("With --json: the answer's text in place of the agent's messages."),
    ),
    file: promptFiles,
    fileToken: fileTokens,
    key,
    onDisconnect,
    session: sessionId,
    prompt: promptArg,
  },
  (options) =>
    Effect.gen(function* () {
      const out = yield* Output
      const forge = yield* client
      const prompt = yield* promptOf(options.prompt)
      const uploaded = yield* uploadFiles(forge, options)
      const payload = {
        prompt,
        files: [...options.fileToken, ...uploaded],
        ...definedOptions({ timeout_secs: options.timeout, on_disconnect: options.onDisconnect }),
      }
      const events: Array<unknown> = []
      // A pipe gets the answer when it is complete.
      const isLive = !options.json && out.isRead
      const { answer, text, isIncomplete } = yield* printStream(
        forge.streams.turn(options.session, payload, {
          ...definedOptions({ idempotencyKey: options.key }),
          usage: options.usage,
        }),
        {
          isLive,
          ...(options.json && !options.noEvents ? { onMessage: (message) => events.push(message) } : {}),
          cancel: (id) => (goesOn(options) ? Effect.void : forge.run.cancelRun({ path: { id } })),
        },
      )
      const { stop_reason, duration_ms, ok, session_id, turn_index, ...took } = answer
      const said = options.noEvents ? { text } : { events }
      if (options.json)
        yield* out.json({ ok, session_id, turn_index, ...said, stop_reason, duration_ms, ...took })
      else if (!isLive && text !== "") yield* out.line(text.replace(/\n$/, ""))
      if (isIncomplete) {
        yield* out.notice("clawdforge: a part of the answer is no longer stored, and is missing here")
        return yield* new Failed({ exitCode: EXIT.transport })
      }
      yield* failIfCancelled(answer)
      if (stop_reason !== "end_turn") yield* out.notice(`clawdforge: the turn ended with ${stop_reason}`)
    }).pipe(reportErrors(options.json)),
).pipe(
  Command.withDescription("Sends the next prompt of a session, and prints the answer while it is written."),
)

const show = Command.make("show", { json, session: sessionId }, (options) =>
  Effect.gen(function* () {
    const out = yield* Output
    const session = yield* (yield* client).sessions.readSession({ path: { id: options.session } })
    yield* options.json ? out.json(session) : out.line(Table.of([session], COLUMNS))
  }).pipe(reportErrors(options.json)),
).pipe(Command.withDescription("Shows a session's state."))

const list = Command.make(
  "list",
  { json, open: Options.boolean("open").pipe(Options.withDescription("Only open sessions.")) },
  (options) =>
    Effect.gen(function* () {
      const out = yield* Output
      const forge = yield* client
      const listed = yield* forge.sessions.listSessions({
        urlParams: { include_closed: options.open ? "false" : "true" },
      })
      yield* options.json ? out.json(listed) : out.line(Table.of(listed.sessions, COLUMNS))
    }).pipe(reportErrors(options.json)),
).pipe(Command.withDescription("Lists this app's sessions, the newest first."))

const COLUMNS = {
  session_id: "id",
  agent: "id",
  status: "id",
  turn_count: "id",
  created_at: "time",
  last_turn_at: "time",
} as const

/** A line for people: time, type, and the agent's words or the event's data. */
const lineOf = (event: SessionStreamEvent): string => {
  if (event.type === "resync") return goneLine(event)
  if (event.type !== "session.message") return eventLine(event.data)
  const time = new Date(event.data.at * 1000).toISOString().slice(0, 19)
  const { message } = event.data.data
  return [time, event.type.padEnd(20), textOf([message]) || JSON.stringify(message)].join("  ")
}

const events = Command.make(
  "events",
  {
    json,
    after: optionalText("after", "Starts after the event with this number; by default with the first."),
    session: sessionId,
  },
  (options) =>
    Effect.gen(function* () {
      const out = yield* Output
      const forge = yield* client
      const followed = forge.streams.sessionEvents(options.session, definedOptions({ after: options.after }))
      yield* Stream.runForEach(followed, (event) =>
        options.json ? out.json(event.data) : out.line(lineOf(event)),
      )
    }).pipe(reportErrors(options.json)),
).pipe(
  Command.withDescription(
    "Prints what happens to a session beside its turns, and what its agent says while no turn is open, until the session is closed.",
  ),
)

const cancel = Command.make("cancel", { json, session: sessionId }, (options) =>
  Effect.gen(function* () {
    const out = yield* Output
    const done = yield* (yield* client).sessions.cancelTurns({ path: { id: options.session } })
    yield* options.json ? out.json(done) : out.line(done.cancelled ? "cancelled" : "nothing was at work")
  }).pipe(reportErrors(options.json)),
).pipe(Command.withDescription("Cancels the running turn and all waiting turns."))

const close = Command.make("close", { json, session: sessionId }, (options) =>
  Effect.gen(function* () {
    const out = yield* Output
    const done = yield* (yield* client).sessions.closeSession({ path: { id: options.session } })
    yield* options.json ? out.json(done) : out.line(done.already_closed ? "was closed already" : "closed")
  }).pipe(reportErrors(options.json)),
).pipe(Command.withDescription("Closes a session. Closing it again is no error."))

export const session = Command.make("session").pipe(
  Command.withDescription("Conversations with an agent. A session keeps its context."),
  Command.withSubcommands([open, turn, show, list, events, cancel, close]),
)
