import { Context, type Effect } from "effect"
import type { FileId, RequestId, RunId, TokenId } from "../domain/Ids.ts"

/** Port: fresh identifiers, each a ULID. They sort by time and are no secrets. */
export class Ids extends Context.Tag("clawdforge/Ids")<
  Ids,
  {
    readonly run: Effect.Effect<RunId>
    readonly file: Effect.Effect<FileId>
    readonly token: Effect.Effect<TokenId>
    readonly request: Effect.Effect<RequestId>
  }
>() {}
