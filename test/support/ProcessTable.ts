import { readdirSync, readFileSync, readlinkSync } from "node:fs"

/** The processes whose working directory is below `dir` (or was, before it was removed). */
export const claudeProcesses = (dir: string): ReadonlyArray<number> =>
  processesWhere((pid) => readlinkSync(`/proc/${pid}/cwd`).startsWith(dir))

/** The processes that have an argument which begins so. */
export const processesNamed = (name: string): ReadonlyArray<number> =>
  processesWhere((pid) =>
    readFileSync(`/proc/${pid}/cmdline`, "utf8")
      .split("\0")
      .some((argument) => argument.startsWith(name)),
  )

const processesWhere = (matches: (pid: string) => boolean): ReadonlyArray<number> =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return matches(pid)
      } catch {
        return false
      }
    })
    .map(Number)
