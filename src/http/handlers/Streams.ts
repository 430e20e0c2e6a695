import { HttpApiBuilder, HttpServerResponse } from "@effect/platform"
import { Effect } from "effect"
import { flatMapConsumer } from "../../services/journal/Consumer.ts"
import { Journal, sessionScope } from "../../services/journal/Journal.ts"
import { SessionPool } from "../../services/sessions/SessionPool.ts"
import { Api } from "../Api.ts"
import { CurrentReader } from "../groups/Auth.ts"
import { note, orProblem } from "../RequestContext.ts"
import { type Position, STREAM_HEADERS } from "../sse/EventStream.ts"
import { OpenStreams } from "../sse/OpenStreams.ts"
import { makeRunAnswers, optionsOf } from "../views/RunAnswers.ts"
import { makeRunLookup } from "../RunLookup.ts"
import { sessionIdOf } from "../SessionLookup.ts"
import { sessionFrame } from "../views/SessionEvents.ts"

export const StreamsHandlers = HttpApiBuilder.group(Api, "streams", (handlers) =>
  Effect.gen(function* () {
    const lookup = yield* makeRunLookup
    const answers = yield* makeRunAnswers
    const sessions = yield* SessionPool
    const journal = yield* Journal
    const streams = yield* OpenStreams

    return handlers
      .handle("runEvents", ({ request, path, urlParams, headers }) =>
        Effect.gen(function* () {
          const { viewer } = yield* CurrentReader
          yield* streams.admit(viewer)
          const run = yield* lookup.run(path.id, viewer)
          return yield* answers.replay(
            request,
            viewer,
            run,
            positionOf(urlParams, headers),
            optionsOf(urlParams),
          )
        }).pipe(orProblem),
      )
      .handle("sessionEvents", ({ request, path, urlParams, headers }) =>
        Effect.gen(function* () {
          const { viewer } = yield* CurrentReader
          yield* streams.admit(viewer)
          const id = yield* sessionIdOf(path.id)
          yield* note("session_id", id)
          const session = yield* sessions.find(id, viewer)
          const { seq: after } = positionOf(urlParams, headers)
          const scope = sessionScope(id)
          if (session.status === "closed" && (yield* journal.read(scope, after)).length === 0) {
            // It stops an `EventSource`, which would connect again and again.
            return HttpServerResponse.empty({ status: 204, headers: STREAM_HEADERS })
          }
          return streams.answer(request, viewer, {
            after,
            frames: (reader) =>
              journal.follow(
                scope,
                after,
                flatMapConsumer(reader, (item) => [sessionFrame(id, item)]),
              ),
            // What is kept of a session is bounded, and is read from the ledger only as the client takes it.
            bytesAfter: () => Effect.succeed(0),
          })
        }).pipe(orProblem),
      )
      .handle("turnEvents", ({ request, path, urlParams, headers }) =>
        Effect.gen(function* () {
          const { viewer } = yield* CurrentReader
          yield* streams.admit(viewer)
          const run = yield* lookup.turn(path.id, path.n, viewer)
          return yield* answers.replay(
            request,
            viewer,
            run,
            positionOf(urlParams, headers),
            optionsOf(urlParams),
          )
        }).pipe(orProblem),
      )
  }),
)

/** Where a stream begins. The header wins over the parameter, as a client that reconnects sends both. */
const positionOf = (
  { after }: { readonly after?: string | undefined },
  headers: { readonly "last-event-id"?: string | undefined },
): Position => {
  const [seq, part] = (headers["last-event-id"] ?? after ?? "0").split(".").map(Number)
  return { seq: seq ?? 0, part }
}
