import { Args, Command, Options } from "@effect/cli"
import { Effect } from "effect"
import { client } from "../Connection.ts"
import { reportErrors } from "../ReportErrors.ts"
import { Output } from "../Output.ts"
import { upload } from "../Upload.ts"
import { json, key, optionalText } from "./Options.ts"

const options = {
  json,
  ttl: Options.integer("ttl").pipe(
    Options.withDescription("How many seconds the file is kept, from 60 to 86400; by default 3600."),
    Options.optional,
  ),
  name: optionalText("name", "A name for the file; by default its own."),
  key,
  path: Args.file({ name: "file", exists: "yes" }),
}

const command = Command.make("upload", options, ({ json, key, name, path, ttl }) =>
  Effect.gen(function* () {
    const out = yield* Output
    const file = yield* upload(yield* client, { path, name, ttlSecs: ttl, key })
    yield* json ? out.json(file) : out.line(file.file_token)
  }).pipe(reportErrors(json)),
).pipe(Command.withDescription("Uploads a file for prompts of this app, and prints its token."))
export { command as upload }
