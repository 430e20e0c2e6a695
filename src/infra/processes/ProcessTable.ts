import { readdirSync, readFileSync } from "node:fs"
import { setImmediate } from "node:timers/promises"

/**
 * A process that is no zombie. A zombie does nothing any longer, but the kernel counts it in its group until PID 1 reaps
 * it: perhaps a second later, or never in a container without an init.
 */
export interface LiveProcess {
  readonly pid: number
  readonly group: number
  /** When it was forked, in the kernel's clock ticks since boot. */
  readonly bornAt: number
}

/** Reads the process table. Undefined where there is none (not Linux, or no /proc). */
export type ReadProcessTable = () => Promise<ReadonlyArray<LiveProcess> | undefined>

/** How many items are handled before the event loop continues. 200 processes take one to four milliseconds. */
const SLICE = 200

/** Calls `each` for every item of a long list without blocking the event loop. */
export const forEachInSlices = async <A>(items: ReadonlyArray<A>, each: (item: A) => void): Promise<void> => {
  for (const [index, item] of items.entries()) {
    if (index % SLICE === SLICE - 1) await setImmediate()
    each(item)
  }
}

/**
 * Makes a reader that reads the table once at a time. All calls during one reading share the next reading, so each call
 * gets a table that was read after the call.
 */
export const makeProcessTableReader = (): ReadProcessTable => {
  let last: ReturnType<ReadProcessTable> = Promise.resolve(undefined)
  let next: ReturnType<ReadProcessTable> | undefined
  return () => {
    if (next === undefined) {
      next = last.catch(ignore).then(() => {
        next = undefined
        return readOnce()
      })
      last = next
    }
    return next
  }
}

const ignore = () => undefined

const readOnce: ReadProcessTable = async () => {
  const pids = pidsIn("/proc")
  if (pids === undefined) return undefined
  const processes: Array<LiveProcess> = []
  await forEachInSlices(pids, (pid) => {
    const stat = statOf(pid)
    if (stat !== undefined && stat.state !== "Z" && stat.state !== "X") processes.push({ pid, ...stat })
  })
  return processes
}

const pidsIn = (proc: string): ReadonlyArray<number> | undefined => {
  try {
    const pids = readdirSync(proc).map(Number).filter(Number.isInteger)
    return pids.length > 0 ? pids : undefined
  } catch {
    return undefined
  }
}

/** When an existing process was forked, in clock ticks since boot. 0 where that is not known. */
export const birthOf = (pid: number): number => statOf(pid)?.bornAt ?? 0

/** Fields of proc_pid_stat(5). Reading begins after the command in parentheses, which may itself have spaces. */
const statOf = (pid: number) => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    return {
      state: fields[0],
      group: Number(fields[2]),
      bornAt: Number(fields[19]),
      // `vsize` is 0 for kernel threads. `env_end` is 0 while a program is being replaced by another.
      isInExec: fields[20] !== "0" && fields[48] === "0",
    }
  } catch {
    return undefined
  }
}

/**
 * The environment that a process was started with; until it executes a program, that of its parent. Undefined in the
 * middle of an `exec`, when it has none. Empty when the process is gone, or may not be read by this user.
 */
export const environmentOf = (pid: number): string | undefined => {
  try {
    const environment = readEnviron(pid)
    if (environment !== "") return environment
    // The `exec` may be over by now, so the environment is read once more.
    return statOf(pid)?.isInExec === true ? undefined : readEnviron(pid)
  } catch {
    return ""
  }
}

const readEnviron = (pid: number): string => readFileSync(`/proc/${pid}/environ`, "utf8")
