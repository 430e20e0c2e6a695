import { readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Ajv2020 } from "ajv/dist/2020.js"
import { Effect } from "effect"
import { TABLE } from "../../src/http/Problem.ts"
import { openApiDocument } from "../../src/http/OpenApiDocument.ts"
import { Forge, forge } from "../../src/testing.ts"

const spec = openApiDocument as any
const operations = Object.entries<any>(spec.paths).flatMap(([path, methods]) =>
  Object.entries<any>(methods).map(([method, operation]) => ({
    name: `${method.toUpperCase()} ${path}`,
    operation,
  })),
)
const codesOf = (response: any): ReadonlyArray<string> => {
  const schema = response.content["application/problem+json"].schema
  return (schema.anyOf ?? [schema])
    .map(({ $ref }: any) => spec.components.schemas[$ref.split("/").at(-1)].properties.code.enum[0])
    .toSorted()
}

const problemsOf = (route: string) => {
  const responses = operations.find(({ name }) => name === route)?.operation.responses
  const statuses = Object.keys(responses).filter((status) => status !== "200")
  return Object.fromEntries(statuses.map((status) => [status, codesOf(responses[status])]))
}

/** The rows of a table of codes, without blanks. */
const cells = (text: string) =>
  [...text.matchAll(/^\| *(\d{3}) *\| *`(\w+)` *\| *(.+?) *\| *(.+?) *\|$/gm)].map((row) => row.slice(1))

/** The problems of every route for apps. */
const OF_ALL = {
  "400": ["invalid_request"],
  "401": ["unauthorized"],
  "403": ["ip_not_allowed", "origin_not_allowed"],
  "406": ["not_acceptable"],
  "500": ["internal"],
}
/** The problems of every such route with a body. */
const OF_BODIES = {
  ...OF_ALL,
  "408": ["request_timeout"],
  "413": ["payload_too_large"],
  "415": ["unsupported_media_type"],
}

describe("GET /openapi.json", () => {
  it.live("is the document of this API, without a token", () =>
    Effect.gen(function* () {
      const { fetch } = yield* Forge
      const response = yield* Effect.promise(() => fetch("/openapi.json"))
      const json = (yield* Effect.promise(() => response.json())) as any
      expect(response.status).toBe(200)
      expect(json).toEqual(JSON.parse(JSON.stringify(spec)))
      expect(json.openapi).toBe("3.1.0")
    }).pipe(Effect.provide(forge())),
  )

  it("has every route", () => {
    expect(operations.map(({ name }) => name).toSorted()).toEqual([
      "DELETE /admin/tokens/{name}",
      "DELETE /sessions/{id}",
      "GET /admin/tokens",
      "GET /docs",
      "GET /events",
      "GET /events/stats",
      "GET /events/stream",
      "GET /healthz",
      "GET /livez",
      "GET /openapi.json",
      "GET /readyz",
      "GET /runs",
      "GET /runs/{id}",
      "GET /runs/{id}/events",
      "GET /sessions",
      "GET /sessions/{id}",
      "GET /sessions/{id}/events",
      "GET /sessions/{id}/turns/{n}/events",
      "POST /admin/tokens",
      "POST /events/maintenance",
      "POST /files",
      "POST /run",
      "POST /runs/{id}/cancel",
      "POST /sessions",
      "POST /sessions/{id}/cancel",
      "POST /sessions/{id}/turn",
    ])
  })

  it("declares the security of each route", () => {
    const security = Object.fromEntries(operations.map(({ name, operation }) => [name, operation.security]))
    expect(security["POST /run"]).toEqual([{ app: [] }])
    expect(security["POST /admin/tokens"]).toEqual([{ admin: [] }])
    expect(security["GET /runs"]).toEqual([{ admin: [] }, { app: [] }])
    expect(security["GET /healthz"]).toEqual([])
    expect(spec.components.securitySchemes).toMatchObject({
      app: { type: "http", scheme: "bearer" },
      admin: { type: "http", scheme: "bearer" },
    })
  })

  it("declares which routes stream", () => {
    const forms = operations.map(({ name, operation }) => [
      name,
      Object.keys(operation.responses["200"].content).toSorted(),
    ])
    const streams = forms.filter(([, types]) => types?.includes("text/event-stream"))
    expect(Object.fromEntries(streams)).toEqual({
      "GET /events/stream": ["text/event-stream"],
      "GET /runs/{id}/events": ["text/event-stream"],
      "GET /sessions/{id}/events": ["text/event-stream"],
      "GET /sessions/{id}/turns/{n}/events": ["text/event-stream"],
      "POST /run": ["application/json", "text/event-stream"],
      "POST /sessions/{id}/turn": ["application/json", "text/event-stream"],
    })
  })

  it("names operations by words that are names in any language, each once", () => {
    const ids = operations.map(({ operation }) => operation.operationId)
    expect(ids.filter((id) => !/^[a-z][A-Za-z]*$/.test(id))).toEqual([])
    expect(new Set(ids).size).toBe(ids.length)
  })

  it("has one table of all codes in its introduction, which docs/api.md has too", () => {
    const table = cells(spec.info.description)
    const pairs = Object.values(TABLE).map(({ status, code }) => `${status} ${code}`)
    expect(table.map(([status, code]) => `${status} ${code}`).toSorted()).toEqual(
      [...new Set(pairs)].toSorted(),
    )
    const page = readFileSync(join(import.meta.dirname, "..", "..", "docs", "api.md"), "utf8")
    expect(cells(page)).toEqual(table)
  })

  it("has no example of what is optional in a header: the page at /docs would send it", () => {
    const headers = operations.flatMap(({ name, operation }) =>
      operation.parameters
        .filter(({ in: place, required }: any) => place === "header" && !required)
        .map(({ name: header, schema }: any) => [name, header, schema.examples]),
    )
    expect(headers.length).toBeGreaterThan(3)
    expect(headers.filter(([, , examples]) => examples !== undefined)).toEqual([])
  })

  it("declares failures by status and code, always as problems", () => {
    expect(problemsOf("POST /run")).toEqual({
      ...OF_BODIES,
      "400": ["invalid_request", "model_not_found"],
      "404": ["not_found"],
      "409": ["idempotency_conflict"],
      "410": ["gone"],
      "429": ["rate_limited"],
      "502": ["agent_unavailable", "billing", "run_failed"],
      "503": ["not_logged_in", "overloaded", "shutting_down"],
      "504": ["timeout"],
    })
    expect(problemsOf("POST /sessions")).toEqual({
      ...OF_BODIES,
      "400": ["invalid_request", "model_not_found"],
      "409": ["idempotency_conflict"],
      "502": ["agent_unavailable"],
      "503": ["not_logged_in", "overloaded", "pool_full", "shutting_down"],
    })
    expect(problemsOf("POST /sessions/{id}/turn")).toEqual({
      ...OF_BODIES,
      "400": ["invalid_request", "model_not_found"],
      "404": ["not_found"],
      "409": ["idempotency_conflict", "session_busy"],
      "410": ["gone", "session_closed"],
      "429": ["rate_limited"],
      "502": ["agent_unavailable", "billing", "run_failed", "turn_failed"],
      "503": ["not_logged_in", "overloaded", "shutting_down"],
      "504": ["timeout"],
    })
    for (const name of ["GET /sessions/{id}", "DELETE /sessions/{id}"])
      expect([name, problemsOf(name)]).toEqual([name, { ...OF_ALL, "404": ["not_found"] }])
    for (const { operation } of operations)
      expect(JSON.stringify(operation.responses)).not.toContain("HttpApiDecodeError")
  })

  it("declares which requests take an idempotency key", () => {
    const named = operations.filter(({ operation }) =>
      operation.parameters.some(({ name }: any) => name === "idempotency-key"),
    )
    expect(named.map(({ name }) => name).toSorted()).toEqual([
      "POST /files",
      "POST /run",
      "POST /sessions",
      "POST /sessions/{id}/turn",
    ])
    for (const { operation } of named) {
      expect(operation.parameters).toContainEqual({
        name: "idempotency-key",
        in: "header",
        required: false,
        description: expect.stringContaining("Idempotent-Replayed"),
        schema: expect.objectContaining({ type: "string", minLength: 1, maxLength: 255 }),
      })
      expect(codesOf(operation.responses["409"])).toContain("idempotency_conflict")
    }
  })

  it("describes the messages of a turn, which the service does not check", () => {
    const { events } = spec.components.schemas.TurnAnswer.properties
    expect([events.type, Object.keys(events.items.properties)]).toEqual([
      "array",
      ["jsonrpc", "method", "params", "id", "result"],
    ])
    expect(spec.components.schemas.OpenSessionRequest.properties.meta.anyOf).toContainEqual(
      expect.objectContaining({ type: "object" }),
    )
  })

  it("has a summary for each route", () => {
    for (const { name, operation } of operations) {
      expect([name, operation.summary]).toEqual([name, expect.stringMatching(/./)])
    }
  })

  it("has an example of every body, which fits its schema", () => {
    const ajv = new Ajv2020({ strict: false, validateFormats: false })
    ajv.addSchema({ $id: "spec", components: spec.components })
    for (const [name, schema] of Object.entries<any>(spec.components.schemas)) {
      if (schema.type !== "object") continue
      const validate = ajv.compile({ $ref: `spec#/components/schemas/${name}` })
      expect([name, schema.examples?.every((example: unknown) => validate(example))]).toEqual([name, true])
    }
  })
})
