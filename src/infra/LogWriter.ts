import type { Writable } from "node:stream"
import type { LogState } from "../services/upkeep/Logs.ts"
import { Option } from "effect"

/** How many bytes may wait for a slow reader of the log. */
const WAITING_MAX_BYTES = 1024 * 1024

/** Writes the lines of a log, and outlives a log that cannot be written. */
export interface LogWriter {
  /** Writes a line. A line that cannot be written is lost and counted. Never fails, never waits. */
  readonly write: (line: string) => void
  readonly state: () => LogState
  /** Returns how many lines were lost before the log could be written again, and forgets them; else 0. */
  readonly takeLost: () => number
}

/**
 * Makes the writer of a stream such as stdout. Node keeps stdout and stderr open after a failed write, so each line tries
 * again: a disk may have room again, a named pipe a new reader.
 *
 * Lines are dropped while a reader that stands still leaves a mebibyte unread: Node would keep them all in memory.
 */
export const make = (stream: Writable, waitingMaxBytes = WAITING_MAX_BYTES): LogWriter => {
  let failure: string | undefined
  let lost = 0
  const lose = (reason: string) => {
    lost += 1
    // The lines that waited behind a failed one are destroyed: the first reason is the true one.
    if (failure === undefined || reason !== "ERR_STREAM_DESTROYED") failure = reason
  }
  // Without a listener, the event would end the process. The callback of each write has the error too.
  stream.on("error", () => {})
  return {
    write: (line) => {
      if (stream.writableLength > waitingMaxBytes) return lose("its reader does not keep up")
      stream.write(`${line}\n`, (error) => {
        if (error) lose((error as NodeJS.ErrnoException).code ?? error.message)
        else failure = undefined
      })
    },
    state: () => ({ failure: Option.fromNullable(failure), lostLines: lost }),
    takeLost: () => {
      if (failure !== undefined) return 0
      const count = lost
      lost = 0
      return count
    },
  }
}
