import { Data } from "effect"

/** The command did not do what it was to do, and has said so. */
export class Failed extends Data.TaggedError("Failed")<{ readonly exitCode: number }> {}

/** What a script goes by: the same as the shell client's. */
export const EXIT = {
  transport: 1,
  usage: 2,
  auth: 3,
  client: 4,
  server: 5,
  /** A bug of ours, as sysexits.h has it. */
  defect: 70,
  /** What a shell makes of an interrupt itself, and of a pipe that nobody reads. */
  interrupted: 130,
  unread: 141,
} as const
