import { Effect } from "effect"
import type { SessionId } from "../../src/domain/Ids.ts"
import * as SessionDirectories from "../../src/infra/SessionDirectories.ts"
import { SessionDirs } from "../../src/services/sessions/SessionDirs.ts"

/** Removes a session's directory as somebody who is not root: root is refused nothing. */
const [root = "", session = ""] = process.argv.slice(2)
if (process.getuid?.() === 0) {
  process.setgid?.(65_534)
  process.setuid?.(65_534)
}
await Effect.flatMap(SessionDirs, (dirs) => dirs.remove(session as SessionId)).pipe(
  Effect.provide(SessionDirectories.layer(root)),
  Effect.runPromise,
)
