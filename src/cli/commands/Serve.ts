import { Command } from "@effect/cli"
import { Effect } from "effect"

/** Runs the service. Its modules are loaded only here, so that the other commands start faster. */
export const serve = Command.make("serve", {}, () =>
  Effect.flatMap(
    Effect.promise(() => import("../../serve.ts")),
    ({ serve }) => serve,
  ),
).pipe(
  Command.withDescription(
    "Starts the service with the settings of the environment and .env. The same as clawdforge without a command.",
  ),
)
