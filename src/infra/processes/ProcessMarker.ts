import { randomUUID } from "node:crypto"
import { stat } from "node:fs/promises"
import { Effect } from "effect"
import type { StorageFailed } from "../../domain/Failure.ts"
import { tryStorage } from "../TryStorage.ts"

/**
 * The environment variable that is the marker. Its value is `<owner>.<spawn>`. Every descendant inherits it, also in
 * another session, group or parent. A process that clears its environment loses it.
 */
export const MARKER_VARIABLE = "CLAWDFORGE_PROCESS"

/** A part of a process's environment, in the form that the kernel shows it: variables separated by `\0`. */
export type Marker = string & { readonly Marker: unique symbol }

/**
 * The owner of processes: a data directory, which one service at a time has locked. It is identified by device and
 * inode, so a copy of the directory, or another directory at the same path, is a different owner.
 */
export const ownerOf = (dataDir: string): Effect.Effect<string, StorageFailed> =>
  Effect.map(
    tryStorage("reading the data directory", () => stat(dataDir, { bigint: true })),
    ({ dev, ino }) => `${dev}-${ino}`,
  )

/** Marks all processes of an owner, those of this server and those of servers before it. */
export const markerOfOwner = (owner: string): Marker => `\0${MARKER_VARIABLE}=${owner}.` as Marker

/** A new marker for one process and its descendants, and the variable to add to the process's environment. */
export const markSpawn = (owner: string) => {
  const value = `${owner}.${randomUUID()}`
  return { env: { [MARKER_VARIABLE]: value }, marker: `\0${MARKER_VARIABLE}=${value}\0` as Marker }
}

export const hasMarker = (environment: string, marker: Marker): boolean => `\0${environment}`.includes(marker)
