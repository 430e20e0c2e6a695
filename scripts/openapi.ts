/**
 * Writes `openapi.json`, the document that the service serves. With `--release` also writes `openapi.released.json`, the
 * document that clients rely on. Fails if a change breaks clients and the changelog does not announce it. `--in` sets the
 * directory of these files.
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
const missing = unannounced(changes, read("CHANGELOG.md"))
for (const { operation, what } of missing) console.error(`${operation}: ${what}`)
if (missing.length > 0) {
  console.error("These break clients: undo them, or announce each under `### Breaking` in CHANGELOG.md.")
  process.exitCode = 1
} else if (values.release) {
  writeFileSync(path("openapi.released.json"), text)
}
