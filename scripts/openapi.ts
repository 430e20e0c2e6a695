/**
 * Writes `openapi.json`, the document that the service serves, and the table of codes in `docs/api.md`. With `--release` also writes `openapi.released.json`, the
 * document that clients rely on. Fails if a change breaks clients and the changelog does not announce it. `--in` sets the
 * directory of these files.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { codesTable } from "../src/http/Codes.ts"
import { openApiDocument } from "../src/http/OpenApiDocument.ts"
import { breakingChanges } from "./openapi/Breaking.ts"
import { unannounced } from "./openapi/Changelog.ts"

/** Replaces the table under the heading "Codes", if the file is there. `npm run format` aligns it. */
const writeCodes = (file: string): void => {
  if (!existsSync(file)) return
  const page = readFileSync(file, "utf8")
  writeFileSync(file, page.replace(/(?<=^### Codes\n[^|]*)(?:^\|.*\n)+/m, `${codesTable}\n`))
}

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
writeCodes(join(values.in, "docs", "api.md"))
const changes = breakingChanges(JSON.parse(read("openapi.released.json")), JSON.parse(text))
const missing = unannounced(changes, read("CHANGELOG.md"))
for (const { operation, what } of missing) console.error(`${operation}: ${what}`)
if (missing.length > 0) {
  console.error("These break clients: undo them, or announce each under `### Breaking` in CHANGELOG.md.")
  process.exitCode = 1
} else if (values.release) {
  writeFileSync(path("openapi.released.json"), text)
}
