import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import { Effect } from "effect"

/** Executes a pragma. Some take effect when they are prepared and do nothing when a prepared one runs again. */
export const executeUnprepared = (connection: Connection, statement: string) =>
  Effect.flatten(
    Effect.try({
      try: () => connection.executeUnprepared(statement, [], undefined),
      catch: (cause) => new SqlError({ cause, message: "Failed to prepare statement" }),
    }),
  )
