import { type ChildProcess, spawn } from "node:child_process"
import { accessSync, constants } from "node:fs"
import type { Socket } from "node:net"
import { NodeStream } from "@effect/platform-node"
import { Deferred, Effect, Layer, type Scope, Stream } from "effect"
import { ExecutableMissing, ProcessFailed } from "../../domain/Failure.ts"
import {
  type ProcessExit,
  Processes,
  type ProcessSpec,
  programName,
  type RunningProcess,
} from "../../services/agents/Processes.ts"
import { endFamily } from "./ProcessEnding.ts"
import { type Marker, markerOfOwner, markSpawn, ownerOf } from "./ProcessMarker.ts"
import { birthOf, type ReadProcessTable, makeProcessTableReader } from "./ProcessTable.ts"

/** After the process has exited, its output is taken to have ended when nothing came for this long. */
const DRAIN_MILLIS = 250
/** After this long, its output is ended as soon as everything that has arrived is read. */
const DRAIN_MAX_MILLIS = 2000
const STDERR_TAIL_CHARS = 8192

/**
 * Processes on this machine. Each has its own process group (POSIX), and its own marker in the environment, which finds
 * descendants that have left the group (Linux). When the layer is built, it ends the processes that a server before this
 * one has left behind: those that carry the marker of the same data directory.
 *
 * `Command` of @effect/platform is not used: it never sends SIGKILL, and it adds to the service's environment instead of
 * replacing it.
 */
export const layer = (dataDir: string) =>
  Layer.effect(
    Processes,
    Effect.gen(function* () {
      const owner = yield* ownerOf(dataDir)
      const readTable = makeProcessTableReader()
      const leftovers = { marker: markerOfOwner(owner), group: undefined, since: 0, exited: Effect.void }
      const processes = yield* endFamily(readTable, leftovers)
      if (processes > 0) yield* Effect.logWarning("processes of a server that died are ended", { processes })
      return { spawn: (spec: ProcessSpec) => Effect.suspend(() => start(spec, owner, readTable)) }
    }),
  )

const start = (
  spec: ProcessSpec,
  owner: string,
  readTable: ReadProcessTable,
): Effect.Effect<RunningProcess, ExecutableMissing | ProcessFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const exited = yield* Deferred.make<ProcessExit>()
    const { child } = yield* Effect.acquireRelease(spawnChild(spec, owner, exited), (spawn) =>
      Effect.ensuring(
        endFamily(readTable, { ...spawn, group: spawn.child.pid, exited: Deferred.await(exited) }),
        Effect.sync(() => closePipes(spawn.child)),
      ),
    )

    let errors = ""
    child.stderr.setEncoding("utf8")
    child.stderr.on("data", (text: string) => {
      errors = (errors + text).slice(-STDERR_TAIL_CHARS)
    })
    // The process may exit before it has read everything. Its exit is reported, so the broken pipe is ignored.
    child.stdin.on("error", () => {})
    for (const pipe of [child.stdout, child.stderr]) pipe.on("error", () => {})
    const errorsEnded = yield* Deferred.make<void>()
    child.stderr.once("close", () => Deferred.unsafeDone(errorsEnded, Effect.void))

    return {
      write: (text) => Effect.sync(() => void (child.stdin.writable && child.stdin.write(text))),
      endInput: Effect.sync(() => void child.stdin.end()),
      output: NodeStream.fromReadable<never, Uint8Array>(
        () => child.stdout,
        (cause) => cause as never,
      ).pipe(Stream.catchAllCause(() => Stream.empty)),
      // An exit may be seen before what was written to stderr before it.
      errorTail: Deferred.isDone(exited).pipe(
        Effect.tap((hasExited) => Effect.when(Deferred.await(errorsEnded), () => hasExited)),
        Effect.map(() => errors),
      ),
      exit: Deferred.await(exited),
    }
  })

type PipedChild = ChildProcess & {
  readonly pid: number
  readonly stdin: Socket
  readonly stdout: Socket
  readonly stderr: Socket
}

/**
 * Ends an output of a process that has exited. A descendant that the process left behind may keep the pipe open and
 * write to it for ever, so the output ends after a silence or after `DRAIN_MAX_MILLIS`.
 */
const endWhenSilent = (output: Socket) => {
  const exitedAt = performance.now()
  let seen = -1
  const timer = setInterval(() => {
    const isOver = output.bytesRead === seen || performance.now() - exitedAt > DRAIN_MAX_MILLIS
    if (output.destroyed) clearInterval(timer)
    else if (isOver && output.readableLength === 0) output.destroy(new Error("left open"))
    else seen = output.bytesRead
  }, DRAIN_MILLIS)
  timer.unref()
}

interface SpawnedChild {
  readonly child: PipedChild
  readonly marker: Marker
  readonly since: number
}

const spawnChild = (spec: ProcessSpec, owner: string, exited: Deferred.Deferred<ProcessExit>) =>
  Effect.async<SpawnedChild, ExecutableMissing | ProcessFailed>((resume) => {
    try {
      const { env, marker } = markSpawn(owner)
      const options = { cwd: spec.cwd, env: { ...spec.env, ...env }, detached: true, stdio: "pipe" } as const
      const child = spawn(spec.command, [...spec.args], options) as unknown as PipedChild
      // Read at once: the child stays in the process table, dead or alive, until Node has waited for it.
      const since = birthOf(child.pid)
      child.once("spawn", () => resume(Effect.succeed({ child, marker, since })))
      child.once("error", (error) => resume(Effect.fail(notStarted(spec, error))))
      child.once("exit", (code, signal) => {
        Deferred.unsafeDone(exited, Effect.succeed({ code, signal }))
        for (const output of [child.stdout, child.stderr]) endWhenSilent(output)
      })
    } catch (error) {
      // Node throws some errors of the kernel (a path through a file, a name too long) and emits others as events.
      resume(Effect.fail(notStarted(spec, error as Error)))
    }
  })

const MISSING_CODES = new Set(["ENOENT", "ENOTDIR", "ELOOP", "ENAMETOOLONG", "EACCES", "ENOEXEC"])

/** Whether a process can be in that directory. The kernel says of a missing directory what it says of a missing program. */
const canEnter = (directory: string): boolean => {
  try {
    accessSync(directory, constants.X_OK)
    return true
  } catch {
    return false
  }
}

const notStarted = (spec: ProcessSpec, { code = "unknown error" }: NodeJS.ErrnoException) =>
  MISSING_CODES.has(code) && canEnter(spec.cwd)
    ? new ExecutableMissing({ program: programName(spec.command) })
    : new ProcessFailed({ reason: `it could not be started (${code})` })

const closePipes = ({ stdin, stdout, stderr }: PipedChild) => {
  for (const pipe of [stdin, stdout, stderr]) pipe.destroy()
}
