import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Duration, Effect, Option, Ref, Schema } from "effect"
import { launch, listening } from "../test/support/ServerProcess.ts"
import { startStandInApi } from "../test/support/StandInApi.ts"
import { SCRIPT } from "./Prompts.ts"

/** A step of the demo did not give the result that the demo describes. */
export class DemoFailed extends Schema.TaggedError<DemoFailed>()("DemoFailed", { message: Schema.String }) {}

/** The only login of the demo's service. The stand-in accepts any. */
export const API_KEY = "the-login-of-the-demo"

const START_TIMEOUT = Duration.seconds(60)
const STOP_TIMEOUT = Duration.seconds(15)

/** A temporary directory, which is removed when the scope closes. */
const temporaryDirectory = Effect.acquireRelease(
  Effect.try({
    try: () => mkdtempSync(join(tmpdir(), "clawdforge-demo-")),
    catch: (error) => new DemoFailed({ message: `no temporary directory: ${(error as Error).message}` }),
  }),
  (dir) => Effect.sync(() => rmSync(dir, { recursive: true, force: true, maxRetries: 5 })),
)

/** A local stand-in for the provider's Messages API. Answers the demo's prompts, and records the login of each request. */
const standIn = Effect.acquireRelease(
  Effect.promise(() => startStandInApi(SCRIPT)),
  (api) => Effect.promise(() => api.close()),
)

/**
 * The service as `npm start` runs it. It gets only `PATH` of the demo's environment, so that it cannot touch the user's
 * login, home directory or settings.
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
    // After Ctrl-C the demo ends at once, without waiting for a run.
    SHUTDOWN_GRACE_SECS: "0",
    // Short, so that the demo can show how texts are deleted.
    STREAM_RETENTION_SECS: "1",
  }
  return {
    /** Starts the service on the given port, by default a free one. Returns when it listens. */
    start: (port = "0") =>
      Effect.gen(function* () {
        mkdirSync(home, { recursive: true })
        const launched = launch({ ...env, BIND_PORT: port }, { detached: true })
        const url = yield* Effect.tryPromise({
          try: () => listening(launched),
          catch: (error) => new DemoFailed({ message: (error as Error).message }),
        }).pipe(
          Effect.timeoutFail({
            duration: START_TIMEOUT,
            onTimeout: () => new DemoFailed({ message: `the service does not listen: ${launched.output()}` }),
          }),
          Effect.onError(() => stop(launched)),
        )
        return { url, stop: stop(launched) }
      }),
  }
}

/** Stops the service by SIGTERM, after 15 seconds by SIGKILL. Returns its exit code, or the signal that ended it. */
const stop = (launched: ReturnType<typeof launch>) =>
  Effect.gen(function* () {
    const ended = Effect.promise(() => launched.exited)
    launched.child.kill("SIGTERM")
    const left = yield* Effect.timeoutOption(Effect.interruptible(ended), STOP_TIMEOUT)
    if (Option.isNone(left)) launched.child.kill("SIGKILL")
    return yield* ended
  })

/** Starts the service and the stand-in. Both are stopped, and all files removed, when the scope closes. */
export const setUp = Effect.gen(function* () {
  const dir = yield* temporaryDirectory
  const provider = yield* standIn
  const { start } = service(dir, provider.url)
  const [startTime, running] = yield* Effect.acquireRelease(
    Effect.flatMap(Effect.interruptible(start()), Ref.make),
    (running) => Effect.flatMap(Ref.get(running), ({ stop }) => stop),
  ).pipe(Effect.timed)
  const { url } = yield* Ref.get(running)
  const stopRunning = Effect.flatMap(Ref.get(running), ({ stop }) => stop)
  const dataDir = join(dir, "data")
  return {
    dir,
    dataDir,
    url,
    startMillis: Duration.toMillis(startTime),
    provider,
    stop: stopRunning,
    /** Stops the service and starts it again on the same port. Returns the exit code of the stopped process. */
    restart: Effect.zipLeft(
      stopRunning,
      Effect.flatMap(start(new URL(url).port), (next) => Ref.set(running, next)),
    ),
    adminToken: readFileSync(join(dataDir, "admin-token"), "utf8").trim(),
  }
})

export type Setup = Effect.Effect.Success<typeof setUp>
