import { FileSystem } from "@effect/platform"
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Effect, Stream } from "effect"
import { decodeUtf8 } from "../infra/Utf8.ts"

/** The text of a file of the user's. Fails with a sentence that names the file and the reason. */
export const readTextFile = (path: string): Effect.Effect<string, Error, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const bytes = yield* Effect.mapError(fs.readFile(path), () => new Error(`${path} cannot be read`))
    return yield* textOf(path, bytes)
  })

/** The text of standard input. Fails with a sentence if it is not UTF-8. */
export const readStdin = Effect.gen(function* () {
  const chunks = yield* Stream.runCollect(NodeStream.stdin)
  return yield* textOf("standard input", Buffer.concat([...chunks]))
})

const textOf = (name: string, bytes: Uint8Array) =>
  Effect.mapError(decodeUtf8(bytes), (reason) => new Error(`${name} ${reason}`))
