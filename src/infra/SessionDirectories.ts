import { chmod, lstat, mkdir, mkdtemp, readdir, rm } from "node:fs/promises"
import { join, resolve } from "node:path"
import { Effect, Layer, Schema } from "effect"
import type { StorageFailed } from "../domain/Failure.ts"
import { SessionId } from "../domain/Ids.ts"
import { SessionDirs } from "../services/sessions/SessionDirs.ts"
import { type ClaudeTraces, claudeTraces } from "./acp/ClaudeTraces.ts"
import { removeTree } from "./RemoveTree.ts"
import { tryStorage } from "./TryStorage.ts"

/** Uninterruptible: Node finishes what it has begun in any case, and a later removal must not run at the same time. */
const tryStorageToEnd = <A>(during: string, act: () => Promise<A>) =>
  Effect.uninterruptible(tryStorage(during, act))

const hasCode = (error: unknown, ...codes: ReadonlyArray<string>): boolean =>
  codes.includes((error as NodeJS.ErrnoException).code ?? "")

/**
 * Keeps one directory for each session under `root`, with mode 0700. When the layer is built, it makes `root`. Entries
 * of `root` that are not named like a session are left alone.
 *
 * A session's directory is removed with the empty directories that `claude` leaves of it in its home, which `claude` gets
 * by `env`.
 *
 * An agent may put anything into its session's directory. So nothing is written through a link in it, and nothing
 * behind a link is removed.
 */
export const layer = (
  root: string,
  env: Readonly<Record<string, string>> = {},
): Layer.Layer<SessionDirs, StorageFailed> =>
  Layer.effect(
    SessionDirs,
    Effect.as(
      tryStorageToEnd("making the directory of all sessions", () =>
        mkdir(root, { recursive: true, mode: 0o700 }),
      ),
      sessionDirs(resolve(root), claudeTraces(root, env)),
    ),
  )

const sessionDirs = (root: string, traces: ClaudeTraces) => {
  const of = (session: SessionId) => join(root, session)
  return SessionDirs.of({
    of,
    make: (session) => tryStorageToEnd("making a session's directory", () => makeOurs(of(session))),
    forFiles: (session, turnIndex) =>
      tryStorageToEnd("making a directory for a turn's files", async () => {
        await makeOurs(of(session))
        return await makeNew(join(of(session), `attached-${turnIndex}`))
      }),
    remove: (session) =>
      tryStorageToEnd("removing a session's directory", async () => {
        await removeTree(of(session))
        await traces.remove(session)
      }),
    list: tryStorageToEnd("listing the sessions' directories", async () => {
      const entries = await readdir(root, { withFileTypes: true })
      const sessions = entries
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => name)
        .filter(Schema.is(SessionId))
      return [...new Set([...sessions, ...(await traces.list())])]
    }),
  })
}

const isDirectory = async (path: string) => (await lstat(path)).isDirectory()

/** Makes a directory that is ours. If an agent has changed its mode, or replaced it by something else, that is undone. */
const makeOurs = async (path: string) => {
  try {
    return await mkdir(path, { mode: 0o700 })
  } catch (error) {
    if (!hasCode(error, "EEXIST")) throw error
  }
  if (await isDirectory(path)) return await chmod(path, 0o700)
  await rm(path, { force: true })
  await mkdir(path, { mode: 0o700 })
}

/** Makes a new directory. When something is at that path, the name gets a suffix that cannot be predicted. */
const makeNew = async (path: string) => {
  try {
    await mkdir(path, { mode: 0o700 })
    return path
  } catch (error) {
    if (!hasCode(error, "EEXIST")) throw error
    return await mkdtemp(`${path}-`)
  }
}
