import { Schema } from "effect"

/** What only HTTP can get wrong; everything else is in `domain/Failure.ts`. */

export class BodyNotJson extends Schema.TaggedError<BodyNotJson>()("BodyNotJson", {}) {
  readonly code = "invalid_request"
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
  | BodyTooLarge
  | BodyUnreadable
  | RouteNotFound
  | MethodNotAllowed
  | NotAcceptable
  | UnsupportedMediaType
  | Internal
