import { Schema } from "effect"

/** The failures that only HTTP has. All others are in `domain/Failure.ts`. */

/** The body is not JSON: it is empty, not in UTF-8, or breaks JSON's grammar. */
export class BodyNotJson extends Schema.TaggedError<BodyNotJson>()("BodyNotJson", {
  because: Schema.Literal("empty", "encoding", "grammar"),
}) {
  readonly code = "invalid_request"
}

/** The body has more fields than any valid body. It is refused as a whole: to name each field would cost too much. */
export class TooManyFields extends Schema.TaggedError<TooManyFields>()("TooManyFields", {
  limit: Schema.Number,
}) {
  readonly code = "invalid_request"
}

/** The body has more levels or values than any valid body. It is refused while it arrives, before it is parsed. */
export class BodyTooComplex extends Schema.TaggedError<BodyTooComplex>()("BodyTooComplex", {
  levels: Schema.Number,
  values: Schema.Number,
}) {
  readonly code = "invalid_request"
}

/** The body is not a well-formed multipart form. */
export class BodyNotForm extends Schema.TaggedError<BodyNotForm>()("BodyNotForm", {}) {
  readonly code = "invalid_request"
}

/** The bytes on the socket are not an HTTP request. */
export class NotHttp extends Schema.TaggedError<NotHttp>()("NotHttp", {}) {
  readonly code = "invalid_request"
}

/** The headers exceed Node's limit. */
export class HeadersTooLarge extends Schema.TaggedError<HeadersTooLarge>()("HeadersTooLarge", {}) {
  readonly code = "headers_too_large"
}

/** The headers or the body did not arrive in time. */
export class RequestTooSlow extends Schema.TaggedError<RequestTooSlow>()("RequestTooSlow", {}) {
  readonly code = "request_timeout"
}

/** The body exceeds the limit of its route, in bytes. */
export class BodyTooLarge extends Schema.TaggedError<BodyTooLarge>()("BodyTooLarge", {
  limit: Schema.Number,
}) {
  readonly code = "payload_too_large"
}

/** The connection failed before the whole body was there. */
export class BodyUnreadable extends Schema.TaggedError<BodyUnreadable>()("BodyUnreadable", {}) {
  readonly code = "invalid_request"
}

/** No route has that path. */
export class RouteNotFound extends Schema.TaggedError<RouteNotFound>()("RouteNotFound", {}) {
  readonly code = "not_found"
}

/** Routes have that path, for other methods. */
export class MethodNotAllowed extends Schema.TaggedError<MethodNotAllowed>()("MethodNotAllowed", {
  allowed: Schema.Array(Schema.String),
}) {
  readonly code = "method_not_allowed"
}

/** The request's `Accept` allows no media type of its route. */
export class NotAcceptable extends Schema.TaggedError<NotAcceptable>()("NotAcceptable", {
  offered: Schema.Array(Schema.String),
}) {
  readonly code = "not_acceptable"
}

/** The body has another media type or charset than its route reads, is a form without a boundary, or is compressed. */
export class UnsupportedMediaType extends Schema.TaggedError<UnsupportedMediaType>()("UnsupportedMediaType", {
  because: Schema.Literal("media_type", "charset", "boundary", "compressed"),
  supported: Schema.String,
}) {
  readonly code = "unsupported_media_type"
}

/** A bug of the service. The log has its cause, under the request's id. */
export class Internal extends Schema.TaggedError<Internal>()("Internal", {}) {
  readonly code = "internal"
}

export type HttpFailure =
  | BodyNotJson
  | TooManyFields
  | BodyTooComplex
  | BodyNotForm
  | NotHttp
  | HeadersTooLarge
  | RequestTooSlow
  | BodyTooLarge
  | BodyUnreadable
  | RouteNotFound
  | MethodNotAllowed
  | NotAcceptable
  | UnsupportedMediaType
  | Internal
