import { existsSync, readdirSync, statSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Option } from "effect"
import { shared } from "../support/Sessions.ts"
import {
  ADMIN_TOKEN,
  eventually,
  fileForm,
  overSocket,
  scriptedClaude,
  startServer,
  type TestServer,
} from "../support/TestServer.ts"

/** `POST /files` on real sockets and a real disk, with limits of 1 MiB a file and 4 MiB an app. */
const common = shared(startServer({ claudeBin: Option.some(scriptedClaude) }))
let apps = 0
/** What earlier tests have left on the disk. */
let earlier: ReadonlySet<string>

/** A new app of the server that these tests have in common. */
const withApp = <A>(test: (server: TestServer, token: string, name: string) => Effect.Effect<A>) =>
  Effect.gen(function* () {
    const server = common()
    const name = `app-${++apps}`
    earlier = new Set(readdirSync(server.config.filesDir))
    const answer = yield* test(server, yield* server.mint(name), name)
    expect(yield* Effect.map(server.request("GET", "/healthz"), ({ status }) => status)).toBe(200)
    return answer
  })

const kept = (server: TestServer) => readdirSync(server.config.filesDir).filter((name) => !earlier.has(name))

const BOUNDARY = "----a-boundary"
const part = (headers: string, content: string) => `--${BOUNDARY}\r\n${headers}\r\n\r\n${content}\r\n`
const filePart = (content: string, filename = "a.txt") =>
  part(`Content-Disposition: form-data; name="file"; filename="${filename}"`, content)
const form = (...parts: ReadonlyArray<string>) => `${parts.join("")}--${BOUNDARY}--\r\n`
const head = (token: string, more: string) =>
  `POST /files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: multipart/form-data; boundary=${BOUNDARY}\r\n${more}\r\n\r\n`
const chunk = (text: string) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`

describe("POST /files", () => {
  it.live("keeps a file for its app, under a name of ours, readable by the service only", () =>
    withApp((server, token) =>
      Effect.gen(function* () {
        const { status, json, text } = yield* server.upload(token, fileForm("two cups", "recipe.txt", 120))
        expect(status).toBe(200)
        expect(text).toMatch(/^\{"file_token":"ff_[\w-]{43}","ttl_secs":120,"size":8\}$/)
        const [name = ""] = kept(server)
        expect(name).toMatch(/^[0-9A-Z]{26}$/)
        expect(statSync(join(server.config.filesDir, name)).mode & 0o777).toBe(0o600)
        const answer = yield* server.run(token, { prompt: "CAT", files: [json.file_token] })
        expect(answer.json.result).toBe("two cups")
        expect(readdirSync(server.config.runsDir)).toEqual([])
      }),
    ),
  )

  it.live("takes the time to live after the file, too, and an hour when there is none", () =>
    withApp((server, token) =>
      Effect.gen(function* () {
        const late = new FormData()
        late.set("file", new Blob(["x"]), "a")
        late.set("ttl_secs", "60")
        expect((yield* server.upload(token, late)).json.ttl_secs).toBe(60)
        expect((yield* server.upload(token, fileForm("x"))).json.ttl_secs).toBe(3600)
      }),
    ),
  )

  it.live("takes an empty file", () =>
    withApp((server, token) =>
      Effect.map(server.upload(token, fileForm("")), ({ json }) => expect(json.size).toBe(0)),
    ),
  )

  it.live.each<[string, (form: FormData) => void, string]>([
    ["no file", (f) => f.delete("file"), "file is missing"],
    ["a file without a name", (f) => f.set("file", "text"), "file must be a file, with a file name"],
    ["two files", (f) => f.append("file", new Blob(["y"]), "b"), "file is there twice"],
    ["a time too short", (f) => f.set("ttl_secs", "59"), "ttl_secs must be a whole number"],
    ["a time too long", (f) => f.set("ttl_secs", "86401"), "ttl_secs must be a whole number"],
    ["a time that is no number", (f) => f.set("ttl_secs", "1e3"), "ttl_secs must be a whole number"],
    ["an unknown field", (f) => f.set("tll_secs", "60"), "tll_secs is not a known field"],
    ["an unknown file", (f) => f.set("other", new Blob(["y"]), "b"), "other is not a known field"],
    ["a file for a time", (f) => f.set("ttl_secs", new Blob(["60"]), "b"), "ttl_secs is not a file"],
  ])("refuses %s, and keeps nothing of it", ([, spoil, sentence]) =>
    withApp((server, token) =>
      Effect.gen(function* () {
        const bad = fileForm("x")
        spoil(bad)
        const { status, json } = yield* server.upload(token, bad)
        expect([status, json.code]).toEqual([400, "invalid_request"])
        expect(json.error).toContain(sentence)
        expect(kept(server)).toEqual([])
      }),
    ),
  )

  it.live.each([
    ["../../../etc/passwd"],
    ["..\\..\\windows\\system.ini"],
    ["a\u0000b.txt"],
    [`${"n".repeat(300)}.txt`],
    ["．．／．．／x"],
    ["line\nbreak\r\n- /etc/passwd"],
    ['quote".txt'],
    ["%2e%2e%2fx"],
    [".."],
    ["\u202Etxt.exe"],
  ])("takes %j for a name, never for a path", ([name]) =>
    withApp((server, token) =>
      Effect.gen(function* () {
        const { json } = yield* server.upload(token, fileForm("harmless", name))
        const answer = yield* server.run(token, { prompt: "LIST", files: [json.file_token] })
        const { files, header } = JSON.parse(JSON.stringify(answer.json.result))
        expect(files).toHaveLength(1)
        expect(files[0].startsWith(`${server.config.runsDir}/`)).toBe(true)
        expect(files[0]).toMatch(/\/work\/file-1(\.[a-z0-9]+)?$/)
        expect(header.split("\n")).toHaveLength(4)
        expect(kept(server)).toHaveLength(1)
      }),
    ),
  )

  it.live("refuses what is too large with 413, on a connection that stays in use", () =>
    withApp((server, token) =>
      Effect.gen(function* () {
        const body = form(filePart("x".repeat(1024 * 1024 + 1)))
        const received = yield* overSocket(
          server.url,
          [
            head(token, `Content-Length: ${body.length}`),
            body,
            `GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
          ],
          /"ok":true/,
        )
        expect(received.match(/HTTP\/1\.1 (\d+)/g)).toEqual(["HTTP/1.1 413", "HTTP/1.1 200"])
        expect(received).toContain('"code":"payload_too_large"')
        expect(kept(server)).toEqual([])
      }),
    ),
  )

  it.live("refuses what is too large without a length as well", () =>
    withApp((server, token) =>
      Effect.gen(function* () {
        const pieces = Array.from({ length: 40 }, () => chunk("x".repeat(64 * 1024)))
        const start = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n`
        const received = yield* overSocket(
          server.url,
          [head(token, "Transfer-Encoding: chunked"), chunk(start), ...pieces, "0\r\n\r\n"],
          /payload_too_large/,
        )
        expect(received).toMatch(/^HTTP\/1\.1 413/)
        expect(kept(server)).toEqual([])
      }),
    ),
  )

  it.live.each<[string, string]>([
    ["before its first part", `${"x".repeat(3_000_000)}\r\n${form(filePart("x"))}`],
    ["after its last part", `${form(filePart("x"))}${"x".repeat(3_000_000)}`],
    ["in a part that is not for the form", form(part("X-Y: z", "x".repeat(3_000_000)), filePart("x"))],
  ])("refuses a form with megabytes %s", ([, body]) =>
    withApp((server, token) =>
      Effect.gen(function* () {
        const received = yield* overSocket(
          server.url,
          [head(token, "Transfer-Encoding: chunked"), chunk(body), "0\r\n\r\n"],
          /request_id/,
        )
        expect(received).toMatch(/^HTTP\/1\.1 4(00|13) /)
        expect(kept(server)).toEqual([])
      }),
    ),
  )

  it.live("keeps all of an app's files together within its quota, also when they come at once", () =>
    withApp((server, token, name) =>
      Effect.gen(function* () {
        const from = Date.now()
        const answers = yield* Effect.all(
          Array.from({ length: 8 }, () => server.upload(token, fileForm("x".repeat(1_000_000), "a", 300))),
          { concurrency: "unbounded" },
        )
        expect(answers.filter(({ status }) => status === 200)).toHaveLength(4)
        expect(kept(server)).toHaveLength(4)
        const { status, json, headers } = yield* server.upload(token, fileForm("x".repeat(1_000_000)))
        expect([status, json.code, json.retryable]).toEqual([429, "quota_exceeded", true])
        const since = Math.ceil((Date.now() - from) / 1000)
        expect(Number(headers.get("retry-after"))).toBeGreaterThanOrEqual(300 - since)
        expect(Number(headers.get("retry-after"))).toBeLessThanOrEqual(300)
        expect((yield* server.upload(yield* server.mint(`${name}-other`), fileForm("x"))).status).toBe(200)
      }),
    ),
  )

  it.live.each([
    ["has no type", "", "this route takes multipart/form-data, and the Content-Type must say so"],
    [
      "is JSON",
      "Content-Type: application/json",
      "this route takes multipart/form-data, and the Content-Type must say so",
    ],
    ["has no boundary", "Content-Type: multipart/form-data", "the Content-Type of the form has no boundary"],
    [
      "has an empty boundary",
      "Content-Type: multipart/form-data; boundary=",
      "the Content-Type of the form has no boundary",
    ],
    [
      "is compressed",
      `Content-Type: multipart/form-data; boundary=${BOUNDARY}\r\nContent-Encoding: gzip`,
      "the body is compressed, as its Content-Encoding says; send it uncompressed",
    ],
  ])("refuses a body that %s", ([, type, sentence]) =>
    withApp((server, token) =>
      Effect.gen(function* () {
        const body = form(filePart("x"))
        const received = yield* overSocket(
          server.url,
          [
            `POST /files HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ${token}\r\nContent-Length: ${body.length}\r\n${type}\r\n\r\n`.replace(
              "\r\n\r\n\r\n",
              "\r\n\r\n",
            ),
            body,
          ],
          /request_id/,
        )
        expect(received).toContain("HTTP/1.1 415 ")
        expect(received).toContain(`"error":"${sentence}"`)
        expect(kept(server)).toEqual([])
      }),
    ),
  )

  it.live.each<[string, string]>([
    ["ends inside a file", filePart("x".repeat(100)).slice(0, -50)],
    ["ends inside a header", `--${BOUNDARY}\r\nContent-Disposition: form-da`],
    ["is empty", ""],
    ["is noise", "\u0000\u0001\u0002 no form at all"],
    ["has a part without a name", form(part("Content-Disposition: form-data", "x"))],
    [
      "ends where a part should begin, twice",
      `--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n${form()}\r\n${form()}`,
    ],
    [
      "has a hundred parts",
      form(
        ...Array.from({ length: 100 }, (_, n) => part(`Content-Disposition: form-data; name="f${n}"`, "x")),
      ),
    ],
    [
      "has a field of a megabyte",
      form(part('Content-Disposition: form-data; name="ttl_secs"', "6".repeat(1_000_000))),
    ],
  ])("answers 400 to a body that %s, and keeps nothing", ([, body]) =>
    withApp((server, token) =>
      Effect.gen(function* () {
        const received = yield* overSocket(
          server.url,
          [head(token, `Content-Length: ${Buffer.byteLength(body)}`), body],
          /request_id/,
        )
        expect(received).toMatch(/^HTTP\/1\.1 400 /)
        expect(kept(server)).toEqual([])
      }),
    ),
  )

  it.live("takes the file beside a part that is none of a form, however large", () =>
    withApp((server, token) =>
      Effect.gen(function* () {
        const body = form(part("Content-Disposition: attachment", "x".repeat(500_000)), filePart("two cups"))
        const received = yield* overSocket(
          server.url,
          [head(token, `Content-Length: ${body.length}`), body],
          /request_id|file_token/,
        )
        expect(received).toContain('"size":8}')
      }),
    ),
  )

  it.live("leaves nothing of an upload whose client goes away", () =>
    withApp((server, token) =>
      Effect.gen(function* () {
        const fiber = yield* Effect.fork(
          overSocket(server.url, [
            head(token, "Content-Length: 500000"),
            `--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n`,
            "x".repeat(100_000),
          ]),
        )
        yield* eventually(() => expect(kept(server)).toHaveLength(1))
        yield* Fiber.interrupt(fiber)
        yield* eventually(() => expect(kept(server)).toEqual([]))
      }),
    ),
  )

  it.live("keeps nothing for an app whose token is revoked meanwhile", () =>
    withApp((server, token, name) =>
      Effect.gen(function* () {
        const body = form(filePart("x".repeat(100_000)))
        const fiber = yield* Effect.fork(
          overSocket(
            server.url,
            [head(token, `Content-Length: ${body.length}`), body.slice(0, 50_000)],
            /request_id/,
            "127.0.0.1",
            Effect.zipRight(
              eventually(() => expect(kept(server)).toHaveLength(1)),
              server.request("DELETE", `/admin/tokens/${name}`, { token: ADMIN_TOKEN }),
            ).pipe(Effect.as([body.slice(50_000)])),
          ),
        )
        expect(yield* Fiber.join(fiber)).toMatch(/^HTTP\/1\.1 401 /)
        yield* eventually(() => expect(kept(server)).toEqual([]))
      }),
    ),
  )

  it.live("needs the token of an app", () =>
    withApp((server) =>
      Effect.map(server.upload("cf_wrong", fileForm("x")), ({ status }) => {
        expect(status).toBe(401)
        expect(kept(server)).toEqual([])
      }),
    ),
  )
})

describe("files of a prompt", () => {
  it.live("are copies: what an agent does to them, it does not do to the upload", () =>
    withApp((server, token) =>
      Effect.gen(function* () {
        const { json } = yield* server.upload(token, fileForm("original", "a.txt"))
        yield* server.run(token, { prompt: "SPOIL", files: [json.file_token] })
        expect((yield* server.run(token, { prompt: "CAT", files: [json.file_token] })).json.result).toBe(
          "original",
        )
      }),
    ),
  )

  it.live("come in the order in which they are named", () =>
    withApp((server, token) =>
      Effect.gen(function* () {
        const tokens = yield* Effect.forEach(["one", "two", "three"], (text) =>
          Effect.map(server.upload(token, fileForm(text)), ({ json }) => json.file_token),
        )
        const { json } = yield* server.run(token, { prompt: "CAT", files: tokens })
        expect(json.result).toBe("one,two,three")
      }),
    ),
  )

  it.live("that are missing, another app's or expired are the same 404, before anything starts", () =>
    withApp((server, token, name) =>
      Effect.gen(function* () {
        const theirs = yield* server.upload(yield* server.mint(`${name}-other`), fileForm("secret"))
        const own = yield* server.upload(token, fileForm("own"))
        const answers = yield* Effect.forEach(
          ["ff_none", theirs.json.file_token, "../../etc/passwd", ""],
          (file) =>
            server.request("POST", "/run", {
              token,
              body: { prompt: "CAT", files: [own.json.file_token, file] },
              headers: { "x-request-id": "r" },
            }),
        )
        expect(new Set(answers.map(({ text }) => text)).size).toBe(1)
        expect(answers[0]?.json).toMatchObject({ status: 404, code: "not_found" })
        expect(existsSync(server.config.runsDir) && readdirSync(server.config.runsDir)).toEqual([])
        expect(answers[0]?.headers.get("x-run-id")).toBeNull()
      }),
    ),
  )

  it.live("must be a list of at most 100 tokens", () =>
    withApp((server, token) =>
      Effect.gen(function* () {
        for (const files of ["ff_x", [1], Array.from({ length: 101 }, (_, n) => `ff_${n}`)]) {
          const { status, json } = yield* server.run(token, { prompt: "CAT", files })
          expect([status, json.issues[0].path]).toEqual([400, ["files"]])
        }
      }),
    ),
  )
})
