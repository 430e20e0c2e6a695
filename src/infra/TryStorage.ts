import { Effect } from "effect"
import { StorageFailed } from "../domain/Failure.ts"

/** Runs an operation on the disk. A rejection becomes `StorageFailed`; `during` says in it what was done. */
export const tryStorage = <A>(during: string, act: () => Promise<A>): Effect.Effect<A, StorageFailed> =>
  Effect.tryPromise({ try: act, catch: (cause) => new StorageFailed({ during, cause }) })
