import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs"

/** The command line of a process, its arguments parted by NUL; of one that has ended, nothing. */
export const argumentsOf = (pid: number): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8")
  } catch {
    return ""
  }
}

/** How many bytes of memory a process has now, or had at most. */
export const memoryOf = (pid: number | undefined, what: "VmRSS" | "VmHWM"): number =>
  Number(new RegExp(`${what}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024

/** The processes whose working directory is below `dir` (or was, before it was removed). */
export const claudeProcesses = (dir: string): ReadonlyArray<number> =>
  processesThat((proc) => readlinkSync(`${proc}/cwd`).startsWith(dir))

/** Those of them that are deaf to SIGTERM by now, and are named so. */
export const deafProcesses = (dir: string): ReadonlyArray<number> =>
  processesThat(
    (proc) =>
      readlinkSync(`${proc}/cwd`).startsWith(dir) &&
      readFileSync(`${proc}/cmdline`, "utf8").startsWith("deaf"),
  )

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

/** What the service itself asks the CLIs now and then: for their versions, and whether there is a login. */
const PROBES = ["--version\0", "auth\0status\0"]

const isProbe = (command: string) => PROBES.some((probe) => command.includes(probe))

/** Every process that a service on that data directory started, or a descendant of one, but for its own probes. */
export const processesOf = (dataDir: string): ReadonlyArray<number> =>
  startedBy(dataDir, (command) => !isProbe(command))

/** What it asks the CLIs just now. */
export const probesOf = (dataDir: string): ReadonlyArray<number> => startedBy(dataDir, isProbe)

const startedBy = (dataDir: string, holds: (command: string) => boolean): ReadonlyArray<number> => {
  const { dev, ino } = statSync(dataDir)
  const marker = `CLAWDFORGE_PROCESS=${dev}-${ino}.`
  return processesThat((proc) => {
    if (!readFileSync(`${proc}/environ`).includes(marker)) return false
    const command = readFileSync(`${proc}/cmdline`, "utf8")
    // Without a command it has ended since, or becomes another program just now.
    return command !== "" && holds(command)
  })
}

/** The sockets that a process has open, each by a name of its own. */
export const socketsOf = (pid: number | undefined): ReadonlyArray<string> =>
  readdirSync(`/proc/${pid}/fd`)
    .map((fd) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${fd}`)
      } catch {
        return "closed meanwhile"
      }
    })
    .filter((target) => target.startsWith("socket:"))

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
