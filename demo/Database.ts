import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import Sqlite from "better-sqlite3"
import { Effect, Schedule } from "effect"
import * as Print from "./Print.ts"
import { DemoFailed } from "./Setup.ts"

const DATABASE = "clawdforge.db"

const QUERY = [
  "SELECT type, token, address, code, prompt_chars, response_chars, duration_ms",
  "FROM audit WHERE type NOT IN ('run.queued', 'run.started') ORDER BY seq",
]

/** The events that the audit trail must hold, sorted. */
const EXPECTED_TYPES = [
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

/** Reads the audit trail as an operator does. Waits for the refusal, which is written a second after it happened. */
export const auditTrail = (dataDir: string): Effect.Effect<ReadonlyArray<Row>, DemoFailed> =>
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
    if (types.join() !== EXPECTED_TYPES.join())
      return yield* new DemoFailed({ message: `the audit trail holds ${types.join(", ")}` })
    return rows
  })

/** Shorter lines may be in a database by chance. */
const LINE_MIN_CHARS = 8

/** The lines of the texts that are anywhere in the database's files, as plain text or escaped in JSON. */
export const linesInDatabase = (dataDir: string, texts: ReadonlyArray<string>): ReadonlyArray<string> => {
  const names = readdirSync(dataDir).filter((name) => name.startsWith(DATABASE))
  const files = names.map((name) => readFileSync(join(dataDir, name)))
  return texts
    .flatMap((text) => text.trim().split("\n"))
    .filter((line) => line.length >= LINE_MIN_CHARS)
    .filter((line) => files.some((file) => file.includes(line) || file.includes(inJson(line))))
}

const inJson = (line: string) => JSON.stringify(line).slice(1, -1)
