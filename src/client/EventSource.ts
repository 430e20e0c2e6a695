import type { HttpClientResponse } from "@effect/platform"
import { Duration, Stream } from "effect"
import { createParser, type EventSourceMessage } from "eventsource-parser"
import { type AnyError, ConnectionError } from "./Errors.ts"
import { lostConnection } from "./Transport.ts"

/** Reads server-sent events from one connection. */

/** The service sends a heartbeat at least every 15 seconds. A connection that is silent for longer counts as lost. */
const SILENCE_MAX = Duration.seconds(45)

/**
 * The events of one answer, up to its end. Calls `onActivity` for each event and each comment. Fails with
 * `ConnectionError` if the connection is lost, or silent for 45 seconds.
 */
export const eventsIn = (
  response: HttpClientResponse.HttpClientResponse,
  onActivity: () => void,
): Stream.Stream<EventSourceMessage, AnyError> =>
  Stream.suspend(() => {
    let events: Array<EventSourceMessage> = []
    const decoder = new TextDecoder()
    const parser = createParser({ onEvent: (event) => events.push(event), onComment: onActivity })
    return response.stream.pipe(
      Stream.mapError(lostConnection),
      Stream.timeoutFail(
        () => new ConnectionError("the stream fell silent", { retryable: true }),
        SILENCE_MAX,
      ),
      Stream.mapConcat((bytes) => {
        events = []
        parser.feed(decoder.decode(bytes, { stream: true }))
        if (events.length > 0) onActivity()
        return events
      }),
    )
  })
