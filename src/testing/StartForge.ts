import { type Duration, Effect, type Layer, ManagedRuntime } from "effect"

import { type Fetch, Forge, type ForgeOptions, forge } from "./Forge.ts"
import type { ForgeMemory } from "./forge/Memory.ts"
import type { Held, Script } from "./Script.ts"

/** A {@link Held} prompt with promises. */
export interface HeldPrompt<Asked, Reply, Failure>
  extends Pick<Held<Asked, Reply, Failure>, "say" | "release" | "fail"> {
  /** Resolves to the prompt when it has reached the agent. */
  readonly started: Promise<Asked>
  /** Resolves when the prompt has ended: released, failed, timed out or cancelled. */
  readonly ended: Promise<void>
}

/** A {@link Script} with promises. */
export interface Scripting<Asked, Reply, Failure>
  extends Pick<Script<Asked, Reply, Failure>, "nextAnswer" | "nextFailure" | "failNth" | "requests"> {
  /** Adds a step: to hold the prompt until it is released. */
  readonly hold: () => HeldPrompt<Asked, Reply, Failure>
}

type ScriptingOf<S> =
  S extends Script<infer Asked, infer Reply, infer Failure> ? Scripting<Asked, Reply, Failure> : never

/** A whole clawdforge that runs until it is disposed. Its own script methods are those of `claude`. */
export interface RunningForge extends ScriptingOf<(typeof Forge.Service)["claude"]> {
  readonly url: string
  /** Like the global `fetch`, but every request goes to this clawdforge, whatever its host. Also takes a bare path. */
  readonly fetch: Fetch
  /** The bearer token of an app named `app`. */
  readonly token: string
  /** The operator's bearer token. */
  readonly adminToken: string
  /** Mints the token of another app. Resolves to the bearer token. */
  readonly mint: (name: string) => Promise<string>
  /** What the agents of sessions do. */
  readonly agents: ScriptingOf<(typeof Forge.Service)["agents"]> &
    Pick<(typeof Forge.Service)["agents"], "sayUnprompted">
  /** What it stores. */
  readonly memory: ForgeMemory
  /**
   * Moves the manual clock forward. Sleeps that are over by then end. Then it sweeps: idle sessions, expired files, old
   * texts. Rejects unless the clock is `manual`.
   */
  readonly advance: (time: Duration.DurationInput) => Promise<void>
  /** Stops it. Running work is cancelled, and waiting clients get no answer. */
  readonly dispose: () => Promise<void>
  readonly [Symbol.asyncDispose]: () => Promise<void>
}

/** Starts a whole clawdforge in this process, without a socket, a disk or a child process: see {@link forge}. */
export const startForge = (options: ForgeOptions = {}): Promise<RunningForge> => startLayer(forge(options))

/** Starts the clawdforge of a layer. */
export const startLayer = async <R, E>(layer: Layer.Layer<Forge | R, E>): Promise<RunningForge> => {
  const runtime = ManagedRuntime.make(layer)
  const { claude, agents, mint, advance, ...rest } = await runtime.runPromise(Forge)
  const dispose = () => runtime.dispose()
  return {
    ...rest,
    ...withPromises(claude),
    get requests() {
      return claude.requests
    },
    agents: Object.assign(withPromises(agents), {
      sayUnprompted: (session: string, text: string) => agents.sayUnprompted(session, text),
    }),
    mint: (name) => runtime.runPromise(mint(name)),
    advance: (time) => runtime.runPromise(advance(time)),
    dispose,
    [Symbol.asyncDispose]: dispose,
  }
}

const withPromises = <Asked, Reply, Failure>(
  script: Script<Asked, Reply, Failure>,
): Scripting<Asked, Reply, Failure> => ({
  nextAnswer: (...replies) => script.nextAnswer(...replies),
  nextFailure: (failure) => script.nextFailure(failure),
  failNth: (nth, failure) => script.failNth(nth, failure),
  get requests() {
    return script.requests
  },
  hold: () => {
    const { started, ended, ...actions } = script.hold()
    return {
      ...actions,
      get started() {
        return Effect.runPromise(started)
      },
      get ended() {
        return Effect.runPromise(ended)
      },
    }
  },
})
