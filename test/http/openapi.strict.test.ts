import { describe, expect, it } from "@effect/vitest"
import { openApiDocument } from "../../src/http/OpenApiDocument.ts"
import { type Document, nodesOf, operationsOf, resolve } from "../../scripts/openapi/Document.ts"
import { objectionsTo } from "../support/openapi/Strict.ts"

const served = (): Document => JSON.parse(JSON.stringify(openApiDocument))
const run = (document: Document) => document.paths["/run"].post

const isClosed = ({ additionalProperties }: any) => additionalProperties === false

/** Each corrupts a valid document in one way; the check must report it with that message. */
const SPOILT: ReadonlyArray<readonly [what: string, spoil: (document: Document) => void, objection: RegExp]> =
  [
    ["a keyword that OpenAPI does not know", (document) => (document.infos = {}), /not OpenAPI/],
    [
      "an invalid schema",
      (document) => (document.components.schemas.RunList.type = "list"),
      /RunList: is no JSON Schema/,
    ],
    ["no version", (document) => delete document.info.version, /not OpenAPI/],
    [
      "a reference to nothing",
      (document) => (run(document).responses["200"].content["application/json"].schema.$ref += "s"),
      /Can't resolve #.components.schemas.RunAnswers/,
    ],
    [
      "a repeated operationId",
      (document) => (run(document).operationId = "listRuns"),
      /listRuns is there more than once/,
    ],
    [
      "an example that does not fit its schema",
      (document) => (document.components.schemas.RunAnswer.examples[0].ok = "yes"),
      /RunAnswer.*does not fit/,
    ],
    [
      "an example of a parameter that does not fit",
      (document) => (run(document).parameters[0].schema.examples = ["é"]),
      /POST|post.*does not fit/,
    ],
    [
      "a schema that nothing uses",
      (document) => (document.components.schemas.Other = { type: "string" }),
      /schemas Other is not used/,
    ],
    [
      "an object without fields",
      (document) => (document.components.schemas.SessionState.properties.meta = { type: "object" }),
      /SessionState.properties.meta: is an object without fields/,
    ],
    ["no summary", (document) => delete run(document).summary, /POST \/run has no summary/],
    ["no tag", (document) => delete run(document).tags, /POST \/run has no tag/],
    ["an undeclared tag", (document) => run(document).tags.push("x"), /POST \/run has a strange tag/],
    ["no security", (document) => delete run(document).security, /POST \/run does not say who/],
    [
      "an undeclared security scheme",
      (document) => run(document).security.push({ other: [] }),
      /POST \/run wants a token/,
    ],
    [
      "a path parameter that is not declared",
      (document) => (document.paths["/runs/{id}"].get.parameters = []),
      /GET \/runs\/\{id\} declares other path parameters/,
    ],
    ["no 401", (document) => delete run(document).responses["401"], /POST \/run has no 401/],
    [
      "a problem with the media type of plain JSON",
      (document) => {
        const { content } = run(document).responses["502"]
        run(document).responses["502"].content = { "application/json": content["application/problem+json"] }
      },
      /POST \/run 502: is no application\/problem\+json/,
    ],
    [
      "a problem under another status",
      (document) => (run(document).responses["502"] = run(document).responses["503"]),
      /POST \/run 502: is a problem without a code, or of another status/,
    ],
    [
      "a file field that is a list",
      (document) => {
        const { schema } = document.paths["/files"].post.requestBody.content["multipart/form-data"]
        schema.properties.file = { type: "array", items: { type: "string" } }
      },
      /POST \/files has a form without a file/,
    ],
  ]

describe("the document, checked strictly", () => {
  it("has no errors", async () => {
    expect(await objectionsTo(served())).toEqual([])
  })

  it.each(SPOILT)("is reported for %s", async (_, spoil, objection) => {
    const document = served()
    spoil(document)
    expect(await objectionsTo(document)).toContainEqual(expect.stringMatching(objection))
  })

  it("allows unknown fields in answers, and none in requests", () => {
    const document = served()
    const bodies = operationsOf(document).flatMap(({ operation }) =>
      Object.values<any>(operation.requestBody?.content ?? {}).map(({ schema }) =>
        schema.$ref === undefined ? schema : resolve(document, schema.$ref),
      ),
    )
    expect(bodies.length).toBe(6)
    expect(bodies.filter(isClosed)).toEqual(bodies)
    expect(nodesOf(document).filter(([, node]) => isClosed(node))).toHaveLength(bodies.length)
  })

  it("has no names of the framework", () => {
    const titles = nodesOf(served()).filter(([, { title }]) => typeof title === "string")
    expect(titles.map(([where]) => where)).toEqual(["#/info"])
    expect(Object.keys(served().components.schemas)).not.toContain("Int")
  })

  it("declares readiness as text for both statuses", () => {
    const { responses } = served().paths["/readyz"].get
    for (const status of ["200", "503"])
      expect(Object.keys(responses[status].content)).toEqual(["text/plain"])
  })
})
