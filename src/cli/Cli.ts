import { Command } from "@effect/cli"
import { backup, restore } from "./commands/Backup.ts"
import { doctor } from "./commands/Doctor.ts"
import { events } from "./commands/Events.ts"
import { openapi } from "./commands/OpenApi.ts"
import { run } from "./commands/Run.ts"
import { cancel, runs } from "./commands/Runs.ts"
import { serve } from "./commands/Serve.ts"
import { session } from "./commands/Session.ts"
import { token } from "./commands/Token.ts"
import { upload } from "./commands/Upload.ts"
import { vocabularyOf } from "./Vocabulary.ts"

const COMMANDS = [
  serve,
  run,
  runs,
  cancel,
  session,
  upload,
  token,
  events,
  backup,
  restore,
  doctor,
  openapi,
] as const

/** The words of all commands. */
export const vocabulary = vocabularyOf(COMMANDS)

/** The command line: starts the service, is a client of it, and has the operator's commands. */
export const clawdforge = Command.make("clawdforge").pipe(
  Command.withDescription(
    "One logged-in coding agent, served safely to every app on the network. Commands use the service at CLAWDFORGE_URL (by default on this machine) with CLAWDFORGE_TOKEN; the operator's commands use CLAWDFORGE_ADMIN_TOKEN. To print completions for your shell: clawdforge --completions bash (or sh, zsh, fish).",
  ),
  Command.withSubcommands(COMMANDS),
)
