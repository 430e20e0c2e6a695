import { type Duration, Effect, RcMap, type Scope } from "effect"
import { type AgentRefusal, AgentUnavailable } from "../../../domain/Failure.ts"
import type { TokenId } from "../../../domain/Ids.ts"
import type { AgentName } from "../../../domain/Session.ts"
import type { AgentProcess } from "./AgentProcess.ts"

interface Key {
  readonly owner: TokenId
  readonly agent: AgentName
}

/** Keeps one process for each app and agent: from the first use until it has not been used for some time. */
export interface ProcessPool {
  /** Returns the process and starts it if necessary. It is in use until the scope closes. */
  readonly get: (key: Key) => Effect.Effect<AgentProcess, AgentRefusal, Scope.Scope>
  /** Returns the process if it is running. Does not start it, and does not keep it in use. */
  readonly peek: (key: Key) => AgentProcess | undefined
  /** Removes a process from the pool. It ends when its current users have finished with it. */
  readonly drop: (agent: AgentProcess) => Effect.Effect<void>
  /** Ends all processes of an app, also those in use. */
  readonly endOf: (owner: TokenId) => Effect.Effect<void>
  /** Ends all processes, also those in use. */
  readonly endAll: Effect.Effect<void>
}

/**
 * Makes the pool. A process is ended when it has not been in use for `idle`. All processes are gone when the scope
 * closes.
 */
export const makeProcessPool = ({
  start,
  idle,
}: {
  readonly start: (agent: AgentName) => Effect.Effect<AgentProcess, AgentRefusal, Scope.Scope>
  readonly idle: Duration.Duration
}): Effect.Effect<ProcessPool, never, Scope.Scope> =>
  Effect.gen(function* () {
    // Each process has its own key object. So a process that ends late is not mistaken for the one that replaced it.
    const current = new Map<string, Key>()
    const running = new Map<Key, AgentProcess>()
    const processes = yield* RcMap.make({
      // The start is outside of `acquireRelease`, which is uninterruptible: a timeout inside it would never fire.
      lookup: (key: Key) =>
        Effect.tap(start(key.agent), (agent) =>
          Effect.acquireRelease(
            Effect.sync(() => running.set(key, agent)),
            () => Effect.sync(() => running.delete(key)),
          ),
        ),
      idleTimeToLive: idle,
    })
    const nameOf = ({ owner, agent }: Key) => `${owner} ${agent}`

    const retire = (key: Key) =>
      Effect.suspend(() => {
        if (current.get(nameOf(key)) === key) current.delete(nameOf(key))
        return RcMap.invalidate(processes, key)
      })

    const get: ProcessPool["get"] = (wanted) =>
      Effect.gen(function* () {
        const key = current.get(nameOf(wanted)) ?? { owner: wanted.owner, agent: wanted.agent }
        current.set(nameOf(key), key)
        const wasRunning = running.has(key)
        // An RcMap keeps a lookup that failed until it is invalidated.
        const agent = yield* Effect.tapErrorCause(RcMap.get(processes, key), () => retire(key))
        if (agent.isAlive()) return agent
        // Its descendants may still work on the sessions that the next process resumes.
        yield* agent.end
        yield* retire(key)
        // Without this, an agent that exits at once would be started again and again.
        if (!wasRunning)
          return yield* new AgentUnavailable({ reason: "its process ended as soon as it was there" })
        return yield* get(wanted)
      })

    const end = (matches: (key: Key) => boolean) =>
      Effect.suspend(() =>
        Effect.forEach(
          // A process that is being started is not in `running`. It ends when nobody waits for it any longer.
          [...new Set([...current.values(), ...running.keys()])].filter(matches),
          (key) => Effect.zipRight(retire(key), running.get(key)?.end ?? Effect.void),
          { discard: true, concurrency: "unbounded" },
        ),
      )
    // Ends all at the same time. The RcMap's own finalizer would end one after the other.
    const endAll = end(() => true)
    yield* Effect.addFinalizer(() => endAll)

    return {
      get,
      peek: (key) => {
        const currentKey = current.get(nameOf(key))
        const agent = currentKey === undefined ? undefined : running.get(currentKey)
        return agent?.isAlive() === true ? agent : undefined
      },
      drop: (agent) =>
        Effect.suspend(() =>
          Effect.forEach(
            [...running].filter(([, other]) => other === agent),
            ([key]) => retire(key),
            { discard: true },
          ),
        ),
      endOf: (owner) => end((key) => key.owner === owner),
      endAll,
    }
  })
