import { constants, existsSync, type PathLike } from "node:fs"
import { chmod, copyFile, mkdir, open, readdir, rm } from "node:fs/promises"
import { join, resolve } from "node:path"
import { Effect, Layer, Schema } from "effect"
import { FileNotFound, StorageFailed } from "../domain/Failure.ts"
import { FileId } from "../domain/Ids.ts"
import { FileContents } from "../services/files/FileContents.ts"
import { tryStorage } from "./TryStorage.ts"

const removeFile = (path: PathLike) => tryStorage("removing an upload", () => rm(path, { force: true }))

/**
 * Keeps uploads as files under `root`, each named by its id, with mode 0600. When the layer is built, it makes `root`
 * with mode 0700.
 */
export const layer = (root: string): Layer.Layer<FileContents, StorageFailed> =>
  Layer.scoped(
    FileContents,
    Effect.gen(function* () {
      yield* tryStorage("making the directory of all uploads", () =>
        mkdir(root, { recursive: true, mode: 0o700 }),
      )
      const arriving = new Set<string>()
      // When the service stops, the HTTP server breaks off its requests and does not wait for their finalizers.
      yield* Effect.addFinalizer(() => Effect.forEach(arriving, discard, { discard: true }))
      return fileContents(resolve(root), arriving)
    }),
  )

const discard = (path: string) =>
  Effect.catchAll(removeFile(path), ({ cause }) =>
    Effect.logWarning("a broken upload was not removed", cause),
  )

const fileContents = (root: string, arriving: Set<string>) =>
  FileContents.of({
    create: (id) =>
      Effect.gen(function* () {
        const path = join(root, id)
        arriving.add(path)
        yield* Effect.addFinalizer(() =>
          arriving.has(path)
            ? Effect.zipRight(
                discard(path),
                Effect.sync(() => arriving.delete(path)),
              )
            : Effect.void,
        )
        const handle = yield* Effect.acquireRelease(
          tryStorage("making an upload's file", () => open(path, "wx", 0o600)),
          // Node allows closing a file twice.
          (handle) => Effect.promise(() => handle.close()),
        )
        return {
          write: (bytes) => tryStorage("writing an upload", () => handle.writeFile(bytes)),
          sync: tryStorage("writing an upload", () => handle.sync()),
          keep: Effect.sync(() => void arriving.delete(path)),
        }
      }),

    copy: (id, dir, name) => {
      const path = join(dir, name)
      const copying = Effect.tryPromise({
        // FICLONE: file systems that can, share the blocks of the two files. The copy is an independent file anyway.
        try: async () => {
          await copyFile(join(root, id), path, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL)
          await chmod(path, 0o600)
          return path
        },
        catch: (cause) =>
          // The directory may be missing, which is no fault of the file's.
          (cause as NodeJS.ErrnoException).code === "ENOENT" && !existsSync(join(root, id))
            ? new FileNotFound()
            : new StorageFailed({ during: "attaching a file", cause }),
      })
      // Node finishes a copy in any case, and a later removal of the directory must not run at the same time.
      return Effect.uninterruptible(copying)
    },

    remove: (id) => removeFile(join(root, id)),

    list: Effect.map(
      tryStorage("listing uploads", () => readdir(root)),
      (names) => names.filter(Schema.is(FileId)),
    ),
  })
