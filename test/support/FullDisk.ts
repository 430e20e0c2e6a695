import { execFileSync, spawnSync } from "node:child_process"
import type { ServerProcess } from "./ServerProcess.ts"

/** Whether this machine has `prlimit`, of Linux's util-linux. */
export const canFillDisk = spawnSync("prlimit", ["--version"]).status === 0

/**
 * A disk that is full, for one process: the system refuses all of its writes to files (`EFBIG`, where a full disk has
 * `ENOSPC`). Pipes and sockets go on. The processes that it starts have the limit too.
 */
const limit = ({ process: { pid } }: ServerProcess, bytes: string) =>
  execFileSync("prlimit", ["--pid", String(pid), `--fsize=${bytes}:unlimited`])

export const fillDisk = (server: ServerProcess) => limit(server, "0")
export const freeDisk = (server: ServerProcess) => limit(server, "unlimited")
