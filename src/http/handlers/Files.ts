import { HttpApiBuilder, type HttpServerRequest } from "@effect/platform"
import { Effect, Option, Redacted } from "effect"
import { KeptUpload } from "../../domain/File.ts"
import type { TokenId } from "../../domain/Ids.ts"
import type { Origin } from "../../domain/Token.ts"
import { Files } from "../../services/files/Files.ts"
import { Idempotency, type Keyed } from "../../services/runs/Idempotency.ts"
import { LiveRuns } from "../../services/runs/RunEngine.ts"
import { Api } from "../Api.ts"
import { CurrentApp } from "../groups/Auth.ts"
import { answerOf, keyedBy } from "../Idempotency.ts"
import { RequestBody } from "../RequestBody.ts"
import { orProblem } from "../RequestContext.ts"
import { checkType, leastSize, received } from "../UploadForm.ts"

type Request = HttpServerRequest.HttpServerRequest

export const FilesHandlers = HttpApiBuilder.group(Api, "files", (handlers) =>
  Effect.gen(function* () {
    const body = yield* RequestBody
    const files = yield* Files
    const idempotency = yield* Idempotency
    const runs = yield* LiveRuns

    const uploaded = (request: Request, owner: TokenId, origin: Origin, keyed: Keyed | undefined) =>
      Effect.gen(function* () {
        const upload = yield* files.receive(owner, leastSize(request))
        const form = yield* received(body.form(request), upload)
        return yield* idempotency.once(keyed && { ...keyed, asked: form }, KeptUpload, (claim) =>
          Effect.map(upload.keep(form.name, form.ttlSecs, origin, claim), ({ token, file }) => ({
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
        yield* runs.accepting
        const keyed = keyedBy(headers, token.id, "POST /files")
        const kept = keyed === undefined ? Option.none() : yield* idempotency.kept(keyed)
        const answered = yield* Option.match(kept, {
          onNone: () => uploaded(request, token.id, origin, keyed),
          // What is there already needs no room: an app that has none left may still ask again.
          onSome: (kept) =>
            Effect.flatMap(files.measure, (arriving) => received(body.form(request), arriving)).pipe(
              Effect.flatMap((form) => idempotency.again(kept, form, KeptUpload)),
            ),
        })
        const answer = yield* answerOf(answered)
        return { file_token: Redacted.value(answer.token), ttl_secs: answer.ttlSecs, size: answer.size }
      }).pipe(Effect.scoped, orProblem),
    )
  }),
)
