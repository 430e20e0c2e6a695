/**
 * Writes `openapi.json`, what is served today. With `--release`, also `openapi.released.json`, what clients are promised:
 * refused while it breaks a promise that the changelog does not take back. `--in` says in which directory they lie.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { openApiDocument } from "../src/http/OpenApiDocument.ts"
import { breakingChanges } from "./openapi/Breaking.ts"
import { unannounced } from "./openapi/Changelog.ts"

const { values } = parseArgs({
  options: {
    release: { type: "boolean", default: false },
    in: { type: "string", default: join(import.meta.dirname, "..") },
  },
})
const path = (name: string) => join(values.in, name)
const read = (name: string) => readFileSync(path(name), "utf8")
const text = `${JSON.stringify(openApiDocument, null, 2)}\n`

writeFileSync(path("openapi.json"), text)
const changes = breakingChanges(JSON.parse(read("openapi.released.json")), JSON.parse(text))
const silent = unannounced(changes, read("CHANGELOG.md"))
for (const { operation, what } of silent) console.error(`${operation}: ${what}`)
if (silent.length > 0) {
  console.error("These break clients: take them back, or name each under `### Breaking` in CHANGELOG.md.")
  process.exitCode = 1
} else if (values.release) {
  writeFileSync(path("openapi.released.json"), text)
}
