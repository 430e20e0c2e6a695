import { Command } from "@effect/cli"
import { Effect } from "effect"

/** The service itself. It is loaded only here: the other commands do not wait for it. */
export const serve = Command.make("serve", {}, () =>
  Effect.flatMap(
    Effect.promise(() => import("../../serve.ts")),
    ({ serve }) => serve,
  ),
).pipe(
  Command.withDescription("Starts the service, as the environment and .env say; so does no command at all."),
)
