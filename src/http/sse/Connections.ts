import type { HttpServerRequest } from "@effect/platform"
import { Context } from "effect"
import type { Sink } from "./EventStream.ts"

/** The connection of one response. The stream writes the body to it directly, without the framework. */
export interface Connection extends Sink {
  /** Bytes that were written and that the client has not taken yet. */
  readonly waiting: () => number
  /** Sends the headers before the body has its first byte. */
  readonly open: () => void
  /** Writes these bytes and ends the response. */
  readonly end: (bytes: Uint8Array) => void
  /** Destroys the connection at once. Unsent bytes are lost; the fiber that sends the body is interrupted. */
  readonly cut: () => void
  /** Calls the listener once, when the response is sent or the client is gone. Calls it at once if that was before. */
  readonly onClosed: (listener: () => void) => void
}

/** Port: the connection of each request's response. */
export class Connections extends Context.Tag("clawdforge/http/Connections")<
  Connections,
  { readonly of: (request: HttpServerRequest.HttpServerRequest) => Connection }
>() {}
