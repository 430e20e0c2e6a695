import { type ChildProcess, spawn } from "node:child_process"
import type { Socket } from "node:net"
import { NodeStream } from "@effect/platform-node"
import { Deferred, Duration, Effect, Layer, Schedule, type Scope, Stream } from "effect"
import { ExecutableMissing, ProcessFailed } from "../domain/Failure.ts"
import { type ProcessExit, Processes, type ProcessSpec, type RunningProcess } from "../services/Processes.ts"
import { groupIsAlive, signalGroup } from "./ProcessTable.ts"

/** What a group may take to leave after SIGTERM. */
const GRACE = Duration.seconds(5)
/** What the kernel may take to clear a group after SIGKILL. */
const KILL_PATIENCE = Duration.seconds(2)
/** For how long output may be silent, once the process has exited, before it is taken to have ended. */
const DRAIN_MILLIS = 250
/** How soon the end of a group is seen: at once if it goes quickly, else every 50 ms. */
const POLL_INTERVAL = Duration.millis(5)
const POLLING = Schedule.union(Schedule.exponential(POLL_INTERVAL, 1.5), Schedule.spaced("50 millis"))
const STDERR_TAIL_CHARS = 8192

/**
 * Processes on this machine, each in a group of its own (POSIX).
 *
 * Not @effect/platform's Command: that never sends SIGKILL, and adds to our environment instead of replacing it.
 */
export const layer = Layer.succeed(Processes, { spawn: (spec) => Effect.suspend(() => start(spec)) })

const start = (
  spec: ProcessSpec,
): Effect.Effect<RunningProcess, ExecutableMissing | ProcessFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const exited = yield* Deferred.make<ProcessExit>()
    const child = yield* Effect.acquireRelease(spawned(spec, exited), (child) => endGroup(child, exited))

    let errors = ""
    child.stderr.setEncoding("utf8")
    child.stderr.on("data", (text: string) => {
      errors = (errors + text).slice(-STDERR_TAIL_CHARS)
    })
    // The reader may leave before we have written all: its exit says why, not the broken pipe.
    child.stdin.on("error", () => {})
    child.stdout.on("error", () => {})

    return {
      write: (text) => Effect.sync(() => void (child.stdin.writable && child.stdin.write(text))),
      endInput: Effect.sync(() => void child.stdin.end()),
      output: NodeStream.fromReadable<never, Uint8Array>(
        () => child.stdout,
        (cause) => cause as never,
      ).pipe(Stream.catchAllCause(() => Stream.empty)),
      errorTail: Effect.sync(() => errors),
      exit: Deferred.await(exited),
    }
  })

type PipedChild = ChildProcess & {
  readonly pid: number
  readonly stdin: Socket
  readonly stdout: Socket
  readonly stderr: Socket
}

/** A child that a process left behind may hold its stdout for ever: then silence ends it. */
const endWhenSilent = (stdout: Socket) => {
  let seen = -1
  const timer = setInterval(() => {
    if (stdout.destroyed) clearInterval(timer)
    else if (stdout.bytesRead === seen && stdout.readableLength === 0) stdout.destroy(new Error("silent"))
    else seen = stdout.bytesRead
  }, DRAIN_MILLIS)
  timer.unref()
}

const spawned = (spec: ProcessSpec, exited: Deferred.Deferred<ProcessExit>) =>
  Effect.async<PipedChild, ExecutableMissing | ProcessFailed>((resume) => {
    try {
      const options = { cwd: spec.cwd, env: spec.env, detached: true, stdio: "pipe" } as const
      const child = spawn(spec.command, [...spec.args], options) as unknown as PipedChild
      child.once("spawn", () => resume(Effect.succeed(child)))
      child.once("error", (error) => resume(Effect.fail(notStarted(spec, error))))
      child.once("exit", (code, signal) => {
        Deferred.unsafeDone(exited, Effect.succeed({ code, signal }))
        endWhenSilent(child.stdout)
      })
    } catch (error) {
      // Some of the kernel's refusals are thrown (a path through a file, a name too long), others are events.
      resume(Effect.fail(notStarted(spec, error as Error)))
    }
  })

const MISSING = new Set(["ENOENT", "ENOTDIR", "ELOOP", "ENAMETOOLONG", "EACCES", "ENOEXEC"])

const notStarted = (spec: ProcessSpec, { code = "unknown error" }: NodeJS.ErrnoException) =>
  MISSING.has(code)
    ? new ExecutableMissing({ program: programName(spec.command) })
    : new ProcessFailed({ reason: `it could not be started (${code})` })

/** SIGTERM, a grace, SIGKILL; returns when nothing of the group is left (or the kernel will not part with it). */
const endGroup = (child: PipedChild, exited: Deferred.Deferred<ProcessExit>) => {
  const alive = Effect.sync(() => groupIsAlive(child.pid))
  // Looked at twice: a child that is being forked can be missed once.
  const stirs = Effect.zipWith(alive, Effect.delay(alive, POLL_INTERVAL), (before, after) => before || after)
  const gone = Effect.zipRight(
    Deferred.await(exited),
    Effect.repeat(stirs, { while: (stirring) => stirring, schedule: POLLING }),
  )
  const end = Effect.gen(function* () {
    signalGroup(child.pid, "SIGTERM")
    const left = yield* Effect.timeoutOption(Effect.interruptible(gone), GRACE)
    if (left._tag === "Some") return
    signalGroup(child.pid, "SIGKILL")
    const killed = yield* Effect.timeoutOption(Effect.interruptible(gone), KILL_PATIENCE)
    if (killed._tag === "None")
      yield* Effect.logWarning("a process group outlived SIGKILL", { pid: child.pid })
  })
  return Effect.ensuring(
    end,
    Effect.sync(() => closePipes(child)),
  )
}

const closePipes = ({ stdin, stdout, stderr }: PipedChild) => {
  for (const pipe of [stdin, stdout, stderr]) pipe.destroy()
}

const programName = (command: string): string => command.split("/").at(-1) ?? command
