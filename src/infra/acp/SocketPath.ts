import { closeSync, constants, openSync } from "node:fs"
import { basename, dirname } from "node:path"

/** The kernel takes paths of sockets up to 107 bytes (macOS: 103), and no longer ones. */
const PATH_MAX_BYTES = 103

/**
 * Gives `use` a path for the socket at `path` that the kernel takes, however long `path` is. It is valid until `done` is
 * called. Without /proc, a path that is too long stays as it is.
 */
export const socketPath = (path: string): { readonly path: string; readonly done: () => void } => {
  if (Buffer.byteLength(path) <= PATH_MAX_BYTES || process.platform !== "linux")
    return { path, done: () => {} }
  const directory = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY)
  return { path: `/proc/self/fd/${directory}/${basename(path)}`, done: () => closeSync(directory) }
}
