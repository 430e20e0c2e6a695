/**
 * `npm run demo`: runs the real service and the real `claude` against a local stand-in for the provider. Needs no login
 * and no network, and leaves nothing behind. Exits with 0 only if every step gave the result that it describes.
 */
import { existsSync } from "node:fs"
import { constants } from "node:os"
import { NodeRuntime } from "@effect/platform-node"
import { Cause, Console, Effect, Exit, Option } from "effect"
import * as Print from "./Print.ts"
import { DemoFailed, setUp } from "./Setup.ts"
import { STEPS, story } from "./Story.ts"

let firstSignal: NodeJS.Signals | undefined

// These listeners stay after the first signal: a second Ctrl-C, from an impatient user or from npm, must not interrupt the
// cleanup.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
  process.on(signal, () => (firstSignal ??= signal))
process.on("SIGHUP", () => process.kill(process.pid, "SIGTERM"))
// The reader of the output may close it early (`| head`).
process.stdout.on("error", () => process.kill(process.pid, "SIGTERM"))

const prologue = Effect.sync(() => {
  Print.title("clawdforge: one logged-in coding agent, served safely to every app on your network")
  Print.prose(
    "Real here: the service, `claude`, HTTP and SQLite. Not real: the model. A stand-in on this machine replaces the provider and gives scripted answers, so this needs no login and no internet. Your own login and settings are not read. All files are in a temporary directory, which is removed at the end.",
  )
  Print.prose(`${STEPS} steps, in 15 s to a minute. Each says how long after the start it begins.`)
  Print.prose("The service starts.")
})

const epilogue = Effect.sync(() => {
  Print.title("That was all of it, and nothing is left. Now with a real model:")
  Print.command(["npm run claude -- /login   # once; or put ANTHROPIC_API_KEY into .env"])
  Print.command(["npm start                  # serves on http://127.0.0.1:8800, with its reference at /docs"])
  console.log()
})

const show = Effect.gen(function* () {
  const setup = yield* setUp
  const seconds = (setup.startMillis / 1000).toFixed(1)
  Print.prose(`The service listens on ${setup.url}, ${seconds} s after its start.`)
  yield* story(setup)
  return setup.dir
}).pipe(Effect.scoped)

const demo = Effect.gen(function* () {
  yield* prologue
  const dir = yield* show
  if (existsSync(dir)) return yield* new DemoFailed({ message: `${dir} is still there` })
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
      end(firstSignal === undefined ? Number(Exit.isFailure(exit)) : 128 + constants.signals[firstSignal]),
  }),
)
