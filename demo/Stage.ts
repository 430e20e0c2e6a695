import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Duration, Effect, Option, Ref, Schema } from "effect"
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
 * The service as `npm start` runs it. Nothing of our own environment but `PATH` reaches it, so that no login, home or
 * setting of whoever watches is touched.
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
    // Whoever watches is to see that it goes.
    STREAM_RETENTION_SECS: "1",
  }
  return {
    /** Starts it, on a free port or on that one, and waits until it listens. */
    start: (port = "0") =>
      Effect.gen(function* () {
        mkdirSync(home, { recursive: true })
        const launched = launch({ ...env, BIND_PORT: port }, { detached: true })
        const url = yield* Effect.tryPromise({
          try: () => listening(launched),
          catch: (error) => new NotAsTold({ message: (error as Error).message }),
        }).pipe(
          Effect.timeoutFail({
            duration: START_PATIENCE,
            onTimeout: () => new NotAsTold({ message: `the service does not listen: ${launched.output()}` }),
          }),
          Effect.onError(() => stop(launched)),
        )
        return { url, stop: stop(launched) }
      }),
  }
}

/** Asks it to stop, by force if it does not go, and returns its exit code, or the signal that it took. */
const stop = (launched: ReturnType<typeof launch>) =>
  Effect.gen(function* () {
    const ended = Effect.promise(() => launched.exited)
    launched.child.kill("SIGTERM")
    const left = yield* Effect.timeoutOption(Effect.interruptible(ended), STOP_PATIENCE)
    if (Option.isNone(left)) launched.child.kill("SIGKILL")
    return yield* ended
  })

/** Everything that the demo needs, up and listening; all of it is gone with the scope. */
export const stage = Effect.gen(function* () {
  const dir = yield* temporaryDirectory
  const provider = yield* standIn
  const { start } = service(dir, provider.url)
  const current = yield* Effect.acquireRelease(
    Effect.flatMap(Effect.interruptible(start()), Ref.make),
    (current) => Effect.flatMap(Ref.get(current), ({ stop }) => stop),
  ).pipe(Effect.timed)
  const [took, running] = current
  const { url } = yield* Ref.get(running)
  const stopped = Effect.flatMap(Ref.get(running), ({ stop }) => stop)
  const dataDir = join(dir, "data")
  return {
    dir,
    dataDir,
    url,
    startMillis: Duration.toMillis(took),
    provider,
    stop: stopped,
    /** Stops it and starts it again where it was; returns how it ended. */
    restart: Effect.zipLeft(
      stopped,
      Effect.flatMap(start(new URL(url).port), (next) => Ref.set(running, next)),
    ),
    adminToken: readFileSync(join(dataDir, "admin-token"), "utf8").trim(),
  }
})

export type Stage = Effect.Effect.Success<typeof stage>
