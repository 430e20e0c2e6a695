import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import Sqlite from "better-sqlite3"
import { Effect, Schedule } from "effect"
import * as Print from "./Print.ts"
import { NotAsTold } from "./Stage.ts"

const DATABASE = "clawdforge.db"

const QUERY = [
  "SELECT type, token, address, code, prompt_chars, response_chars, duration_ms",
  "FROM audit WHERE type NOT IN ('run.queued', 'run.started') ORDER BY seq",
]

/** What must be in the trail by the time that it is read. */
const TYPES = [
  "admission.refused",
  "file.upload",
  "run.completed",
  "run.completed",
  "run.completed",
  "run.completed",
  "run.completed",
  "run.completed",
  "run.completed",
  "run.completed",
  "session.close",
  "session.create",
  "session.turn",
  "session.turn",
  "session.turn",
  "token.mint",
]

type Row = Readonly<Record<string, unknown>>

/** The audit trail as an operator reads it. Waits for the refusal, which is written a second after it happened. */
export const auditTrail = (dataDir: string): Effect.Effect<ReadonlyArray<Row>, NotAsTold> =>
  Effect.suspend(() => {
    Print.command([`sqlite3 -table $DATA_DIR/${DATABASE}`, ...`"${QUERY.join("\n")}"`.split("\n")])
    return Effect.retry(read(dataDir), Schedule.intersect(Schedule.spaced("100 millis"), Schedule.recurs(50)))
  })

const read = (dataDir: string) =>
  Effect.gen(function* () {
    const rows = yield* Effect.acquireUseRelease(
      Effect.sync(() => new Sqlite(join(dataDir, DATABASE), { readonly: true })),
      (db) => Effect.sync(() => db.prepare<[], Row>(QUERY.join(" ")).all()),
      (db) => Effect.sync(() => db.close()),
    )
    const types = rows.map(({ type }) => String(type)).toSorted()
    if (types.join() !== TYPES.join())
      return yield* new NotAsTold({ message: `it tells of ${types.join(", ")}` })
    return rows
  })

/** Shorter lines stand in a database by chance. */
const TELLING_CHARS = 8

/** Which lines of the texts stand anywhere in the database's files, as they are or inside of JSON. */
export const wordsKept = (dataDir: string, texts: ReadonlyArray<string>): ReadonlyArray<string> => {
  const names = readdirSync(dataDir).filter((name) => name.startsWith(DATABASE))
  const files = names.map((name) => readFileSync(join(dataDir, name)))
  return texts
    .flatMap((text) => text.trim().split("\n"))
    .filter((line) => line.length >= TELLING_CHARS)
    .filter((line) => files.some((file) => file.includes(line) || file.includes(inJson(line))))
}

const inJson = (line: string) => JSON.stringify(line).slice(1, -1)
