import type { HttpClient } from "@effect/platform"
import { Context, Effect, Layer } from "effect"
import type { Derived } from "./Derived.ts"
import type { SettingsError } from "./Errors.ts"
import { derive } from "./Routes.ts"
import { checked, type ForgeSettings } from "./Settings.ts"
import { makeStreams, type Streams } from "./Streams.ts"

/**
 * The service as its clients see it: a method for each route, by its group and name, and its streams.
 *
 * A method takes what its route declares (`path`, `urlParams`, `headers`, `payload`), and fails with the problems that its
 * route declares, or with a `ConnectionError`, a `DeadlineError` or an `UnexpectedAnswerError`. With `withHead: true` its
 * answer comes with the run's id and whether it was given before. A request that the service would refuse is an
 * `InvalidRequestError` and is not sent. What is lost on its way is sent again a few times, but a POST only with an
 * `idempotency-key`. Runs and turns have their `timeout_secs`, the wait in the queue and 30 s; other routes 30 s, or as
 * long as they need. A `fetch` gives up after five minutes without a byte: for what may take longer, use `streams`, or
 * another `HttpClient`.
 */
export interface ForgeMethods extends Derived {
  readonly streams: Streams
}

export class ForgeClient extends Context.Tag("clawdforge/client/ForgeClient")<ForgeClient, ForgeMethods>() {
  static readonly make = (
    settings: ForgeSettings,
  ): Effect.Effect<ForgeMethods, SettingsError, HttpClient.HttpClient> =>
    Effect.gen(function* () {
      const { derived, open } = yield* derive(yield* checked(settings))
      return { ...derived, streams: makeStreams(derived, open) }
    })

  static readonly layer = (
    settings: ForgeSettings,
  ): Layer.Layer<ForgeClient, SettingsError, HttpClient.HttpClient> =>
    Layer.effect(ForgeClient, ForgeClient.make(settings))
}
