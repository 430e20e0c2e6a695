import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Duration, Effect, Option, Schema } from "effect"
import { launch, listening } from "../test/support/ServerProcess.ts"
import { startStandInApi } from "../test/support/StandInApi.ts"
import { SCRIPT } from "./Prompts.ts"

/** The story took another turn than the one that is told. */
export class NotAsTold extends Schema.TaggedError<NotAsTold>()("NotAsTold", { message: Schema.String }) {}

/** The only login that the service of the demo has; the stand-in takes any. */
export const API_KEY = "the-login-of-the-demo"

const START_PATIENCE = Duration.seconds(60)
const STOP_PATIENCE = Duration.seconds(15)

/** A directory that is gone with the scope. */
const temporaryDirectory = Effect.acquireRelease(
  Effect.try({
    try: () => mkdtempSync(join(tmpdir(), "clawdforge-demo-")),
    catch: (error) => new NotAsTold({ message: `no temporary directory: ${(error as Error).message}` }),
  }),
  (dir) => Effect.sync(() => rmSync(dir, { recursive: true, force: true, maxRetries: 5 })),
)

/** A local stand-in of the Messages API that answers the demo's prompts, and records who asks. */
const standIn = Effect.acquireRelease(
  Effect.promise(() => startStandInApi(SCRIPT)),
  (api) => Effect.promise(() => api.close()),
)

/**
 * The service as `npm start` runs it, on a free port. Nothing of our own environment but `PATH` reaches it, so that
 * no login, home or setting of whoever watches is touched. Stopped with the scope, by force if it does not go.
 */
const service = (dir: string, providerUrl: string) => {
  const home = join(dir, "home")
  const env = {
    HOME: home,
    CLAUDE_CONFIG_DIR: join(home, ".claude"),
    TMPDIR: dir,
    DATA_DIR: join(dir, "data"),
    ANTHROPIC_BASE_URL: providerUrl,
    ANTHROPIC_API_KEY: API_KEY,
    // Whoever presses Ctrl-C is not to wait for a run.
    SHUTDOWN_GRACE_SECS: "0",
  }
  return Effect.acquireRelease(
    Effect.sync(() => {
      mkdirSync(home)
      const launched = launch(env, { detached: true })
      const ended = Effect.promise(() => launched.exited)
      /** Asks it to stop and returns its exit code, or the signal that it took. */
      const stop = Effect.gen(function* () {
        launched.child.kill("SIGTERM")
        const left = yield* Effect.timeoutOption(Effect.interruptible(ended), STOP_PATIENCE)
        if (Option.isNone(left)) launched.child.kill("SIGKILL")
        return yield* ended
      })
      return { launched, stop }
    }),
    ({ stop }) => stop,
  )
}

/** Everything that the demo needs, up and listening; all of it is gone with the scope. */
export const stage = Effect.gen(function* () {
  const dir = yield* temporaryDirectory
  const provider = yield* standIn
  const { launched, stop } = yield* service(dir, provider.url)
  const [took, url] = yield* Effect.tryPromise({
    try: () => listening(launched),
    catch: (error) => new NotAsTold({ message: (error as Error).message }),
  }).pipe(
    Effect.timeoutFail({
      duration: START_PATIENCE,
      onTimeout: () => new NotAsTold({ message: `the service does not listen: ${launched.output()}` }),
    }),
    Effect.timed,
  )
  const dataDir = join(dir, "data")
  return {
    dir,
    dataDir,
    url,
    startMillis: Duration.toMillis(took),
    provider,
    stop,
    adminToken: readFileSync(join(dataDir, "admin-token"), "utf8").trim(),
  }
})

export type Stage = Effect.Effect.Success<typeof stage>
