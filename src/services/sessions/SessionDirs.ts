import { Context, type Effect } from "effect"
import type { StorageFailed } from "../../domain/Failure.ts"
import type { SessionId } from "../../domain/Ids.ts"

/** Port: a directory of its own for each session, from its opening to its close; it outlives the service. */
export class SessionDirs extends Context.Tag("clawdforge/SessionDirs")<
  SessionDirs,
  {
    /** The directory's absolute path, whether it is there or not. */
    readonly of: (session: SessionId) => string
    /** Makes the directory; that it is there already is no failure. */
    readonly make: (session: SessionId) => Effect.Effect<void, StorageFailed>
    /** Makes a directory in it for the files of a turn, and returns its absolute path. */
    readonly forFiles: (session: SessionId, turnIndex: number) => Effect.Effect<string, StorageFailed>
    /** Removes it with all that is in it; what is not there is no failure. */
    readonly remove: (session: SessionId) => Effect.Effect<void, StorageFailed>
    /** Every session that there is a directory of. */
    readonly list: Effect.Effect<ReadonlyArray<SessionId>, StorageFailed>
  }
>() {}
