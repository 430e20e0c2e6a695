import type { HttpServerRequest } from "@effect/platform"
import { Context } from "effect"
import type { Sink } from "./EventStream.ts"

/** What carries a response; its body is written past the framework. */
export interface Connection extends Sink {
  /** How many bytes were written that nobody has taken yet. */
  readonly waiting: () => number
  /** Sends the headers, though there is nothing of the body yet. */
  readonly open: () => void
  /** Ends the response in the place of its body, with these bytes. */
  readonly end: (bytes: Uint8Array) => void
  /** Ends it here and now, whatever waits; who sends the body is interrupted. */
  readonly cut: () => void
  /** To be told once when nothing goes over it any more: the response is out, or its client is gone. */
  readonly onClosed: (listener: () => void) => void
}

/** Port: the connections that responses are sent on. */
export class Connections extends Context.Tag("clawdforge/http/Connections")<
  Connections,
  { readonly of: (request: HttpServerRequest.HttpServerRequest) => Connection }
>() {}
