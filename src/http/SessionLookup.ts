import { Effect, Schema } from "effect"
import { SessionNotFound } from "../domain/Failure.ts"
import { SessionId } from "../domain/Ids.ts"

/** Returns the session id of a path. Text that no session id can be is `SessionNotFound`, like an unknown id. */
export const sessionIdOf = (id: string): Effect.Effect<SessionId, SessionNotFound> =>
  Schema.is(SessionId)(id) ? Effect.succeed(id) : new SessionNotFound()
