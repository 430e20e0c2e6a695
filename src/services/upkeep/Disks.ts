import { Context, type Effect } from "effect"
import type { StorageFailed } from "../../domain/Failure.ts"

/** Port: the disks that the service writes to. */
export class Disks extends Context.Tag("clawdforge/Disks")<
  Disks,
  {
    /** The number of bytes that the service can still write to the fullest of the disks. */
    readonly freeBytes: Effect.Effect<number, StorageFailed>
  }
>() {}
