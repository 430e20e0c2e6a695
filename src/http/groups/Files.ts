import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, Multipart, OpenApi } from "@effect/platform"
import { Schema } from "effect"
import { FileTtlSecs } from "../../domain/File.ts"
import { AppAuth } from "./Auth.ts"
import { IdempotencyHeaders } from "./IdempotencyHeaders.ts"
import { KnownQuery } from "./KnownQuery.ts"
import { problems } from "./Problems.ts"

const UploadForm = HttpApiSchema.Multipart(
  Schema.Struct({
    // A binary field. From the framework's own schema, a generator would make a list of paths on the server.
    file: Multipart.SingleFileSchema.annotations({
      jsonSchema: {
        type: "string",
        format: "binary",
        contentMediaType: "application/octet-stream",
        description: "The file, with a file name.",
      },
    }),
    ttl_secs: Schema.optional(FileTtlSecs),
  }),
)

const UploadedFile = Schema.Struct({
  file_token: Schema.String.annotations({
    description: "What `files` of a prompt takes. It is shown here and never again.",
  }),
  ttl_secs: Schema.Int,
  size: Schema.Int.annotations({ description: "Bytes." }),
}).annotations({
  identifier: "UploadedFile",
  examples: [{ file_token: "ff_2Vt0Vx1yW3yVJ8m0x1y2z3a4b5c6d7e8f9g0h1i2j3k", ttl_secs: 3600, size: 12345 }],
})

export class FilesGroup extends HttpApiGroup.make("files")
  .add(
    HttpApiEndpoint.post("upload", "/files")
      .setPayload(UploadForm)
      .setHeaders(IdempotencyHeaders)
      .addSuccess(UploadedFile)
      .addError(
        problems(
          "BodyNotForm",
          "BodyTooLarge",
          "FileTooLarge",
          "UnsupportedMediaType",
          "RequestTooSlow",
          "QuotaExceeded",
          "IdempotencyConflict",
          "ShuttingDown",
          "StorageFailed",
        ),
      )
      .annotate(OpenApi.Summary, "Upload a file for prompts of this app"),
  )
  .middleware(KnownQuery)
  .middleware(AppAuth)
  .annotate(
    OpenApi.Description,
    "Files for prompts. Each is seen by the app that uploaded it, and no other.",
  ) {}
