import { Context, type Effect } from "effect"
import type { FileId, RequestId, RunId, SessionId, TokenId } from "../../domain/Ids.ts"

/** Port: new identifiers. They are no secrets. Sessions get UUIDs; all others get ULIDs, which sort by time. */
export class Ids extends Context.Tag("clawdforge/Ids")<
  Ids,
  {
    readonly run: Effect.Effect<RunId>
    readonly file: Effect.Effect<FileId>
    readonly session: Effect.Effect<SessionId>
    readonly token: Effect.Effect<TokenId>
    readonly request: Effect.Effect<RequestId>
  }
>() {}
