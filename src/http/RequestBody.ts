import { HttpServerRequest } from "@effect/platform"
import { Context, Effect } from "effect"
import { BodyNotJson, type BodyTooLarge, type BodyUnreadable, UnsupportedMediaType } from "./HttpFailure.ts"

const unsupported = Effect.suspend(() => new UnsupportedMediaType({ supported: ["application/json"] }))

/** Port: a request's body as text, read only up to a limit. */
export class RequestBody extends Context.Tag("clawdforge/http/RequestBody")<
  RequestBody,
  {
    readonly text: (
      request: HttpServerRequest.HttpServerRequest,
    ) => Effect.Effect<string, BodyTooLarge | BodyUnreadable>
  }
>() {}

/**
 * The request with a body that is JSON and bounded, or a failure of ours. The framework's own has no working
 * limit, answers broken JSON with an empty 400, and takes any media type for a JSON route. The body is read when a
 * route asks for it, which is after admission.
 */
export const withJsonBody = (
  request: HttpServerRequest.HttpServerRequest,
  body: Context.Tag.Service<RequestBody>,
): HttpServerRequest.HttpServerRequest => {
  const json = Effect.flatMap(body.text(request), (text) =>
    Effect.try({ try: () => JSON.parse(text) as unknown, catch: () => new BodyNotJson() }),
  )
  return Object.create(request, {
    json: { value: json },
    text: { value: unsupported },
    arrayBuffer: { value: unsupported },
    urlParamsBody: { value: unsupported },
    multipart: { value: unsupported },
  }) as HttpServerRequest.HttpServerRequest
}
