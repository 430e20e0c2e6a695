import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import { Effect } from "effect"

/**
 * Executes a pragma without the cache of prepared statements. Some pragmas take effect only while they are prepared.
 */
export const executeUnprepared = (connection: Connection, statement: string) =>
  Effect.flatten(
    Effect.try({
      try: () => connection.executeUnprepared(statement, [], undefined),
      catch: (cause) => new SqlError({ cause, message: "Failed to prepare statement" }),
    }),
  )
