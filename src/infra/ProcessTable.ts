import { readdirSync, readFileSync } from "node:fs"

/**
 * Whether a process group still has a member that can do anything.
 *
 * A zombie cannot, but `kill(-pgid, 0)` counts it until PID 1 reaps it, which may be a second later, or never in a
 * container without an init. Linux tells the two apart in /proc; elsewhere the kernel's word is taken.
 */
export const groupIsAlive = (pgid: number): boolean => signalGroup(pgid, 0) && (liveMember(pgid) ?? true)

/** Signals a group; false when there is none. */
export const signalGroup = (pgid: number, signal: NodeJS.Signals | 0): boolean => {
  try {
    return process.kill(-pgid, signal)
  } catch (error) {
    // EPERM: it exists and is not ours to signal.
    return (error as NodeJS.ErrnoException).code === "EPERM"
  }
}

const liveMember = (pgid: number): boolean | undefined => {
  try {
    return readdirSync("/proc").some((name) => /^\d+$/.test(name) && isLiveIn(name, pgid))
  } catch {
    return undefined
  }
}

/** proc(5): after the command in parentheses come the state, the parent and the process group. */
const isLiveIn = (pid: string, pgid: number): boolean => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    const [state, , group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    return Number(group) === pgid && state !== "Z" && state !== "X"
  } catch {
    return false
  }
}
