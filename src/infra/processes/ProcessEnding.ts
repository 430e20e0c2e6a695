import { Duration, Effect, Fiber, Option, Schedule } from "effect"
import { hasMarker, type Marker } from "./ProcessMarker.ts"
import { environmentOf, forEachInSlices, type ReadProcessTable } from "./ProcessTable.ts"

/** How long processes may take to exit after SIGTERM. */
const GRACE = Duration.seconds(4)
/** How long the kernel may take to remove processes after SIGKILL. */
const KILL_TIMEOUT = Duration.seconds(1)
/** How long the group leader has to end its children itself, before they are signalled one by one. */
const HEAD_START = Duration.millis(250)
/** The interval of the first checks. It grows to a quarter of a second: most processes exit quickly. */
const POLL_INTERVAL = Duration.millis(5)
const POLLING = Schedule.union(Schedule.exponential(POLL_INTERVAL, 1.5), Schedule.spaced("250 millis"))
/** How long a process may be in the middle of an `exec`. It takes a moment, or longer on a very busy machine. */
const EXEC_MAX_MILLIS = 1000

/** A process and its descendants: those in its process group, and those that carry its marker. */
export interface ProcessFamily {
  readonly marker: Marker
  /** The process group, if there is one. */
  readonly group: number | undefined
  /** No member was forked before this time, in clock ticks since boot. */
  readonly since: number
  /** Completes when the process that we started has exited. */
  readonly exited: Effect.Effect<unknown>
}

/**
 * Ends a family: SIGTERM, after 4 s SIGKILL, to the group and to the members that have left it. Returns when no member
 * is left, with the number of members that had left the group. Members that the kernel does not remove within 1 s of
 * SIGKILL are logged and not waited for.
 *
 * Where there is no /proc, only the process group is known; it ends when the kernel says that it is gone.
 */
export const endFamily = (readTable: ReadProcessTable, family: ProcessFamily): Effect.Effect<number> => {
  const state: EndingState = { strays: new Set(), execsSince: new Map() }
  const attempt = (signal: Signal, timeout: Duration.Duration) => {
    const signalRemaining = Effect.promise(() => signalOnce(readTable, family, signal, state))
    // Twice: one look at the table can miss a child that is just being forked.
    const anyLeft = Effect.flatMap(signalRemaining, (found) =>
      found ? Effect.succeed(true) : Effect.delay(signalRemaining, POLL_INTERVAL),
    )
    return Effect.gen(function* () {
      if (family.group !== undefined) signalGroup(family.group, signal)
      const exited = yield* Effect.timeoutOption(family.exited, HEAD_START)
      if (Option.isNone(exited)) yield* Effect.zipRight(signalRemaining, family.exited)
      yield* Effect.repeat(anyLeft, { while: (found) => found, schedule: POLLING })
    }).pipe(Effect.interruptible, Effect.timeoutOption(timeout))
  }
  const end = Effect.gen(function* () {
    if (Option.isSome(yield* attempt("SIGTERM", GRACE))) return state.strays.size
    if (Option.isNone(yield* attempt("SIGKILL", KILL_TIMEOUT)))
      yield* Effect.logWarning("processes outlived SIGKILL", {
        group: family.group,
        strays: [...state.strays],
      })
    return state.strays.size
  })
  // A daemon: an interrupted fiber interrupts its children, even from a region where it is itself uninterruptible. A
  // child of this fiber would be broken off in the middle of an attempt.
  return Effect.flatMap(Effect.forkDaemon(end), Fiber.join)
}

type Signal = "SIGTERM" | "SIGKILL"

interface EndingState {
  /** Pids of members that have left the group. */
  readonly strays: Set<number>
  /** Pids of processes in the middle of an `exec`, and when that was first seen: they may be members. */
  readonly execsSince: Map<number, number>
}

/** Reads the process table once and signals the members outside of the group. Returns whether any member is left. */
const signalOnce = async (
  readTable: ReadProcessTable,
  family: ProcessFamily,
  signal: Signal,
  state: EndingState,
): Promise<boolean> => {
  const table = await readTable()
  if (table === undefined) return family.group !== undefined && signalGroup(family.group, 0)
  let anyLeft = false
  await forEachInSlices(table, ({ pid, group, bornAt }) => {
    // Process 1 has no parent here. In some sandboxes it looks like an `exec` that never ends.
    if (pid === 1 || pid === process.pid || bornAt < family.since) return
    if (group === family.group) {
      anyLeft = true
      if (signal === "SIGKILL") signalGroup(group, signal)
      return
    }
    const environment = environmentOf(pid)
    if (environment === undefined) {
      const since = state.execsSince.get(pid) ?? performance.now()
      state.execsSince.set(pid, since)
      anyLeft ||= performance.now() - since < EXEC_MAX_MILLIS
    } else if (hasMarker(environment, family.marker)) {
      anyLeft = true
      // A second SIGTERM could interrupt the cleanup that the first one started.
      if (signal === "SIGKILL" || !state.strays.has(pid)) send(pid, signal)
      state.strays.add(pid)
    }
  })
  return anyLeft
}

/** Signals a group. Returns false when there is no such group. */
const signalGroup = (group: number, signal: Signal | 0): boolean => send(-group, signal)

const send = (target: number, signal: Signal | 0): boolean => {
  try {
    return process.kill(target, signal)
  } catch (error) {
    // EPERM: the process exists, but this user may not signal it.
    return (error as NodeJS.ErrnoException).code === "EPERM"
  }
}
