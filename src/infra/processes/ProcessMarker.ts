import { randomUUID } from "node:crypto"
import { stat } from "node:fs/promises"
import { Effect } from "effect"
import { StorageFailed } from "../../domain/Failure.ts"

/**
 * The marker is a variable of the environment, `<owner>.<spawn>`. Every descendant inherits it, whatever session,
 * group or parent it moves to; only one that empties its environment does not.
 */
const VARIABLE = "CLAWDFORGE_PROCESS"

/** Whose environment holds this, as the kernel shows it, is meant. */
export type Marker = string & { readonly Marker: unique symbol }

/**
 * The owner of processes: a data directory, of which one service at a time holds the lock. It is known by its device
 * and inode, so that the owner of a copy, or of another directory in its place, is another.
 */
export const ownerOf = (dataDir: string): Effect.Effect<string, StorageFailed> =>
  Effect.tryPromise({
    try: () => stat(dataDir, { bigint: true }),
    catch: (cause) => new StorageFailed({ during: "reading the data directory", cause }),
  }).pipe(Effect.map(({ dev, ino }) => `${dev}-${ino}`))

/** All that this owner ever started, in this life of the service and before. */
export const markerOfOwner = (owner: string): Marker => `\0${VARIABLE}=${owner}.` as Marker

/** One spawn: what to add to its environment, and how it and its descendants are known by that. */
export const markSpawn = (owner: string) => {
  const value = `${owner}.${randomUUID()}`
  return { env: { [VARIABLE]: value }, marker: `\0${VARIABLE}=${value}\0` as Marker }
}

export const bears = (environment: string, marker: Marker): boolean => `\0${environment}`.includes(marker)
