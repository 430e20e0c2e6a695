import { Context, type Effect } from "effect"
import type { StorageFailed } from "../../domain/Failure.ts"
import type { SessionId } from "../../domain/Ids.ts"

/** Port: one directory for each session, from its opening to its close. It is kept when the service stops. */
export class SessionDirs extends Context.Tag("clawdforge/SessionDirs")<
  SessionDirs,
  {
    /** Returns the directory's absolute path, whether or not it exists. */
    readonly of: (session: SessionId) => string
    /** Makes the directory, unless it exists. */
    readonly make: (session: SessionId) => Effect.Effect<void, StorageFailed>
    /** Makes a new directory inside it, for the files of a turn. Returns the new directory's absolute path. */
    readonly forFiles: (session: SessionId, turnIndex: number) => Effect.Effect<string, StorageFailed>
    /**
     * Removes the directory and its contents, and what is empty of what an agent keeps for it elsewhere. Does nothing
     * when there is none.
     */
    readonly remove: (session: SessionId) => Effect.Effect<void, StorageFailed>
    /** Returns every session of which `remove` would remove something. */
    readonly list: Effect.Effect<ReadonlyArray<SessionId>, StorageFailed>
  }
>() {}
