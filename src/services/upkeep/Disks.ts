import { Context, type Effect } from "effect"
import type { StorageFailed } from "../../domain/Failure.ts"

/** Port: the disks that the service writes to. */
export class Disks extends Context.Tag("clawdforge/Disks")<
  Disks,
  {
    /** The number of bytes that the service can still write to the fullest of the disks. */
    readonly freeBytes: Effect.Effect<number, StorageFailed>
    /**
     * Makes and removes a small file in every directory in which the service makes files and directories. Returns where
     * that fails: the name of the directory's setting, and the system's error code.
     */
    readonly unwritable: Effect.Effect<ReadonlyArray<{ readonly setting: string; readonly code: string }>>
  }
>() {}
