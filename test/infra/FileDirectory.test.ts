import { join } from "node:path"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import type { FileId } from "../../src/domain/Ids.ts"
import * as FileDirectory from "../../src/infra/FileDirectory.ts"
import { FileContents } from "../../src/services/files/FileContents.ts"
import { temporaryDirectory } from "../support/TestServer.ts"

const id = "0".repeat(26) as FileId
const missing = "1".repeat(26) as FileId

it.scopedLive("tells a file that is missing from a directory that is", () =>
  Effect.gen(function* () {
    const dir = yield* temporaryDirectory
    yield* Effect.gen(function* () {
      const contents = yield* FileContents
      yield* Effect.scoped(Effect.flatMap(contents.create(id), ({ keep }) => keep))
      expect(yield* contents.copy(id, dir, "a.txt")).toBe(join(dir, "a.txt"))
      expect(yield* Effect.flip(contents.copy(missing, dir, "b.txt"))).toMatchObject({ _tag: "FileNotFound" })
      const nowhere = join(dir, "nowhere")
      expect(yield* Effect.flip(contents.copy(id, nowhere, "c.txt"))).toMatchObject({ _tag: "StorageFailed" })
    }).pipe(Effect.provide(FileDirectory.layer(join(dir, "files"))))
  }),
)
