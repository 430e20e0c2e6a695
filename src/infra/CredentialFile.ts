import { readFile, stat } from "node:fs/promises"
import { join } from "node:path"
import { Effect, Layer, Option, Schema } from "effect"
import { nullish } from "../domain/Json.ts"
import { CredentialFile } from "../services/upkeep/CredentialFile.ts"

/** Variables that give `claude` another login than the one in its file. */
const OTHER_LOGINS = [
  "ANTHROPIC_API_KEY",
  "ANTHROPIC_AUTH_TOKEN",
  "CLAUDE_CODE_OAUTH_TOKEN",
  "CLAUDE_CODE_USE_BEDROCK",
  "CLAUDE_CODE_USE_VERTEX",
]

/** The parts of the file that are read. It is not documented, so each may be absent. Times are in milliseconds. */
const Content = Schema.parseJson(
  Schema.Struct({
    claudeAiOauth: nullish(
      Schema.Struct({
        expiresAt: nullish(Schema.Number),
        refreshToken: nullish(Schema.String),
        refreshTokenExpiresAt: nullish(Schema.Number),
      }),
    ),
  }),
)

const decode = Schema.decodeUnknownOption(Content)

/** A login that can be renewed ends with its renewal, any other with itself. */
const expiryOf = (text: string): number | null => {
  const login = Option.getOrUndefined(decode(text))?.claudeAiOauth
  return (login?.refreshToken == null ? login?.expiresAt : login.refreshTokenExpiresAt) ?? null
}

/** Reads the file of the `claude` that gets that environment. */
export const layer = (env: Readonly<Record<string, string>>) => {
  const path = join(env["CLAUDE_CONFIG_DIR"] ?? join(env["HOME"] ?? "/", ".claude"), ".credentials.json")
  const read = Effect.tryPromise(async () => {
    const { mtimeMs, size, ino } = await stat(path)
    return {
      fingerprint: `${ino} ${mtimeMs} ${size}`,
      expiresAt: expiryOf(await readFile(path, "utf8")),
    }
  }).pipe(Effect.option)
  return Layer.succeed(CredentialFile, {
    read: OTHER_LOGINS.some((name) => env[name]) ? Effect.succeedNone : read,
  })
}
