import { execFileSync, spawnSync } from "node:child_process"
import { readdirSync } from "node:fs"
import type { ServerProcess } from "./ServerProcess.ts"

/** A machine that has run out of something, for one process, by its limits. The processes that it starts have them too. */

/** Whether this machine has `prlimit`, of Linux's util-linux. */
export const canLimit = spawnSync("prlimit", ["--version"]).status === 0

const limit = ({ process: { pid } }: ServerProcess, resource: string, value: string) =>
  execFileSync("prlimit", ["--pid", String(pid), `--${resource}=${value}`])

/** A disk that is full: the system refuses all writes to files (`EFBIG`, where a full disk has `ENOSPC`). */
export const fillDisk = (server: ServerProcess) => limit(server, "fsize", "0:unlimited")

/** Takes all descriptors that are free: connections that are open go on. */
export const takeDescriptors = (server: ServerProcess) => {
  const open = new Set(readdirSync(`/proc/${server.process.pid}/fd`).map(Number))
  let free = 0
  while (open.has(free)) free += 1
  limit(server, "nofile", `${free}:`)
}

/** Gives back what the others took. */
export const relieve = (server: ServerProcess) => {
  limit(server, "fsize", "unlimited")
  limit(server, "nofile", "4096:")
}
