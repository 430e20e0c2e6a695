import Sqlite from "better-sqlite3"

/** What a database was asked to do: the texts of the statements, in order. */
export interface SqlStatements {
  /** Statements that were compiled. */
  readonly prepared: ReadonlyArray<string>
  /** Statements that ran, `BEGIN` and `COMMIT` left out. */
  readonly executed: ReadonlyArray<string>
  readonly commits: number
}

/** The write of `last_used_at`, which a timer makes for all tokens together. */
const BY_TIMER = /UPDATE tokens SET last_used_at/

const prepared: Array<string> = []
const executed: Array<string> = []

const prepare = Sqlite.prototype.prepare
Sqlite.prototype.prepare = function (this: Sqlite.Database, sql: string) {
  prepared.push(sql)
  const statement = prepare.call(this, sql) as unknown as Record<string, (...args: Array<unknown>) => unknown>
  for (const method of ["run", "get", "all"]) {
    const execute = statement[method]
    statement[method] = (...args) => {
      executed.push(sql)
      return execute?.apply(statement, args)
    }
  }
  return statement as never
} as typeof prepare

/** Forgets the statements so far. */
export const forgetStatements = (): void => {
  prepared.length = 0
  executed.length = 0
}

/** Returns the statements of all databases in this process since they were last forgotten. */
export const statementsSoFar = (): SqlStatements => {
  const own: Array<string> = []
  let commits = 0
  let transaction: Array<string> | undefined
  for (const sql of executed) {
    if (sql.startsWith("BEGIN")) transaction = []
    else if (sql === "COMMIT" || sql === "ROLLBACK") {
      const isByTimer = transaction?.some((text) => BY_TIMER.test(text)) === true
      if (!isByTimer) own.push(...(transaction ?? []))
      if (!isByTimer && sql === "COMMIT") commits += 1
      transaction = undefined
    } else if (transaction !== undefined) transaction.push(sql)
    else {
      own.push(sql)
      // Outside of a transaction, each change is one of its own.
      if (!/^\s*(SELECT|PRAGMA)/.test(sql)) commits += 1
    }
  }
  return { prepared: [...prepared], executed: own, commits }
}
