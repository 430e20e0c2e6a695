import { Schema } from "effect"

/** What only HTTP can get wrong; everything else is in `domain/Failure.ts`. */

export class BodyNotJson extends Schema.TaggedError<BodyNotJson>()("BodyNotJson", {}) {
  readonly code = "invalid_request"
}

/** More fields than any body has: naming each would cost more than refusing all. */
export class TooManyFields extends Schema.TaggedError<TooManyFields>()("TooManyFields", {
  limit: Schema.Number,
}) {
  readonly code = "invalid_request"
}

export class BodyNotForm extends Schema.TaggedError<BodyNotForm>()("BodyNotForm", {}) {
  readonly code = "invalid_request"
}

/** What came over the socket is no HTTP request. */
export class NotHttp extends Schema.TaggedError<NotHttp>()("NotHttp", {}) {
  readonly code = "invalid_request"
}

export class HeadersTooLarge extends Schema.TaggedError<HeadersTooLarge>()("HeadersTooLarge", {}) {
  readonly code = "headers_too_large"
}

export class RequestTooSlow extends Schema.TaggedError<RequestTooSlow>()("RequestTooSlow", {}) {
  readonly code = "request_timeout"
}

export class BodyTooLarge extends Schema.TaggedError<BodyTooLarge>()("BodyTooLarge", {
  limit: Schema.Number,
}) {
  readonly code = "payload_too_large"
}

export class BodyUnreadable extends Schema.TaggedError<BodyUnreadable>()("BodyUnreadable", {}) {
  readonly code = "invalid_request"
}

export class RouteNotFound extends Schema.TaggedError<RouteNotFound>()("RouteNotFound", {}) {
  readonly code = "not_found"
}

export class MethodNotAllowed extends Schema.TaggedError<MethodNotAllowed>()("MethodNotAllowed", {
  allowed: Schema.Array(Schema.String),
}) {
  readonly code = "method_not_allowed"
}

export class NotAcceptable extends Schema.TaggedError<NotAcceptable>()("NotAcceptable", {
  offered: Schema.Array(Schema.String),
}) {
  readonly code = "not_acceptable"
}

export class UnsupportedMediaType extends Schema.TaggedError<UnsupportedMediaType>()("UnsupportedMediaType", {
  supported: Schema.Array(Schema.String),
}) {
  readonly code = "unsupported_media_type"
}

/** A bug of ours. What it was stands in the log, under the request's id. */
export class Internal extends Schema.TaggedError<Internal>()("Internal", {}) {
  readonly code = "internal"
}

export type HttpFailure =
  | BodyNotJson
  | TooManyFields
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
