/**
 * Effect's driver of SQLite. In the published package it is bundled (see `scripts/build.ts`), for two reasons. It
 * depends on a version of `better-sqlite3` that cannot be loaded everywhere. And npm's `overrides`, which replace that
 * version in this checkout, have no effect where the package is installed.
 */
export * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
