import { type Duration, Effect, RcMap, type Scope } from "effect"
import { type AgentRefusal, AgentUnavailable } from "../../../domain/Failure.ts"
import type { TokenId } from "../../../domain/Ids.ts"
import type { AgentName } from "../../../domain/Session.ts"
import type { AgentProcess } from "./AgentProcess.ts"

/** Whose process it is: an app's, with an agent. */
interface Key {
  readonly owner: TokenId
  readonly agent: AgentName
}

/** One process for each app and agent, from the first who needs it until nobody has for some time. */
export interface ProcessPool {
  /** The process, started if need be; it is in use until the scope closes. */
  readonly get: (key: Key) => Effect.Effect<AgentProcess, AgentRefusal, Scope.Scope>
  /** The process, if it is up. */
  readonly peek: (key: Key) => AgentProcess | undefined
  /** Keeps it for nobody: it ends as soon as those who use it now do no more. */
  readonly drop: (agent: AgentProcess) => Effect.Effect<void>
  /** Ends all processes of an app. */
  readonly endOf: (owner: TokenId) => Effect.Effect<void>
  readonly endAll: Effect.Effect<void>
}

export const makeProcessPool = ({
  start,
  idle,
}: {
  readonly start: (agent: AgentName) => Effect.Effect<AgentProcess, AgentRefusal, Scope.Scope>
  readonly idle: Duration.Duration
}): Effect.Effect<ProcessPool, never, Scope.Scope> =>
  Effect.gen(function* () {
    // Each life of a process has a key object of its own: what ends late cannot be taken for what came after it.
    const current = new Map<string, Key>()
    const up = new Map<Key, AgentProcess>()
    const lives = yield* RcMap.make({
      // The start itself is not acquired: it could not be interrupted then, so its deadline would never come.
      lookup: (key: Key) =>
        Effect.tap(start(key.agent), (agent) =>
          Effect.acquireRelease(
            Effect.sync(() => up.set(key, agent)),
            () => Effect.sync(() => up.delete(key)),
          ),
        ),
      idleTimeToLive: idle,
    })
    const nameOf = ({ owner, agent }: Key) => `${owner} ${agent}`

    const retire = (key: Key) =>
      Effect.suspend(() => {
        if (current.get(nameOf(key)) === key) current.delete(nameOf(key))
        return RcMap.invalidate(lives, key)
      })

    const get: ProcessPool["get"] = (wanted) =>
      Effect.gen(function* () {
        const key = current.get(nameOf(wanted)) ?? { owner: wanted.owner, agent: wanted.agent }
        current.set(nameOf(key), key)
        const wasUp = up.has(key)
        const agent = yield* Effect.tapErrorCause(RcMap.get(lives, key), () => retire(key))
        if (agent.isAlive()) return agent
        // What it has started may still be at work on what the next one is to take up.
        yield* agent.end
        yield* retire(key)
        // One that never lasts would be started again and again.
        if (!wasUp)
          return yield* new AgentUnavailable({ reason: "its process ended as soon as it was there" })
        return yield* get(wanted)
      })

    const end = (matches: (key: Key) => boolean) =>
      Effect.suspend(() =>
        Effect.forEach(
          // One that starts is not up yet: it ends when nobody waits for it any more.
          [...new Set([...current.values(), ...up.keys()])].filter(matches),
          (key) => Effect.zipRight(retire(key), up.get(key)?.end ?? Effect.void),
          { discard: true, concurrency: "unbounded" },
        ),
      )
    // The map would end them one after the other.
    const endAll = end(() => true)
    yield* Effect.addFinalizer(() => endAll)

    return {
      get,
      peek: (key) => {
        const known = current.get(nameOf(key))
        const agent = known === undefined ? undefined : up.get(known)
        return agent?.isAlive() === true ? agent : undefined
      },
      drop: (agent) =>
        Effect.suspend(() =>
          Effect.forEach(
            [...up].filter(([, known]) => known === agent),
            ([key]) => retire(key),
            { discard: true },
          ),
        ),
      endOf: (owner) => end((key) => key.owner === owner),
      endAll,
    }
  })
