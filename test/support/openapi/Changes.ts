import type { Document } from "../../../scripts/openapi/Document.ts"

/** A change of the document: what it is, how it is made, and what of it the comparison says. */
export type Change = readonly [what: string, change: (document: Document) => unknown, said: string]

const run = (document: Document) => document.paths["/run"].post
const schemas = (document: Document) => document.components.schemas
const asked = (document: Document) => schemas(document).RunRequest.properties
const answered = (document: Document) => schemas(document).RunAnswer
const listed = (document: Document) => document.paths["/runs"].get
const parameter = (operation: any, name: string) => operation.parameters.find((one: any) => one.name === name)
const without = <A>(list: ReadonlyArray<A>, gone: A) => list.filter((one) => one !== gone)

/** What makes a client fail that was made for the document as it was. */
export const BREAKING: ReadonlyArray<Change> = [
  ["a path goes", (document) => delete document.paths["/events/stats"], "GET /events/stats: is gone"],
  [
    "a method goes",
    (document) => delete document.paths["/sessions/{id}"].delete,
    "DELETE /sessions/{id}: is gone",
  ],
  [
    "an operation gets another name",
    (document) => (run(document).operationId = "ask"),
    "POST /run: operationId run is gone",
  ],
  [
    "a request's field goes",
    (document) => delete asked(document).effort,
    "POST /run: request: `effort` is not known, which is no longer taken",
  ],
  [
    "a request's field becomes required",
    (document) => schemas(document).TurnRequest.required.push("timeout_secs"),
    "POST /sessions/{id}/turn: request: `timeout_secs` may be absent, which is no longer taken",
  ],
  [
    "a request has a new field that is required",
    (document) => {
      asked(document).purpose = { type: "string" }
      schemas(document).RunRequest.required.push("purpose")
    },
    "POST /run: request: `purpose` may be absent, which is no longer taken",
  ],
  [
    "a request's enum shrinks",
    (document) => (asked(document).effort.anyOf[0].enum = ["low", "medium", "high", "xhigh"]),
    'POST /run: request: `effort` may be "max", which is no longer taken',
  ],
  [
    "a request's bound gets tighter",
    (document) => (asked(document).timeout_secs.anyOf[0].maximum = 600),
    "POST /run: request: `timeout_secs` may be outside of maximum 600, which is no longer taken",
  ],
  [
    "a request's field may not be null any more",
    (document) => (asked(document).model = asked(document).model.anyOf[0]),
    "POST /run: request: `model` may be null, not string, which is no longer taken",
  ],
  [
    "a request's field gets a pattern",
    (document) => (asked(document).prompt.pattern = "^[a-z]"),
    "POST /run: request: `prompt` may be outside of pattern ^[a-z], which is no longer taken",
  ],
  [
    "a request's media type goes",
    (document) => {
      const { content } = run(document).requestBody
      run(document).requestBody.content = { "application/x-ndjson": content["application/json"] }
    },
    "POST /run: takes no application/json any more",
  ],
  [
    "an upload's file is a text",
    (document) => {
      const { schema } = document.paths["/files"].post.requestBody.content["multipart/form-data"]
      delete schema.properties.file.format
    },
    "POST /files: request: `file` has another format, which is no longer taken",
  ],
  [
    "a parameter goes",
    (document) => listed(document).parameters.splice(0, 1),
    "GET /runs: query parameter limit is gone",
  ],
  [
    "a parameter becomes required",
    (document) => (parameter(listed(document), "status").required = true),
    "GET /runs: query parameter status is required",
  ],
  [
    "a parameter's bound gets tighter",
    (document) => (parameter(listed(document), "limit").schema.maximum = 100),
    "GET /runs: query parameter limit: it may be outside of maximum 100, which is no longer taken",
  ],
  [
    "a success goes",
    (document) => {
      const { responses } = document.paths["/docs"].get
      delete responses["304"]
    },
    "GET /docs: answer 304 is gone",
  ],
  [
    "another success is there",
    (document) => (run(document).responses["202"] = run(document).responses["200"]),
    "POST /run: may answer 202",
  ],
  [
    "an answer's media type goes",
    (document) => delete run(document).responses["200"].content["text/event-stream"],
    "POST /run: answer 200 is no text/event-stream any more",
  ],
  [
    "an answer's field goes",
    (document) => {
      delete answered(document).properties.stop_reason
      answered(document).required = without(answered(document).required, "stop_reason")
    },
    "POST /run: answer 200: `stop_reason` may be absent, which is not expected",
  ],
  [
    "an answer's field that need not be there goes",
    (document) => delete answered(document).properties.cost_usd,
    "POST /run: answer 200: `cost_usd` is gone, which is not expected",
  ],
  [
    "an answer's field is of another type",
    (document) => (answered(document).properties.duration_ms.type = "string"),
    "POST /run: answer 200: `duration_ms` may be string, not integer, which is not expected",
  ],
  [
    "an answer's field is a number, no longer a whole one",
    (document) => (answered(document).properties.duration_ms.type = "number"),
    "POST /run: answer 200: `duration_ms` may be number, not integer, which is not expected",
  ],
  [
    "an answer's field may be absent",
    (document) => (answered(document).required = without(answered(document).required, "duration_ms")),
    "POST /run: answer 200: `duration_ms` may be absent, which is not expected",
  ],
  [
    "an answer's field may be null",
    (document) => {
      const { properties } = answered(document)
      properties.stop_reason = { anyOf: [properties.stop_reason, { type: "null" }] }
    },
    "POST /run: answer 200: `stop_reason` may be null, not string, which is not expected",
  ],
  [
    "an answer's enum grows",
    (document) => schemas(document).RunState.properties.status.enum.push("paused"),
    'GET /runs/{id}: answer 200: `status` may be "paused", which is not expected',
  ],
  [
    "an answer's enum is any text",
    (document) => delete schemas(document).RunState.properties.kind.enum,
    'GET /runs/{id}: answer 200: `kind` may be any string, not only "run" or "turn", which is not expected',
  ],
  [
    "a field of what is in a list may be null",
    (document) => {
      const { properties } = schemas(document).EventList.properties.events.items
      properties.at = { anyOf: [properties.at, { type: "null" }] }
    },
    "GET /events: answer 200: `events[].at` may be null, not integer, which is not expected",
  ],
  [
    "a header goes",
    (document) => delete run(document).responses["200"].headers["X-Run-Id"],
    "POST /run: answer 200, header X-Run-Id is gone",
  ],
  [
    "a problem's code goes",
    (document) =>
      run(document).responses["502"].content["application/problem+json"].schema.anyOf.splice(0, 1),
    "POST /run: answer 502: code run_failed is gone",
  ],
  [
    "a problem's code gets another name",
    (document) => (schemas(document).TimeoutProblem.properties.code.enum = ["too_slow"]),
    "POST /run: answer 504: code timeout is gone",
  ],
  [
    "a problem's status goes",
    (document) => delete run(document).responses["410"],
    "POST /run: answer 410: code gone is gone",
  ],
  [
    "a problem's field goes",
    (document) => {
      const { TimeoutProblem } = schemas(document)
      delete TimeoutProblem.properties.retryable
      TimeoutProblem.required = without(TimeoutProblem.required, "retryable")
    },
    "POST /run: answer 504 timeout: `retryable` may be absent, which is not expected",
  ],
  [
    "a token is asked for where there was none",
    (document) => (document.paths["/healthz"].get.security = [{ app: [] }]),
    "GET /healthz: no longer lets in everybody",
  ],
  [
    "another token is asked for",
    (document) => (run(document).security = [{ admin: [] }]),
    "POST /run: no longer lets in app",
  ],
  [
    "one of two tokens is no longer let in",
    (document) => (listed(document).security = [{ admin: [] }]),
    "GET /runs: no longer lets in app",
  ],
  [
    "a second token is asked for beside the first",
    (document) => (run(document).security = [{ app: [], admin: [] }]),
    "POST /run: no longer lets in app",
  ],
  [
    "tokens are given in another way",
    (document) => (document.components.securitySchemes.app = { type: "apiKey", in: "header", name: "X-Key" }),
    "POST /run: no longer lets in app",
  ],
  [
    "the service moves",
    (document) => (document.servers = [{ url: "/v1" }]),
    "every route: is served from another place",
  ],
]

/** What no client notices that was made for the document as it was. */
export const HARMLESS: ReadonlyArray<readonly [what: string, change: (document: Document) => unknown]> = [
  ["nothing", () => {}],
  [
    "another path",
    (document) => (document.paths["/more"] = { get: { ...listed(document), operationId: "more" } }),
  ],
  ["another word for it", (document) => (run(document).summary = "Ask one thing")],
  [
    "another description and example of a field",
    (document) =>
      Object.assign(asked(document).prompt, { description: "It", examples: ["Why?"], title: "Prompt" }),
  ],
  ["a request has a new field", (document) => (asked(document).purpose = { type: "string" })],
  ["a request's enum grows", (document) => asked(document).effort.anyOf[0].enum.push("none")],
  ["a request's bound gets wider", (document) => (asked(document).timeout_secs.anyOf[0].maximum = 7200)],
  ["a request's pattern goes", (document) => delete asked(document).model.anyOf[0].pattern],
  ["a request's field need not be there", (document) => (schemas(document).RunRequest.required = [])],
  [
    "a request's field may be null, or a list",
    (document) =>
      (asked(document).prompt = { anyOf: [asked(document).prompt, { type: "array" }, { type: "null" }] }),
  ],
  [
    "another media type is taken",
    (document) => (run(document).requestBody.content["application/cbor"] = { schema: {} }),
  ],
  [
    "another parameter",
    (document) => listed(document).parameters.push({ name: "kind", in: "query", schema: { type: "string" } }),
  ],
  [
    "a parameter's enum grows",
    (document) => parameter(listed(document), "status").schema.enum.push("paused"),
  ],
  [
    "parameters in another order",
    (document) => (listed(document).parameters = listed(document).parameters.toReversed()),
  ],
  [
    "an answer has a new field",
    (document) => (answered(document).properties.model_family = { type: "string" }),
  ],
  ["an answer's field is always there", (document) => answered(document).required.push("usage")],
  [
    "an answer's field is never null",
    (document) => (answered(document).properties.cost_usd = { type: "number" }),
  ],
  [
    "an answer's number is a whole one",
    (document) => (answered(document).properties.cost_usd.anyOf[0].type = "integer"),
  ],
  ["an answer's enum shrinks", (document) => schemas(document).RunState.properties.status.enum.pop()],
  [
    "an answer has another media type",
    (document) => (run(document).responses["200"].content["application/cbor"] = { schema: {} }),
  ],
  [
    "an answer has another header",
    (document) => (run(document).responses["200"].headers["X-Cost"] = { schema: {} }),
  ],
  [
    "another problem",
    (document) => {
      const { schema } = run(document).responses["502"].content["application/problem+json"]
      schema.anyOf.push({ $ref: "#/components/schemas/TurnFailedProblem" })
    },
  ],
  [
    "a status with a problem",
    (document) => (run(document).responses["402"] = document.paths["/files"].post.responses["429"]),
  ],
  ["another token is let in, too", (document) => run(document).security.push({ admin: [] })],
  ["no token is asked for", (document) => (run(document).security = [])],
  [
    "a schema that has another name",
    (document) => {
      schemas(document).Answer = answered(document)
      delete schemas(document).RunAnswer
      run(document).responses["200"].content["application/json"].schema.$ref = "#/components/schemas/Answer"
    },
  ],
  [
    "a schema in its place, not by its name",
    (document) => (run(document).responses["200"].content["application/json"].schema = answered(document)),
  ],
]
