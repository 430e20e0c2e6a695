/**
 * Effect's driver of SQLite. A package has it built in (see `scripts/build.ts`): it asks for a `better-sqlite3` that
 * cannot be loaded everywhere, and npm's `overrides`, which say that a newer one will do, end with the checkout.
 */
export * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
