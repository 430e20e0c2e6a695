import { chmod, lstat, mkdir, mkdtemp, readdir, rm } from "node:fs/promises"
import { join, resolve } from "node:path"
import { Effect, Layer, Schema } from "effect"
import { StorageFailed } from "../domain/Failure.ts"
import { SessionId } from "../domain/Ids.ts"
import { SessionDirs } from "../services/sessions/SessionDirs.ts"

/** What Node has begun it does to its end: whoever removes a directory next must not meet it. */
const storing = <A>(during: string, act: () => Promise<A>) =>
  Effect.uninterruptible(
    Effect.tryPromise({ try: act, catch: (cause) => new StorageFailed({ during, cause }) }),
  )

const hasCode = (error: unknown, ...codes: ReadonlyArray<string>): boolean =>
  codes.includes((error as NodeJS.ErrnoException).code ?? "")

/**
 * A directory a session under `root`, mode 0700. That `root` can be made is seen at the start; what is in it and is
 * not named as a session is left alone.
 *
 * What is in a session's directory is its agent's doing. Nothing is written through a link that it left there, and
 * nothing behind one is removed.
 */
export const layer = (root: string): Layer.Layer<SessionDirs, StorageFailed> =>
  Layer.effect(
    SessionDirs,
    Effect.as(
      storing("making the directory of all sessions", () => mkdir(root, { recursive: true, mode: 0o700 })),
      sessionDirs(resolve(root)),
    ),
  )

const sessionDirs = (root: string) => {
  const of = (session: SessionId) => join(root, session)
  return SessionDirs.of({
    of,
    make: (session) => storing("making a session's directory", () => makeOurs(of(session))),
    forFiles: (session, turnIndex) =>
      storing("making a directory for a turn's files", async () => {
        await makeOurs(of(session))
        return await makeNew(join(of(session), `attached-${turnIndex}`))
      }),
    remove: (session) => storing("removing a session's directory", () => removeTree(of(session))),
    list: storing("listing the sessions' directories", async () => {
      const entries = await readdir(root, { withFileTypes: true })
      return entries
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => name)
        .filter(Schema.is(SessionId))
    }),
  })
}

const isDirectory = async (path: string) => (await lstat(path)).isDirectory()

/** Makes it, or makes it ours again: an agent may have taken our rights from it, or put something else in its place. */
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

/** Makes a directory that was not there: of another name, which nobody can foresee, when something is in the way. */
const makeNew = async (path: string) => {
  try {
    await mkdir(path, { mode: 0o700 })
    return path
  } catch (error) {
    if (!hasCode(error, "EEXIST")) throw error
    return await mkdtemp(`${path}-`)
  }
}

const removeTree = async (path: string) => {
  const remove = () => rm(path, { recursive: true, force: true, maxRetries: 3 })
  try {
    await remove()
  } catch (error) {
    if (!hasCode(error, "EACCES", "EPERM")) throw error
    await unlock(path)
    await remove()
  }
}

/** Gives us back our rights to every directory of a tree; what is a link is not part of it. */
const unlock = async (path: string): Promise<void> => {
  if (!(await isDirectory(path))) return
  await chmod(path, 0o700)
  const entries = await readdir(path, { withFileTypes: true })
  for (const entry of entries) if (entry.isDirectory()) await unlock(join(path, entry.name))
}
