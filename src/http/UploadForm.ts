import type { HttpServerRequest } from "@effect/platform"
import { Effect, Schema, Stream } from "effect"
import { InvalidRequest, type Issue } from "../domain/Failure.ts"
import { FILE_TTL_DEFAULT_SECS, FILE_TTL_EXPECTED, FileTtlSecs } from "../domain/File.ts"
import type { Arriving } from "../services/files/Uploads.ts"
import { checkUncompressed, type FormPart, issueAt, unsupported } from "./RequestBody.ts"

/** The multipart form of an upload. */

const FORM_TYPE = "multipart/form-data"

/** Fails with `UnsupportedMediaType` unless the request is an uncompressed multipart form with a boundary. */
export const checkType = ({ headers }: HttpServerRequest.HttpServerRequest) => {
  const type = headers["content-type"] ?? ""
  if (!/^multipart\/form-data\s*(;|$)/i.test(type)) return unsupported("media_type", FORM_TYPE)
  if (!/;\s*boundary=("[^"]+"|[^";\s]+)/i.test(type)) return unsupported("boundary", FORM_TYPE)
  return checkUncompressed(headers, FORM_TYPE)
}

/** More bytes than boundaries, headers and other fields of a form usually take. A form that has more needs more quota. */
const FORM_OVERHEAD_ESTIMATE_BYTES = 4096

/** The smallest size in bytes that the file can have, by `Content-Length`; 0 without that header. */
export const leastSize = ({ headers }: HttpServerRequest.HttpServerRequest): number =>
  Math.max(0, Number(headers["content-length"] ?? 0) - FORM_OVERHEAD_ESTIMATE_BYTES)

/**
 * Reads the form part by part: writes its file to the upload, and returns the file's name, SHA-256 and time to live.
 * Fails with `InvalidRequest` on a missing, repeated, unknown or malformed field.
 */
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
          ttlSecs = yield* parseTtl(part.value)
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

const parseTtl = (text: string) => {
  const secs = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN
  return Schema.is(FileTtlSecs)(secs) ? Effect.succeed(secs) : invalid(["ttl_secs"], FILE_TTL_EXPECTED)
}

const invalid = (path: Issue["path"], message: string) =>
  new InvalidRequest({ issues: [issueAt(path, message)] })
