import { connect } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import { expectWithin } from "../support/Pace.ts"
import { shared } from "../support/Sessions.ts"
import {
  ADMIN_TOKEN,
  type Answer,
  overSocket,
  scriptedClaude,
  startServer,
  type TestServer,
} from "../support/TestServer.ts"

const started = startServer({ claudeBin: Option.some(scriptedClaude), maxBodyBytes: 100_000 })
const common = shared(started)
let apps = 0

/** An app of the server that these tests have in common. */
const withApp = <A>(test: (server: TestServer, token: string) => Effect.Effect<A>) =>
  Effect.suspend(() => Effect.flatMap(common().mint(`app-${++apps}`), (token) => test(common(), token)))

const post = (token: string, headers: string) =>
  `POST /run HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\n${headers}\r\n\r\n`

/** A client that sends its whole body, block by block, before it reads the answer. */
const sendAllThenRead = (url: string, head: string, size: number): Effect.Effect<string> =>
  Effect.async<string>((resume) => {
    const socket = connect(Number(new URL(url).port), "127.0.0.1").pause()
    let received = ""
    socket.on("error", ({ message }) => resume(Effect.succeed(message)))
    socket.on("data", (data) => (received += String(data)))
    socket.on("end", () => resume(Effect.succeed(received)))
    socket.write(head)
    const block = Buffer.alloc(256 * 1024, " ")
    let sent = 0
    const next = () => {
      if (sent >= size) return void socket.resume()
      sent += block.length
      socket.write(block, () => setTimeout(next, 2))
    }
    next()
    return Effect.sync(() => socket.destroy())
  })

/** Asserts that the answer is a complete and consistent problem object of the contract. */
const expectProblem = (answer: Answer, status: number, code: string) => {
  expect([answer.status, answer.json?.code]).toEqual([status, code])
  expect(answer.headers.get("content-type")).toBe("application/problem+json")
  const { json } = answer
  expect(json).toMatchObject({
    ok: false,
    type: "about:blank",
    title: expect.stringMatching(/./),
    status,
    detail: json.error,
    request_id: answer.headers.get("x-request-id"),
    retryable: expect.any(Boolean),
  })
  expect(Object.keys(json).slice(0, 9)).toEqual([
    "ok",
    "error",
    "code",
    "type",
    "title",
    "status",
    "detail",
    "request_id",
    "retryable",
  ])
  expect(json.error).toMatch(/\S/)
  return json
}

describe("POST /run", () => {
  it.live("lists all issues of a body at once, each with its path and what is expected", () =>
    withApp((server, token) =>
      Effect.map(
        server.run(token, { promt: "x", timeout_secs: 0, effort: "huge", model: "-rf" }),
        (answer) => {
          const { issues, error } = expectProblem(answer, 400, "invalid_request")
          expect(issues).toEqual(
            expect.arrayContaining([
              { path: ["promt"], message: "is not a known field" },
              { path: ["prompt"], message: "is missing" },
              { path: ["timeout_secs"], message: "must be a whole number of seconds from 1 to 3600" },
              { path: ["effort"], message: "must be low, medium, high, xhigh or max" },
              { path: ["model"], message: expect.stringContaining("must be a model name") },
            ]),
          )
          expect(issues).toHaveLength(5)
          expect(error).toContain("prompt is missing")
        },
      ),
    ),
  )

  it.live("treats null in an optional field as absent", () =>
    withApp((server, token) =>
      Effect.map(
        server.run(token, {
          prompt: "SAY hello",
          model: null,
          system: null,
          system_mode: null,
          effort: null,
          files: null,
          timeout_secs: null,
          output_schema: null,
        }),
        ({ json }) => expect(json.result).toBe("hello"),
      ),
    ),
  )

  it.live.each([
    ["not JSON", "{not json", "the body is not JSON"],
    ["empty", "", "the body is empty; this route takes JSON"],
    ["cut short", '{"prompt":"x"', "the body is not JSON"],
  ])("refuses a body that is %s", ([, body, sentence]) =>
    withApp((server, token) =>
      Effect.map(
        server.request("POST", "/run", { token, body, headers: { "content-type": "application/json" } }),
        (answer) => {
          expect(expectProblem(answer, 400, "invalid_request").error).toBe(sentence)
        },
      ),
    ),
  )

  it.live.each<[unknown, ReadonlyArray<string>]>([
    [[], []],
    ["text", []],
    [null, []],
    [{ prompt: "" }, ["prompt"]],
    [{ prompt: " \n" }, ["prompt"]],
    [{ prompt: null }, ["prompt"]],
    [{ prompt: 5 }, ["prompt"]],
    [{ prompt: "x", system: 5 }, ["system"]],
    [{ prompt: "x", system_mode: "prepend" }, ["system_mode"]],
    [{ prompt: "x", timeout_secs: 3601 }, ["timeout_secs"]],
    [{ prompt: "x", timeout_secs: 1.5 }, ["timeout_secs"]],
    [{ prompt: "x", timeout_secs: "5" }, ["timeout_secs"]],
    [{ prompt: "x", files: "ff_1" }, ["files"]],
    [{ prompt: "x", output_schema: [] }, ["output_schema"]],
    [{ prompt: "x", output_schema: true }, ["output_schema"]],
    [{ prompt: "x", output_schema: { type: "nonsense" } }, ["output_schema"]],
    [{ prompt: "x", output_schema: { $ref: "#/nowhere" } }, ["output_schema"]],
    [{ prompt: "x", output_schema: { description: "x".repeat(65_536) } }, ["output_schema"]],
  ])("refuses %j", ([body, path]) =>
    withApp((server, token) =>
      Effect.map(server.request("POST", "/run", { token, body: JSON.stringify(body) }), (answer) => {
        expect(expectProblem(answer, 400, "invalid_request").issues[0].path.slice(0, 1)).toEqual(path)
      }),
    ),
  )

  it.live("never quotes the request", () =>
    withApp((server, token) =>
      Effect.gen(function* () {
        const canary = "canary-7a6b"
        const values = [canary, [canary], { [`x${"y".repeat(100)}`]: canary }, 5, true]
        for (const field of [
          "prompt",
          "model",
          "system",
          "system_mode",
          "effort",
          "files",
          "timeout_secs",
          "output_schema",
        ]) {
          for (const value of values) {
            const answer = yield* server.run(token, {
              ...(field === "prompt" ? {} : { prompt: 1 }),
              [field]: value,
            })
            if (answer.status === 400) expect(answer.text).not.toContain(canary)
          }
        }
        expect(
          (yield* server.request("POST", "/run", { token, body: JSON.stringify(canary) })).text,
        ).not.toContain(canary)
      }),
    ),
  )

  it.live("refuses an output_schema that would take forever to check, and keeps serving meanwhile", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const settings = { claudeBin: Option.some(scriptedClaude), maxBodyBytes: 100_000 }
        const server = yield* startServer(settings)
        const token = yield* server.mint("recipes")
        const deep = `${'{"not":'.repeat(9000)}{}${"}".repeat(9000)}`
        const nested = yield* server.request("POST", "/run", {
          token,
          body: `{"prompt":"SAY 1","output_schema":${deep}}`,
        })
        expectProblem(nested, 400, "invalid_request")
        const evil = { type: "string", pattern: "^(a+)+$" }
        const slow = yield* Effect.fork(
          server.run(token, { prompt: `SAY "${"a".repeat(40)}!"`, output_schema: evil }),
        )
        expect((yield* server.request("GET", "/healthz")).status).toBe(200)
        expect((yield* slow).json).toMatchObject({
          status: 502,
          issues: [{ path: [], message: "takes too long to check" }],
        })
      }),
    ),
  )

  it.live(
    "checks an answer against its output_schema, also with hostile schemas, and does not quote the answer",
    () =>
      withApp((server, token) => {
        const ask = (answer: unknown, output_schema: object) =>
          server.run(token, { prompt: `SAY ${JSON.stringify(answer)}`, output_schema })
        return Effect.gen(function* () {
          expect((yield* ask(1, { $async: true, type: "object", required: ["x"] })).status).toBe(502)
          expect((yield* ask({}, { required: ["constructor", "toString"] })).status).toBe(502)
          expect((yield* ask({ qty: 1 }, { required: ["qty"] })).json.result).toEqual({ qty: 1 })
          const own = yield* ask(
            { qty: { "canary 8d7c": 1 } },
            { properties: { qty: { additionalProperties: { type: "string" } } } },
          )
          expect(own.json.issues).toEqual([{ path: ["qty", "*"], message: "must be string" }])
          expect(own.text).not.toContain("canary")
          const endless = yield* ask({}, { $ref: "#" })
          expect(endless.json.issues).toEqual([{ path: [], message: "cannot be checked" }])
        })
      }),
  )

  it.live("refuses unknown files", () =>
    withApp((server, token) =>
      Effect.gen(function* () {
        expectProblem(yield* server.run(token, { prompt: "x", files: ["ff_unknown"] }), 404, "not_found")
        expect((yield* server.run(token, { prompt: "SAY 1", files: [] })).status).toBe(200)
      }),
    ),
  )

  it.live("refuses a body of thousands of fields as a whole", () =>
    withApp((server, token) =>
      Effect.map(
        server.run(token, Object.fromEntries(Array.from({ length: 5000 }, (_, n) => [`field${n}`, n]))),
        (answer) => {
          expect(expectProblem(answer, 400, "invalid_request").issues).toBeUndefined()
        },
      ),
    ),
  )

  it.live.each<[string, string, number, string]>([
    ["application/json", "latin1", 400, "the body is not in UTF-8, which JSON must be"],
    ["application/json; charset=utf-8", "latin1", 400, "the body is not in UTF-8, which JSON must be"],
    ["application/json", "utf16le", 400, "the body is not in UTF-8, which JSON must be"],
    [
      "application/json; charset=ISO-8859-1",
      "latin1",
      415,
      "JSON is read as UTF-8, and the Content-Type names another charset",
    ],
    [
      'application/json; x=y; charset="UTF-16"',
      "utf16le",
      415,
      "JSON is read as UTF-8, and the Content-Type names another charset",
    ],
    [
      "application/json\r\nContent-Encoding: gzip",
      "utf8",
      415,
      "the body is compressed, as its Content-Encoding says; send it uncompressed",
    ],
    ["text/json", "utf8", 415, "this route takes application/json, and the Content-Type must say so"],
  ])("says what is wrong with a body that is %s in %s", ([type, encoding, status, sentence]) =>
    withApp((server, token) =>
      Effect.gen(function* () {
        const body = Buffer.from('{"prompt":"SAY na\u00efve"}', encoding as BufferEncoding)
        const answer = yield* overSocket(
          server.url,
          [
            post(token, `Content-Length: ${body.length}`).replace(
              "Content-Type: application/json",
              `Content-Type: ${type}`,
            ),
            body,
          ],
          /"ok"/,
        )
        expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
        expect(answer).toContain(`"error":"${sentence}"`)
      }),
    ),
  )

  it.live.each([
    "application/json; odata=verbose",
    "application/json;charset=UTF8",
    "APPLICATION/JSON; charset=us-ascii",
    "application/json;",
  ])("takes a body that is %s, also after a byte order mark", (type) =>
    withApp((server, token) =>
      Effect.gen(function* () {
        const body = '\uFEFF{"prompt":"SAY na\u00efve"}'
        const { json } = yield* server.request("POST", "/run", {
          token,
          body,
          headers: { "content-type": type },
        })
        expect(json).toMatchObject({ ok: true, result: "na\u00efve" })
      }),
    ),
  )

  it.live("says which coding and which type would have been taken", () =>
    withApp((server, token) =>
      Effect.gen(function* () {
        const sent = { token, body: "{}" }
        const compressed = yield* server.request("POST", "/run", {
          ...sent,
          headers: { "content-encoding": "gzip" },
        })
        expectProblem(compressed, 415, "unsupported_media_type")
        expect(compressed.headers.get("accept-encoding")).toBe("identity")
        const other = yield* server.request("POST", "/run", {
          ...sent,
          headers: { "content-type": "text/plain" },
        })
        expect(other.headers.get("accept")).toBe("application/json")
      }),
    ),
  )

  it.live("refuses another media type, and an unknown include", () =>
    withApp((server, token) =>
      Effect.gen(function* () {
        const form = {
          token,
          body: "prompt=x",
          headers: { "content-type": "application/x-www-form-urlencoded" },
        }
        expectProblem(yield* server.request("POST", "/run", form), 415, "unsupported_media_type")
        for (const type of [
          "text/plain",
          "application/xml",
          "application/jsonx",
          "application/json; charset=utf-16",
          "multipart/form-data; boundary=x",
        ]) {
          const answer = yield* server.request("POST", "/run", { ...form, headers: { "content-type": type } })
          expectProblem(answer, 415, "unsupported_media_type")
        }
        expectProblem(
          yield* server.run(token, { prompt: "x" }, "?include=everything"),
          400,
          "invalid_request",
        )
      }),
    ),
  )

  it.live("refuses a client that accepts no JSON", () =>
    withApp((server, token) =>
      Effect.map(
        server.request("POST", "/run", { token, body: { prompt: "x" }, headers: { accept: "image/png" } }),
        (answer) => expectProblem(answer, 406, "not_acceptable"),
      ),
    ),
  )
})

describe("a body over the limit", () => {
  it.live("is 413, with a length", () =>
    withApp((server, token) =>
      Effect.map(server.run(token, { prompt: "x".repeat(200_000) }), (answer) => {
        expectProblem(answer, 413, "payload_too_large")
      }),
    ),
  )

  it.live("is 413, chunked without a length, and the connection stays open", () =>
    withApp((server, token) =>
      Effect.gen(function* () {
        const chunks = Array.from({ length: 30 }, () => `2710\r\n${"x".repeat(10_000)}\r\n`)
        const answers = yield* overSocket(
          server.url,
          [
            post(token, "Transfer-Encoding: chunked"),
            ...chunks,
            "0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
          ],
          /claude_present/,
        )
        expect(answers).toMatch(/^HTTP\/1\.1 413 /)
        expect(answers).toContain('"code":"payload_too_large"')
      }),
    ),
  )

  it.live("is 413 also for a client that closes, and reads only after it has sent everything", () =>
    withApp((server, token) =>
      Effect.gen(function* () {
        // More than the buffers of the sockets hold, and sent in blocks, as programs do.
        const size = 30 * 1024 * 1024
        for (const [who, code] of [
          [token, "payload_too_large"],
          ["cf_wrong", "unauthorized"],
        ] as const) {
          const answer = yield* sendAllThenRead(
            server.url,
            post(who, `Connection: close\r\nContent-Length: ${size}`),
            size,
          )
          expect(answer).toContain(`"code":"${code}"`)
        }
      }),
    ),
  )
})

describe("an unusual request", () => {
  it.live.each<[string, string, number]>([
    ["no HTTP", "hello\r\n\r\n", 400],
    ["a bad length", "POST /run HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n", 400],
    [
      "two framings",
      "POST /run HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
      400,
    ],
    ["headers without end", `GET / HTTP/1.1\r\nHost: x\r\nA: ${"a".repeat(40_000)}\r\n\r\n`, 431],
    ["a tunnel", "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n", 405],
  ])("that Node cannot parse is answered with a problem: %s", ([, bytes, status]) =>
    withApp((server) =>
      Effect.map(overSocket(server.url, [bytes]), (answer) => {
        const [head = "", body = ""] = answer.split("\r\n\r\n")
        expect(head).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
        expect(head).toContain("content-type: application/problem+json")
        expect(JSON.parse(body)).toMatchObject({
          ok: false,
          status,
          request_id: /x-request-id: (\S+)/.exec(head)?.[1],
        })
      }),
    ),
  )

  it.live("that Node cannot parse is answered after the request before it", () =>
    withApp((server, token) =>
      Effect.gen(function* () {
        const body = '{"prompt":"SAY hello"}'
        const answers = yield* overSocket(server.url, [
          `${post(token, `Content-Length: ${body.length}`)}${body}this is no HTTP\r\n\r\n`,
        ])
        expect(answers.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 200", "HTTP/1.1 400"])
      }),
    ),
  )

  it.live.each([
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAA",
    "Connection: Upgrade\r\nUpgrade: websocket",
    "Expect: something-else",
  ])("is served as a usual one: %s", (headers) =>
    withApp((server, token) =>
      Effect.gen(function* () {
        const body = '{"prompt":"SAY hello"}'
        const answer = yield* overSocket(
          server.url,
          [post(token, `Content-Length: ${body.length}\r\n${headers}`), body],
          /"ok"/,
        )
        expect(answer).toContain('{"ok":true,"result":"hello"')
      }),
    ),
  )
})

describe("a route", () => {
  it.live("that does not exist is 404", () =>
    withApp((server, token) =>
      Effect.gen(function* () {
        for (const path of [
          "/nowhere",
          "/runs/x/y/z",
          "/admin",
          "/admin/tokens/a/b",
          "/%",
          "/%zz",
          "/..%2f..",
        ]) {
          expectProblem(yield* server.request("GET", path, { token }), 404, "not_found")
        }
      }),
    ),
  )

  it.live("lists its methods in a 405", () =>
    withApp((server, token) =>
      Effect.gen(function* () {
        const run = yield* server.request("GET", "/run", { token })
        expectProblem(run, 405, "method_not_allowed")
        expect(run.headers.get("allow")).toBe("POST")
        const tokens = yield* server.request("PUT", "/admin/tokens", { token })
        expect(tokens.headers.get("allow")?.split(", ").toSorted()).toEqual(["GET", "HEAD", "POST"])
      }),
    ),
  )

  it.live("for an unusual token name is 404 or 405", () =>
    withApp((server) =>
      Effect.gen(function* () {
        for (const name of ["%00", "%zz", "..", "A", "a".repeat(1000), "%F0%9F%98%80"]) {
          const answer = yield* server.request("DELETE", `/admin/tokens/${name}`, { token: ADMIN_TOKEN })
          expect([404, 405]).toContain(answer.status)
        }
      }),
    ),
  )
})

describe("every answer", () => {
  it.live("has the caller's X-Request-Id if that is valid, else a new one", () =>
    withApp((server) =>
      Effect.gen(function* () {
        const withId = (id: string) => server.request("GET", "/nowhere", { headers: { "x-request-id": id } })
        const own = yield* withId("my.request_id-1")
        expect([own.headers.get("x-request-id"), own.json.request_id]).toEqual([
          "my.request_id-1",
          "my.request_id-1",
        ])
        for (const id of ["a b", "x".repeat(129), "<script>"]) {
          const fresh = yield* withId(id)
          expect(fresh.headers.get("x-request-id")).toMatch(/^[0-9A-Z]{26}$/)
        }
        expect((yield* server.request("GET", "/healthz")).headers.get("x-request-id")).toMatch(
          /^[0-9A-Z]{26}$/,
        )
      }),
    ),
  )
})

describe("a text", () => {
  it.live("has its charset in its media type; a problem needs none", () =>
    withApp((server, token) =>
      Effect.gen(function* () {
        const types = []
        for (const [method, path] of [
          ["GET", "/healthz"],
          ["GET", "/openapi.json"],
          ["GET", "/runs"],
          ["HEAD", "/runs"],
          ["GET", "/readyz"],
          ["GET", "/nowhere"],
        ] as const) {
          types.push((yield* server.request(method, path, { token })).headers.get("content-type"))
        }
        types.push((yield* server.run(token, { prompt: "SAY hello" })).headers.get("content-type"))
        const json = "application/json; charset=utf-8"
        expect(types).toEqual([
          json,
          json,
          json,
          json,
          "text/plain; charset=utf-8",
          "application/problem+json",
          json,
        ])
      }),
    ),
  )
})

describe("GET /healthz", () => {
  it.live("tells which CLIs are present, without a token", () =>
    withApp((server) =>
      Effect.map(server.request("GET", "/healthz"), ({ status, json }) => {
        expect([status, json]).toEqual([
          200,
          {
            ok: true,
            claude_present: true,
            claude_version: "0.0.1 (scripted)",
            acpx_present: true,
            acpx_version: "0.0.1 (scripted)",
            open_sessions: 0,
            login: expect.any(String),
          },
        ])
      }),
    ),
  )

  it.live("is 200 with ok false if a CLI is missing", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const server = yield* startServer({ claudeBin: Option.some("/no/such/claude") })
        const { status, json } = yield* server.request("GET", "/healthz", {
          headers: { accept: "text/html" },
        })
        expect([status, json.ok, json.claude_present, json.claude_version]).toEqual([200, false, false, null])
      }),
    ),
  )
})

describe("a body that is too complex to be parsed", () => {
  it.live("is refused before it has arrived", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const server = yield* startServer({ claudeBin: Option.some(scriptedClaude) })
        const token = yield* server.mint("recipes")
        for (const [start, more] of [
          ['{"prompt":', "["],
          ['{"output_schema":', '{"a":'],
          ['{"prompt":[', "1,"],
          ["{", '"a":1,'],
          ['{"files":[', "[],"],
        ] as const) {
          // Most of what is declared never comes.
          const head = post(token, `Content-Length: ${12 * 1024 * 1024}`)
          const answer = yield* overSocket(server.url, [head, start, more.repeat(60_000)], /request_id/)
          expect(answer).toMatch(/^HTTP\/1\.1 400 [\s\S]*levels deep, or more than 50000 values/)
        }
      }),
    ),
  )
})

describe("a body of twelve megabytes that is one JSON string", () => {
  it.live("is refused as fast as it can be read", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const server = yield* startServer({ claudeBin: Option.some(scriptedClaude) })
        const token = yield* server.mint("recipes")
        const body = `"${"a".repeat(12 * 1024 * 1024 - 2)}"`
        const [took, answer] = yield* server.request("POST", "/run", { token, body }).pipe(Effect.timed)
        expectProblem(answer, 400, "invalid_request")
        yield* Effect.promise(() => expectWithin(Duration.toMillis(took), 8000))
      }),
    ),
  )
})
