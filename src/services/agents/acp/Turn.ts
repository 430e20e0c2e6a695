import { Deferred, Effect, Exit } from "effect"
import { type Backlog, makeBacklog } from "./Backlog.ts"

/** A turn that is under way: who brings its messages, and who reads them. */
export interface Turn extends Backlog {
  readonly prompt: string
  /** The id of our request, once it is sent: the result has the same. */
  id: unknown
  /** When the agent was first asked to end it, if it was. */
  askedToEndAt: number | undefined
  readonly isOver: () => boolean
  /** Waits for the end, whether anybody reads or not. */
  readonly over: Effect.Effect<void>
}

export const makeTurn = (prompt: string): Effect.Effect<Turn> =>
  Effect.gen(function* () {
    const backlog = yield* makeBacklog
    const over = yield* Deferred.make<void>()
    let isOver = false
    return {
      ...backlog,
      prompt,
      id: undefined,
      askedToEndAt: undefined,
      end: (exit) => {
        isOver = true
        backlog.end(exit)
        Deferred.unsafeDone(over, Exit.void)
      },
      isOver: () => isOver,
      over: Deferred.await(over),
    }
  })
