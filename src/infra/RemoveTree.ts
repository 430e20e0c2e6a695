import { chmod, lstat, readdir, rm } from "node:fs/promises"
import { join } from "node:path"

/**
 * Removes a directory and its contents, also directories in it that their owner may not write to. Links are removed and
 * not followed. Does nothing when there is no such directory.
 */
export const removeTree = async (path: string): Promise<void> => {
  const remove = () => rm(path, { recursive: true, force: true, maxRetries: 3 })
  try {
    await remove()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== "EACCES" && code !== "EPERM") throw error
    await unlock(path)
    await remove()
  }
}

/** Sets the mode of every directory in a tree to 0700. Links are not followed. */
const unlock = async (path: string): Promise<void> => {
  if (!(await lstat(path)).isDirectory()) return
  await chmod(path, 0o700)
  const entries = await readdir(path, { withFileTypes: true })
  for (const entry of entries) if (entry.isDirectory()) await unlock(join(path, entry.name))
}
