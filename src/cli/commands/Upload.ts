import { Args, Command, Options } from "@effect/cli"
import { Effect } from "effect"
import { client } from "../Connection.ts"
import { reportErrors } from "../ReportErrors.ts"
import { Output } from "../Output.ts"
import { upload } from "../Upload.ts"
import { json, key } from "./Options.ts"

const options = {
  json,
  ttl: Options.integer("ttl").pipe(
    Options.withDescription("How many seconds it is kept, from 60 to 86400; by default an hour."),
    Options.optional,
  ),
  key,
  path: Args.file({ name: "file", exists: "yes" }),
}

/** Sends a file, and prints its token. */
const command = Command.make("upload", options, (given) =>
  Effect.gen(function* () {
    const out = yield* Output
    const sent = yield* upload(yield* client, { path: given.path, ttlSecs: given.ttl, key: given.key })
    yield* given.json ? out.json(sent) : out.line(sent.file_token)
  }).pipe(reportErrors(given.json)),
).pipe(Command.withDescription("Uploads a file for prompts of this app, and prints its token."))
export { command as upload }
