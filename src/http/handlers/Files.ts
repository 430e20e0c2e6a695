import { HttpApiBuilder, type HttpServerRequest } from "@effect/platform"
import { Effect, Option, Redacted } from "effect"
import { UploadAnswer } from "../../domain/File.ts"
import type { TokenId } from "../../domain/Ids.ts"
import type { Origin } from "../../domain/Origin.ts"
import { Files } from "../../services/files/Files.ts"
import { Idempotency, type KeyOfRequest } from "../../services/runs/Idempotency.ts"
import { RunEngine } from "../../services/runs/RunEngine.ts"
import { Api } from "../Api.ts"
import { CurrentApp } from "../groups/Auth.ts"
import { keyOf, markReplayed } from "../IdempotentRequests.ts"
import { RequestBody } from "../RequestBody.ts"
import { orProblem } from "../RequestContext.ts"
import { checkType, leastSize, received } from "../UploadForm.ts"

type Request = HttpServerRequest.HttpServerRequest

export const FilesHandlers = HttpApiBuilder.group(Api, "files", (handlers) =>
  Effect.gen(function* () {
    const body = yield* RequestBody
    const files = yield* Files
    const idempotency = yield* Idempotency
    const engine = yield* RunEngine

    /** Stores the file of a form, once for each key. */
    const receive = (request: Request, owner: TokenId, origin: Origin, key: KeyOfRequest | undefined) =>
      Effect.gen(function* () {
        const upload = yield* files.receive(owner, leastSize(request))
        const form = yield* received(body.form(request), upload)
        const fields = { ...form }
        return yield* idempotency.once({ key, fields, origin }, UploadAnswer, (origin) =>
          Effect.map(upload.keep(form.name, form.ttlSecs, origin), ({ token, file }) => ({
            token,
            size: file.size,
            ttlSecs: form.ttlSecs,
          })),
        )
      })

    return handlers.handleRaw("upload", ({ request, headers }) =>
      Effect.gen(function* () {
        const { token, origin } = yield* CurrentApp
        yield* checkType(request)
        yield* engine.accepting
        const key = keyOf(headers, token.id, "POST /files")
        const stored = key === undefined ? Option.none() : yield* idempotency.find(key)
        const result = yield* Option.match(stored, {
          onNone: () => receive(request, token.id, origin, key),
          // A replay stores nothing, so it works also for an app whose quota is used up.
          onSome: (stored) =>
            Effect.flatMap(files.measure, (arriving) => received(body.form(request), arriving)).pipe(
              Effect.flatMap((form) => idempotency.replay(stored, { ...form }, UploadAnswer)),
            ),
        })
        const answer = yield* markReplayed(result)
        return { file_token: Redacted.value(answer.token), ttl_secs: answer.ttlSecs, size: answer.size }
      }).pipe(Effect.scoped, orProblem),
    )
  }),
)
