import { HttpApiBuilder } from "@effect/platform"
import { Effect } from "effect"
import { Api } from "../Api.ts"
import { CurrentReader } from "../groups/Auth.ts"
import { orProblem } from "../RequestContext.ts"
import type { Position } from "../sse/EventStream.ts"
import { makeRunAnswers, optionsOf } from "../views/RunAnswers.ts"
import { makeRunLookup } from "../RunLookup.ts"

export const StreamsHandlers = HttpApiBuilder.group(Api, "streams", (handlers) =>
  Effect.gen(function* () {
    const lookup = yield* makeRunLookup
    const answers = yield* makeRunAnswers

    return handlers
      .handle("runEvents", ({ request, path, urlParams, headers }) =>
        Effect.gen(function* () {
          const { viewer } = yield* CurrentReader
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
      .handle("turnEvents", ({ request, path, urlParams, headers }) =>
        Effect.gen(function* () {
          const { viewer } = yield* CurrentReader
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
