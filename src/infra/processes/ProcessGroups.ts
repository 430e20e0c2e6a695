import { type ChildProcess, spawn } from "node:child_process"
import type { Socket } from "node:net"
import { NodeStream } from "@effect/platform-node"
import { Deferred, Effect, Layer, type Scope, Stream } from "effect"
import { ExecutableMissing, ProcessFailed } from "../../domain/Failure.ts"
import {
  type ProcessExit,
  Processes,
  type ProcessSpec,
  type RunningProcess,
} from "../../services/agents/Processes.ts"
import { endKin } from "./ProcessEnding.ts"
import { type Marker, markerOfOwner, markSpawn, ownerOf } from "./ProcessMarker.ts"
import { birthOf, type Look, makeLook } from "./ProcessTable.ts"

/** For how long output may be silent, once the process has exited, before it is taken to have ended. */
const DRAIN_MILLIS = 250
/** For how long it may go on at all, after all that was there has been taken. */
const DRAIN_MAX_MILLIS = 2000
const STDERR_TAIL_CHARS = 8192

/**
 * Processes on this machine, each in a group of its own (POSIX), each with a marker of its own in its environment, by
 * which a descendant that left the group is found (Linux). What bears the owner's marker at the start was left by a
 * server that died, and is ended then.
 *
 * Not @effect/platform's Command: that never sends SIGKILL, and adds to our environment instead of replacing it.
 */
export const layer = (dataDir: string) =>
  Layer.effect(
    Processes,
    Effect.gen(function* () {
      const owner = yield* ownerOf(dataDir)
      const look = makeLook()
      const left = { marker: markerOfOwner(owner), group: undefined, since: 0, exited: Effect.void }
      const processes = yield* endKin(look, left)
      if (processes > 0) yield* Effect.logWarning("processes of a server that died are ended", { processes })
      return { spawn: (spec: ProcessSpec) => Effect.suspend(() => start(spec, owner, look)) }
    }),
  )

const start = (
  spec: ProcessSpec,
  owner: string,
  look: Look,
): Effect.Effect<RunningProcess, ExecutableMissing | ProcessFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const exited = yield* Deferred.make<ProcessExit>()
    const { child } = yield* Effect.acquireRelease(spawned(spec, owner, exited), (spawn) =>
      Effect.ensuring(
        endKin(look, { ...spawn, group: spawn.child.pid, exited: Deferred.await(exited) }),
        Effect.sync(() => closePipes(spawn.child)),
      ),
    )

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

/** A child that a process left behind may hold its stdout for ever, and talk: silence ends it, or the time. */
const endWhenSilent = (stdout: Socket) => {
  const exitedAt = performance.now()
  let seen = -1
  const timer = setInterval(() => {
    const over = stdout.bytesRead === seen || performance.now() - exitedAt > DRAIN_MAX_MILLIS
    if (stdout.destroyed) clearInterval(timer)
    else if (over && stdout.readableLength === 0) stdout.destroy(new Error("left open"))
    else seen = stdout.bytesRead
  }, DRAIN_MILLIS)
  timer.unref()
}

interface Spawned {
  readonly child: PipedChild
  readonly marker: Marker
  readonly since: number
}

const spawned = (spec: ProcessSpec, owner: string, exited: Deferred.Deferred<ProcessExit>) =>
  Effect.async<Spawned, ExecutableMissing | ProcessFailed>((resume) => {
    try {
      const { env, marker } = markSpawn(owner)
      const options = { cwd: spec.cwd, env: { ...spec.env, ...env }, detached: true, stdio: "pipe" } as const
      const child = spawn(spec.command, [...spec.args], options) as unknown as PipedChild
      // Read at once: as long as nobody has waited for the child, it is in the table, dead or alive.
      const since = birthOf(child.pid)
      child.once("spawn", () => resume(Effect.succeed({ child, marker, since })))
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

const closePipes = ({ stdin, stdout, stderr }: PipedChild) => {
  for (const pipe of [stdin, stdout, stderr]) pipe.destroy()
}

const programName = (command: string): string => command.split("/").at(-1) ?? command
