import { type Duration, Effect, type Layer, ManagedRuntime } from "effect"

import { type Fetch, Forge, type ForgeOptions, forge } from "./Forge.ts"
import type { ForgeMemory } from "./forge/Memory.ts"
import type { Held, Script } from "./Script.ts"

/** A {@link Held} prompt, for those who wait by `await`. */
export interface HeldPrompt<Asked, Reply, Failure>
  extends Pick<Held<Asked, Reply, Failure>, "say" | "release" | "fail"> {
  /** Is fulfilled when the prompt is at work, with what was asked. */
  readonly started: Promise<Asked>
  /** Is fulfilled when it is at work no more, on whatever way. */
  readonly ended: Promise<void>
}

/** What an agent does with the next prompts, see {@link Script}. */
export interface Scripting<Asked, Reply, Failure>
  extends Pick<Script<Asked, Reply, Failure>, "nextAnswer" | "nextFailure" | "failNth" | "requests"> {
  /** Has the next prompt stay at work until it is let go. */
  readonly hold: () => HeldPrompt<Asked, Reply, Failure>
}

type ScriptingOf<S> =
  S extends Script<infer Asked, infer Reply, infer Failure> ? Scripting<Asked, Reply, Failure> : never

/** A whole clawdforge that runs until it is disposed of; its own methods are about `claude`. */
export interface RunningForge extends ScriptingOf<(typeof Forge.Service)["claude"]> {
  readonly url: string
  /** As the global `fetch`, but reaches this one; it also takes a path alone. */
  readonly fetch: Fetch
  /** The bearer of an app, `app`. */
  readonly token: string
  /** The operator's bearer. */
  readonly adminToken: string
  /** The bearer of another app, which is made. */
  readonly mint: (name: string) => Promise<string>
  /** The agents of sessions. */
  readonly agents: ScriptingOf<(typeof Forge.Service)["agents"]>
  /** What it keeps. */
  readonly memory: ForgeMemory
  /**
   * Lets that much time pass at once, and what is due by then be swept: idle sessions, expired files, old texts. Fails
   * unless its clock is `manual`.
   */
  readonly advance: (time: Duration.DurationInput) => Promise<void>
  /** Ends it: runs at work are cancelled, and whoever waits for an answer gets none. */
  readonly dispose: () => Promise<void>
  readonly [Symbol.asyncDispose]: () => Promise<void>
}

/** Starts a whole clawdforge in this process, without a socket, a disk or a process of its own. */
export const startForge = (options: ForgeOptions = {}): Promise<RunningForge> => startedAs(forge(options))

/** Starts it as that layer makes it. */
export const startedAs = async <R, E>(layer: Layer.Layer<Forge | R, E>): Promise<RunningForge> => {
  const runtime = ManagedRuntime.make(layer)
  const { claude, agents, mint, advance, ...rest } = await runtime.runPromise(Forge)
  const dispose = () => runtime.dispose()
  return {
    ...rest,
    ...scripting(claude),
    get requests() {
      return claude.requests
    },
    agents: scripting(agents),
    mint: (name) => runtime.runPromise(mint(name)),
    advance: (time) => runtime.runPromise(advance(time)),
    dispose,
    [Symbol.asyncDispose]: dispose,
  }
}

const scripting = <Asked, Reply, Failure>(
  script: Script<Asked, Reply, Failure>,
): Scripting<Asked, Reply, Failure> => ({
  nextAnswer: (...replies) => script.nextAnswer(...replies),
  nextFailure: (failure) => script.nextFailure(failure),
  failNth: (nth, failure) => script.failNth(nth, failure),
  get requests() {
    return script.requests
  },
  hold: () => {
    const { started, ended, ...orders } = script.hold()
    return {
      ...orders,
      get started() {
        return Effect.runPromise(started)
      },
      get ended() {
        return Effect.runPromise(ended)
      },
    }
  },
})
