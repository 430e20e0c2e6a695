import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs"

/** The processes whose working directory is below `dir` (or was, before it was removed). */
export const claudeProcesses = (dir: string): ReadonlyArray<number> =>
  processesThat((proc) => readlinkSync(`${proc}/cwd`).startsWith(dir))

/** The processes that have an argument which begins so. */
export const processesNamed = (name: string): ReadonlyArray<number> =>
  processesThat((proc) =>
    readFileSync(`${proc}/cmdline`, "utf8")
      .split("\0")
      .some((argument) => argument.startsWith(name)),
  )

/** The processes that were started with this text somewhere in their environment. */
export const processesGiven = (text: string): ReadonlyArray<number> =>
  processesThat((proc) => readFileSync(`${proc}/environ`).includes(text))

/**
 * Every process that a service on that data directory started, or a descendant of one, but for its own question whether
 * there is a login, which it asks now and then.
 */
export const processesOf = (dataDir: string): ReadonlyArray<number> => {
  const { dev, ino } = statSync(dataDir)
  const marker = `CLAWDFORGE_PROCESS=${dev}-${ino}.`
  return processesThat(
    (proc) =>
      readFileSync(`${proc}/environ`).includes(marker) &&
      !readFileSync(`${proc}/cmdline`).includes("auth\0status\0"),
  )
}

const processesThat = (holds: (proc: string) => boolean): ReadonlyArray<number> =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return holds(`/proc/${pid}`)
      } catch {
        return false
      }
    })
    .map(Number)
