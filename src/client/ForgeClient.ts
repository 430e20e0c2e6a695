import type { HttpClient } from "@effect/platform"
import { Context, Effect, Layer } from "effect"
import type { Derived } from "./Derived.ts"
import type { SettingsError } from "./Errors.ts"
import { derive } from "./Routes.ts"
import { checkSettings, type ForgeSettings } from "./Settings.ts"
import { makeStreams, type Streams } from "./Streams.ts"

/**
 * The client: a method for each route, by the route's group and name, and `streams`.
 *
 * **Requests.** A method takes what its route declares (`path`, `urlParams`, `headers`, `payload`). With `withHead: true`
 * it also answers the run's id, and whether the answer is that of an earlier request with the same key.
 *
 * **Failures.** A method fails with the problems that its route declares, or with a `ConnectionError`, a `DeadlineError`
 * or an `UnexpectedAnswerError`. A request that breaks the route's schema fails with an `InvalidRequestError` and is not
 * sent.
 *
 * **Retries.** After a lost connection, or an outage of a moment (502 to 504 of a proxy, 503), the request is sent again, up
 * to three times; a POST only with an `idempotency-key`.
 *
 * **Deadlines.** Runs and turns may take their `timeout_secs`, plus the wait in the queue, plus 30 s. Other routes have
 * 30 s, or longer if they need it: uploads, maintenance, and routes that start or end processes. A `fetch` gives up after
 * five minutes without a byte: use `streams` or another `HttpClient` for longer answers.
 */
export interface ForgeMethods extends Derived {
  readonly streams: Streams
}

export class ForgeClient extends Context.Tag("clawdforge/client/ForgeClient")<ForgeClient, ForgeMethods>() {
  static readonly make = (
    settings: ForgeSettings,
  ): Effect.Effect<ForgeMethods, SettingsError, HttpClient.HttpClient> =>
    Effect.gen(function* () {
      const { derived, open } = yield* derive(yield* checkSettings(settings))
      return { ...derived, streams: makeStreams(derived, open) }
    })

  static readonly layer = (
    settings: ForgeSettings,
  ): Layer.Layer<ForgeClient, SettingsError, HttpClient.HttpClient> =>
    Layer.effect(ForgeClient, ForgeClient.make(settings))
}
