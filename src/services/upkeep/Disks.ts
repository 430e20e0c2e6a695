import { Context, type Effect } from "effect"
import type { StorageFailed } from "../../domain/Failure.ts"

/** Port: the disks that the service writes to. */
export class Disks extends Context.Tag("clawdforge/Disks")<
  Disks,
  {
    /** Bytes that the service may still write, on the fullest of them. */
    readonly freeBytes: Effect.Effect<number, StorageFailed>
  }
>() {}
