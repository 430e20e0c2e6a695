/**
 * `npm run demo`: the real service and the real `claude`, on a provider that is played by a local stand-in. No login,
 * no network, nothing kept. Exits with 0 only if every step gave what it says, and nothing is left.
 */
import { existsSync } from "node:fs"
import { constants } from "node:os"
import { NodeRuntime } from "@effect/platform-node"
import { Cause, Console, Effect, Exit, Option } from "effect"
import * as Print from "./Print.ts"
import { NotAsTold, stage } from "./Stage.ts"
import { story } from "./Story.ts"

let signalled: NodeJS.Signals | undefined

// These listeners stay after the first signal: a second Ctrl-C, an impatient one or one that npm passes on, must not
// cut the cleaning short.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
  process.on(signal, () => (signalled ??= signal))
process.on("SIGHUP", () => process.kill(process.pid, "SIGTERM"))
// Who reads us may leave before the end (`| head`).
process.stdout.on("error", () => process.kill(process.pid, "SIGTERM"))

const prologue = Effect.sync(() => {
  Print.title("clawdforge: one logged-in coding agent, served safely to every app on your network")
  Print.prose(
    "Real here: the service, `claude`, HTTP and SQLite. Not real: the model. A stand-in on this machine plays the provider and gives scripted answers, so this needs no login and no internet. Your own login and settings are not looked at; a temporary directory holds all, and goes at the end.",
  )
})

const epilogue = Effect.sync(() => {
  Print.title("That was all of it, and nothing is left. Now with a real model:")
  Print.command(["npm run claude -- /login   # once; or put ANTHROPIC_API_KEY into .env"])
  Print.command(["npm start                  # serves on http://127.0.0.1:8800, with its reference at /docs"])
  console.log()
})

const show = Effect.gen(function* () {
  const set = yield* stage
  const seconds = (set.startMillis / 1000).toFixed(1)
  Print.prose(`The service listens on ${set.url}, ${seconds} s after its start.`)
  yield* story(set)
  return set.dir
}).pipe(Effect.scoped)

const demo = Effect.gen(function* () {
  yield* prologue
  const dir = yield* show
  if (existsSync(dir)) return yield* new NotAsTold({ message: `${dir} is still there` })
  yield* epilogue
})

demo.pipe(
  Effect.onInterrupt(() => Console.error("\nStopped in the middle; nothing is left.")),
  Effect.tapErrorCause((cause) =>
    Cause.isInterruptedOnly(cause)
      ? Effect.void
      : Console.error(
          `\nThe demo failed: ${Option.match(Cause.failureOption(cause), {
            onSome: ({ message }) => message,
            onNone: () => Cause.pretty(cause),
          })}`,
        ),
  ),
  NodeRuntime.runMain({
    disableErrorReporting: true,
    teardown: (exit, end) =>
      end(signalled === undefined ? Number(Exit.isFailure(exit)) : 128 + constants.signals[signalled]),
  }),
)
