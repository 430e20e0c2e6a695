import type { HttpClientResponse } from "@effect/platform"
import { Duration, Stream } from "effect"
import { createParser, type EventSourceMessage } from "eventsource-parser"
import { type AnyError, ConnectionError } from "./Errors.ts"
import { lostConnection } from "./Transport.ts"

/** How server-sent events are read off one connection. */

/** The service says something at least every fifteen seconds: what is silent for so long is gone. */
const SILENCE = Duration.seconds(45)

/** The events of one answer, up to its end; `heard` is called for each event and each comment. */
export const eventsIn = (
  response: HttpClientResponse.HttpClientResponse,
  heard: () => void,
): Stream.Stream<EventSourceMessage, AnyError> =>
  Stream.suspend(() => {
    let events: Array<EventSourceMessage> = []
    const decoder = new TextDecoder()
    const parser = createParser({ onEvent: (event) => events.push(event), onComment: heard })
    return response.stream.pipe(
      Stream.mapError(lostConnection),
      Stream.timeoutFail(() => new ConnectionError("the stream fell silent", { retryable: true }), SILENCE),
      Stream.mapConcat((bytes) => {
        events = []
        parser.feed(decoder.decode(bytes, { stream: true }))
        if (events.length > 0) heard()
        return events
      }),
    )
  })
