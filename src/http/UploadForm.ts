import type { HttpServerRequest } from "@effect/platform"
import { Effect, Schema, Stream } from "effect"
import { InvalidRequest, type Issue } from "../domain/Failure.ts"
import { FILE_TTL_DEFAULT_SECS, FILE_TTL_EXPECTED, FileTtlSecs } from "../domain/File.ts"
import type { Arriving } from "../services/files/Receiving.ts"
import { UnsupportedMediaType } from "./HttpFailure.ts"
import { type FormPart, issueAt, isUncompressed } from "./RequestBody.ts"

/** The form that brings an upload. */

export const checkType = ({ headers }: HttpServerRequest.HttpServerRequest) =>
  /^multipart\/form-data\s*;(.*;)?\s*boundary=("[^"]+"|[^";\s]+)/i.test(headers["content-type"] ?? "") &&
  isUncompressed(headers)
    ? Effect.void
    : new UnsupportedMediaType({ supported: ["multipart/form-data"] })

/** What a form may need around its file. */
const AROUND_MAX_BYTES = 4096

/** What a body of that length brings at least; of one without a length nothing is known. */
export const leastSize = ({ headers }: HttpServerRequest.HttpServerRequest): number =>
  Math.max(0, Number(headers["content-length"] ?? 0) - AROUND_MAX_BYTES)

/** Takes the form in as it comes: its one file into the upload, its one field into the answer. */
export const received = <E, R>(parts: Stream.Stream<FormPart, E, R>, upload: Arriving) =>
  Effect.gen(function* () {
    let name: string | undefined
    let ttlSecs: number | undefined
    yield* Stream.runForEach(
      parts,
      Effect.fnUntraced(function* (part: FormPart) {
        if (part._tag === "FileBytes") return yield* upload.write(part.bytes)
        if (part.name !== "file" && part.name !== "ttl_secs") {
          return yield* invalid([part.name], "is not a known field")
        }
        if (part._tag === "Field") {
          if (part.name === "file") return yield* invalid(["file"], "must be a file, with a file name")
          if (ttlSecs !== undefined) return yield* invalid(["ttl_secs"], "is there twice")
          ttlSecs = yield* ttlOf(part.value)
        } else {
          if (part.name !== "file") return yield* invalid([part.name], "is not a file")
          if (name !== undefined) return yield* invalid(["file"], "is there twice")
          name = part.filename
        }
      }),
    )
    if (name === undefined) return yield* invalid(["file"], "is missing")
    return { name, ttlSecs: ttlSecs ?? FILE_TTL_DEFAULT_SECS, sha256: yield* upload.sha256 }
  })

const ttlOf = (text: string) => {
  const secs = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN
  return Schema.is(FileTtlSecs)(secs) ? Effect.succeed(secs) : invalid(["ttl_secs"], FILE_TTL_EXPECTED)
}

const invalid = (path: Issue["path"], message: string) =>
  new InvalidRequest({ issues: [issueAt(path, message)] })
