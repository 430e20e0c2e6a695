// Generates the document's types as openapi-typescript's documentation shows: a `binary` field of a form is a Blob.
import { readFileSync, writeFileSync } from "node:fs"
import openapiTS, { astToString } from "openapi-typescript"
import ts from "typescript"

const blob = ts.factory.createTypeReferenceNode("Blob")
const nodes = await openapiTS(readFileSync(process.argv[2], "utf8"), {
  transform: ({ format }) => (format === "binary" ? blob : undefined),
})
writeFileSync("api.ts", astToString(nodes))
