import { Command, Options } from "@effect/cli"
import { Effect, Stream } from "effect"
import { EventType } from "../../domain/Event.ts"
import { client } from "../Connection.ts"
import { eventLine, goneLine } from "../EventLines.ts"
import { reportErrors } from "../ReportErrors.ts"
import { Output } from "../Output.ts"
import { definedOptions } from "../DefinedOptions.ts"
import { json, limit, optionalText } from "./Options.ts"

const type = Options.choice("type", EventType.literals).pipe(
  Options.withDescription("Only events of this type."),
  Options.optional,
)

const list = Command.make(
  "list",
  {
    json,
    limit,
    type,
    after: optionalText("after", "Those after the event with this number, the oldest first."),
  },
  (options) =>
    Effect.gen(function* () {
      const out = yield* Output
      const listed = yield* (yield* client).events.listEvents({
        urlParams: definedOptions({ limit: options.limit, type: options.type, after: options.after }),
      })
      if (options.json) return yield* out.json(listed)
      yield* Effect.forEach(listed.events, (event) => out.line(eventLine(event)))
    }).pipe(reportErrors(options.json)),
).pipe(Command.withDescription("Lists what happened, the newest first."))

const tail = Command.make(
  "tail",
  {
    json,
    type,
    run: optionalText("run", "Only events of this run."),
    session: optionalText("session", "Only events of this session."),
    after: optionalText("after", "Starts after the event with this number; by default with the next event."),
  },
  (options) =>
    Effect.gen(function* () {
      const out = yield* Output
      const forge = yield* client
      const filter = definedOptions({
        type: options.type,
        run_id: options.run,
        session_id: options.session,
        after: options.after,
      })
      yield* Stream.runForEach(forge.streams.events(filter), (event) =>
        options.json
          ? out.json(event.data)
          : out.line(event.type === "resync" ? goneLine(event) : eventLine(event.data)),
      )
    }).pipe(reportErrors(options.json)),
).pipe(Command.withDescription("Prints events as they happen; reconnects after a lost connection."))

export const events = Command.make("events").pipe(
  Command.withDescription(
    "The log of events: those of this app, or with the operator's token those of all apps.",
  ),
  Command.withSubcommands([list, tail]),
)
