import { Data } from "effect"

/** The command failed, and its message is printed already. */
export class Failed extends Data.TaggedError("Failed")<{ readonly exitCode: number }> {}

/** Exit codes, for scripts. 1 to 5 are the same as those of the shell client `cf`. */
export const EXIT = {
  transport: 1,
  usage: 2,
  auth: 3,
  client: 4,
  server: 5,
  /** A bug of clawdforge: EX_SOFTWARE of sysexits.h. */
  defect: 70,
  /** The codes that a shell reports for SIGINT, and for SIGPIPE. */
  interrupted: 130,
  unread: 141,
} as const
