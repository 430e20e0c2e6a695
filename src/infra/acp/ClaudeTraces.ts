import { readdir, realpath, rmdir } from "node:fs/promises"
import { homedir } from "node:os"
import { join, resolve } from "node:path"
import { Schema } from "effect"
import { SessionId } from "../../domain/Ids.ts"

/** Longer names are cut by the CLI, and end with a hash. */
const NAME_MAX_CHARS = 200

/** The empty directories that `claude` leaves of sessions in its home. */
export interface ClaudeTraces {
  /**
   * Removes those of a session that is not open. The transcript is the CLI's own, and is not touched: its directory
   * goes once the CLI has deleted the transcript.
   */
  readonly remove: (session: SessionId) => Promise<void>
  /** Returns the sessions whose directory for transcripts is empty. */
  readonly list: () => Promise<ReadonlyArray<SessionId>>
}

/** The traces of sessions whose directories are in `root`, in the home that `claude` gets by `env`. */
export const claudeTraces = (root: string, env: Readonly<Record<string, string>>): ClaudeTraces => {
  const home = env["CLAUDE_CONFIG_DIR"] ?? join(env["HOME"] ?? homedir(), ".claude")
  const projects = join(home, "projects")
  // The CLI names a directory of transcripts by its working directory.
  const prefix = async () => {
    const path = await realpath(root).catch(() => resolve(root))
    return `${path.replace(/[^a-zA-Z0-9]/g, "-")}-`
  }

  return {
    remove: async (session) => {
      const name = `${await prefix()}${session}`
      if (isCut(name)) return
      const dir = join(projects, name)
      // A conversation has a file `ID.jsonl`, or a directory `ID`, and a directory for its environment.
      const ids = (await namesIn(dir)).map((entry) => entry.replace(/\.jsonl$/, "")).filter(isId)
      for (const id of ids) await removeEmpty(join(home, "session-env", id))
      await removeEmpty(dir)
    },
    list: async () => {
      const start = await prefix()
      const sessions = (await namesIn(projects))
        .filter((name) => name.startsWith(start) && !isCut(name))
        .map((name) => name.slice(start.length))
        .filter(isId)
      const empty = await Promise.all(
        sessions.map(async (session) => (await namesIn(join(projects, `${start}${session}`))).length === 0),
      )
      return sessions.filter((_, index) => empty[index])
    },
  }
}

const isCut = (name: string): boolean => name.length > NAME_MAX_CHARS

const isId = Schema.is(SessionId)

const namesIn = (dir: string): Promise<ReadonlyArray<string>> => readdir(dir).catch(() => [])

/** One that is gone, is not empty or is not ours stays as it is. */
const removeEmpty = (dir: string): Promise<void> => rmdir(dir).catch(() => {})
