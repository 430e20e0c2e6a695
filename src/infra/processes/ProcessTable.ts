import { readdirSync, readFileSync } from "node:fs"
import { setImmediate } from "node:timers/promises"

/**
 * A process that can still do something. A zombie cannot, but the kernel counts it in its group until PID 1 reaps it,
 * which may be a second later, or never in a container without an init.
 */
export interface Living {
  readonly pid: number
  readonly group: number
  /** When it was forked, in the kernel's clock ticks since boot. */
  readonly bornAt: number
}

/** Reads the process table; undefined where there is none to read (not Linux, or no /proc). */
export type Look = () => Promise<ReadonlyArray<Living> | undefined>

/** How many processes are read before the event loop has its turn: a millisecond or four. */
const SLICE = 200

/** Goes through a long list without holding the event loop up. */
export const inSlices = async <A>(all: ReadonlyArray<A>, each: (one: A) => void): Promise<void> => {
  for (const [index, one] of all.entries()) {
    if (index % SLICE === SLICE - 1) await setImmediate()
    each(one)
  }
}

/** One look at a time: all who ask while one is under way share the next, which begins after they have asked. */
export const makeLook = (): Look => {
  let last: ReturnType<Look> = Promise.resolve(undefined)
  let next: ReturnType<Look> | undefined
  return () => {
    if (next === undefined) {
      next = last.catch(ignore).then(() => {
        next = undefined
        return look()
      })
      last = next
    }
    return next
  }
}

const ignore = () => undefined

const look: Look = async () => {
  const pids = pidsIn("/proc")
  if (pids === undefined) return undefined
  const living: Array<Living> = []
  await inSlices(pids, (pid) => {
    const stat = statOf(pid)
    if (stat !== undefined && stat.state !== "Z" && stat.state !== "X") living.push({ pid, ...stat })
  })
  return living
}

const pidsIn = (proc: string): ReadonlyArray<number> | undefined => {
  try {
    const pids = readdirSync(proc).map(Number).filter(Number.isInteger)
    return pids.length > 0 ? pids : undefined
  } catch {
    return undefined
  }
}

/** When a process that exists was forked, in clock ticks; 0, before all others, where that is not known. */
export const birthOf = (pid: number): number => statOf(pid)?.bornAt ?? 0

/** The fields of proc_pid_stat(5), from the third on: what follows the command in parentheses. */
const statOf = (pid: number) => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    return {
      state: fields[0],
      group: Number(fields[2]),
      bornAt: Number(fields[19]),
      // A kernel thread has no memory; a program that is just being replaced by another has no environment yet.
      execs: fields[20] !== "0" && fields[48] === "0",
    }
  } catch {
    return undefined
  }
}

/**
 * The environment that a process was started with, or that of its parent until it executes a program of its own.
 * Undefined in the moment between the two; empty when it is gone, or not ours to read.
 */
export const environmentOf = (pid: number): string | undefined => {
  try {
    const environment = environOf(pid)
    if (environment !== "") return environment
    // The moment may have passed between the reading and the asking.
    return statOf(pid)?.execs === true ? undefined : environOf(pid)
  } catch {
    return ""
  }
}

const environOf = (pid: number): string => readFileSync(`/proc/${pid}/environ`, "utf8")
