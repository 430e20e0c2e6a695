/**
 * Writes `openapi.json`, what is served today. With `--release`, also `openapi.released.json`, what clients are promised:
 * refused while it breaks a promise that the changelog does not take back.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { openApiDocument } from "../src/http/OpenApiDocument.ts"
import { breakingChanges } from "./openapi/Breaking.ts"
import { unannounced } from "./openapi/Changelog.ts"

const inRoot = (name: string) => join(import.meta.dirname, "..", name)
const read = (name: string) => readFileSync(inRoot(name), "utf8")
const text = `${JSON.stringify(openApiDocument, null, 2)}\n`

writeFileSync(inRoot("openapi.json"), text)
const changes = breakingChanges(JSON.parse(read("openapi.released.json")), JSON.parse(text))
const silent = unannounced(changes, read("CHANGELOG.md"))
for (const { operation, what } of silent) console.error(`${operation}: ${what}`)
if (silent.length > 0) {
  console.error("These break clients: take them back, or name each under `### Breaking` in CHANGELOG.md.")
  process.exitCode = 1
} else if (process.argv.includes("--release")) {
  writeFileSync(inRoot("openapi.released.json"), text)
}
