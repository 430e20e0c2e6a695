import { Duration, Effect, Fiber, Option, Schedule } from "effect"
import { bears, type Marker } from "./ProcessMarker.ts"
import { environmentOf, inSlices, type Look } from "./ProcessTable.ts"

/** What processes may take to leave after SIGTERM. */
const GRACE = Duration.seconds(4)
/** What the kernel may take to clear them away after SIGKILL. */
const KILL_PATIENCE = Duration.seconds(1)
/** How long a leader has to go, and to see to its children, before these are told themselves. */
const HEAD_START = Duration.millis(250)
/** How soon their end is seen: at once if they go quickly, else four times a second. */
const POLL_INTERVAL = Duration.millis(5)
/** How long a process is believed to be in the middle of an `exec`: a moment, unless the machine is very busy. */
const DOUBT_MAX_MILLIS = 1000
const POLLING = Schedule.union(Schedule.exponential(POLL_INTERVAL, 1.5), Schedule.spaced("250 millis"))

/** Processes that belong together. */
export interface Kin {
  /** Who bears it is of them, */
  readonly marker: Marker
  /** and so is who is in this process group, if there is one. */
  readonly group: number | undefined
  /** None of them was forked before that, in clock ticks since boot. */
  readonly since: number
  /** Completes when the one that we started has exited. */
  readonly exited: Effect.Effect<unknown>
}

/**
 * SIGTERM, a grace of 4 s, SIGKILL, to the group and to who left it. Returns how many had left it, when none of them
 * is left at all (or the kernel will not part with it within 1 s, which is logged). Where there is no /proc, only the
 * group is known, and the kernel's word on it is taken.
 */
export const endKin = (look: Look, kin: Kin): Effect.Effect<number> => {
  const met: Met = { strays: new Set(), doubts: new Map() }
  const attempt = (signal: Signal, patience: Duration.Duration) => {
    const stir = Effect.promise(() => tell(look, kin, signal, met))
    // Looked at twice: a child that is being forked can be missed once.
    const stirring = Effect.flatMap(stir, (stirs) =>
      stirs ? Effect.succeed(true) : Effect.delay(stir, POLL_INTERVAL),
    )
    return Effect.gen(function* () {
      if (kin.group !== undefined) signalGroup(kin.group, signal)
      const prompt = yield* Effect.timeoutOption(kin.exited, HEAD_START)
      if (Option.isNone(prompt)) yield* Effect.zipRight(stir, kin.exited)
      yield* Effect.repeat(stirring, { while: (stirs) => stirs, schedule: POLLING })
    }).pipe(Effect.interruptible, Effect.timeoutOption(patience))
  }
  const end = Effect.gen(function* () {
    if (Option.isSome(yield* attempt("SIGTERM", GRACE))) return met.strays.size
    if (Option.isNone(yield* attempt("SIGKILL", KILL_PATIENCE)))
      yield* Effect.logWarning("processes outlived SIGKILL", { group: kin.group, strays: [...met.strays] })
    return met.strays.size
  })
  // A fiber that is interrupted passes that on to its children, also out of a region where it cannot be interrupted
  // itself: an attempt of our own fiber would be broken off.
  return Effect.flatMap(Effect.forkDaemon(end), Fiber.join)
}

type Signal = "SIGTERM" | "SIGKILL"

/** By their pid: those that had left the group, and since when one could be of them. */
interface Met {
  readonly strays: Set<number>
  readonly doubts: Map<number, number>
}

/** Looks once, signals those that the group's signal does not reach, and says whether any of all was still there. */
const tell = async (look: Look, kin: Kin, signal: Signal, met: Met): Promise<boolean> => {
  const living = await look()
  if (living === undefined) return kin.group !== undefined && signalGroup(kin.group, 0)
  let stirs = false
  await inSlices(living, ({ pid, group, bornAt }) => {
    // Process 1 is nobody's child, and in some sandboxes looks like an `exec` that never ends.
    if (pid === 1 || pid === process.pid || bornAt < kin.since) return
    if (group === kin.group) {
      stirs = true
      if (signal === "SIGKILL") signalGroup(group, signal)
      return
    }
    const environment = environmentOf(pid)
    if (environment === undefined) {
      const doubtedSince = met.doubts.get(pid) ?? performance.now()
      met.doubts.set(pid, doubtedSince)
      stirs ||= performance.now() - doubtedSince < DOUBT_MAX_MILLIS
    } else if (bears(environment, kin.marker)) {
      stirs = true
      // A second SIGTERM could cut short what the first has made it do.
      if (signal === "SIGKILL" || !met.strays.has(pid)) send(pid, signal)
      met.strays.add(pid)
    }
  })
  return stirs
}

/** Signals a group; false when there is none. */
const signalGroup = (group: number, signal: Signal | 0): boolean => send(-group, signal)

const send = (target: number, signal: Signal | 0): boolean => {
  try {
    return process.kill(target, signal)
  } catch (error) {
    // EPERM: it exists and is not ours to signal.
    return (error as NodeJS.ErrnoException).code === "EPERM"
  }
}
