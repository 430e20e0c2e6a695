import { readdirSync, readlinkSync } from "node:fs"

/** The processes whose working directory is below `dir` (or was, before it was removed). */
export const claudeProcesses = (dir: string): ReadonlyArray<number> =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readlinkSync(`/proc/${pid}/cwd`).startsWith(dir)
      } catch {
        return false
      }
    })
    .map(Number)
