import { HttpApiBuilder } from "@effect/platform"
import { Effect } from "effect"
import { Api } from "../Api.ts"
import { CurrentReader } from "../groups/Auth.ts"
import { includedIn } from "../groups/Wire.ts"
import { orProblem } from "../RequestContext.ts"
import { makeRunAnswers } from "../views/RunAnswers.ts"
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
          return answers.stream(request, viewer, run, answerOptions(urlParams, headers))
        }).pipe(orProblem),
      )
      .handle("turnEvents", ({ request, path, urlParams, headers }) =>
        Effect.gen(function* () {
          const { viewer } = yield* CurrentReader
          const run = yield* lookup.turn(path.id, path.n, viewer)
          return answers.stream(request, viewer, run, answerOptions(urlParams, headers))
        }).pipe(orProblem),
      )
  }),
)

/** The options of a stream. The header wins over the parameter, as a client that reconnects sends both. */
const answerOptions = (
  { after, include }: { readonly after?: string | undefined; readonly include?: string | undefined },
  headers: { readonly "last-event-id"?: string | undefined },
) => ({ after: Number(headers["last-event-id"] ?? after ?? 0), ...includedIn(include) })
