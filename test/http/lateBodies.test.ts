import { connect } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { shared } from "../support/Sessions.ts"
import { scriptedClaude, startServer } from "../support/TestServer.ts"

/** Requests that are refused while their bodies are still to come. */

const common = shared(
  startServer({ claudeBin: Option.some(scriptedClaude), maxFilesBytesPerToken: 20 * 1024 * 1024 }),
)
let apps = 0
const mint = Effect.suspend(() => common().mint(`app-${++apps}`))

const JSON_TYPE = "Content-Type: application/json"
const FORM_TYPE = "Content-Type: multipart/form-data; boundary=b"
const TOO_LARGE = 99_999_999

interface Refused {
  readonly line: string
  readonly headers: string
  readonly bearer?: string
  readonly size?: number
  readonly status: number
}

const REFUSALS: ReadonlyArray<Refused> = [
  { line: "POST /run", headers: JSON_TYPE, size: TOO_LARGE, status: 413 },
  { line: "POST /files", headers: FORM_TYPE, size: TOO_LARGE, status: 413 },
  { line: "POST /run", headers: JSON_TYPE, bearer: "cf_wrong", status: 401 },
  { line: "POST /files", headers: FORM_TYPE, bearer: "cf_wrong", status: 401 },
  { line: "POST /admin/tokens", headers: JSON_TYPE, status: 401 },
  { line: "POST /run", headers: `${JSON_TYPE}\r\nX-Forwarded-For: 192.0.2.1`, status: 403 },
  { line: "POST /nowhere", headers: JSON_TYPE, status: 404 },
  { line: "PUT /run", headers: JSON_TYPE, status: 405 },
  { line: "POST /run", headers: `${JSON_TYPE}\r\nAccept: image/png`, status: 406 },
  { line: "POST /run", headers: "Content-Type: text/plain", status: 415 },
  { line: "POST /files", headers: JSON_TYPE, status: 415 },
]

const named = REFUSALS.map((refused) => [`${refused.line} → ${refused.status}`, refused] as const)

const head = ({ line, headers, bearer, size = 1000 }: Refused, token: string, more: string) =>
  `${line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${bearer ?? token}\r\nContent-Length: ${size}\r\n${headers}${more}\r\n\r\n`

describe.concurrent("a refused request whose body never comes", () => {
  it.live.each(named)("is answered, then closed, although its client closes: %s", ([, refused]) =>
    Effect.gen(function* () {
      const request = head(refused, yield* mint, "\r\nConnection: close")
      const answer = yield* readToEnd(common().url, request)
      expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${refused.status} `))
    }),
  )

  it.live.each(named)("does not ask for it: %s", ([, refused]) =>
    Effect.gen(function* () {
      const request = head(refused, yield* mint, "\r\nExpect: 100-continue")
      const answer = yield* readToEnd(common().url, request)
      expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${refused.status} `))
      expect(answer).toMatch(/\r\nconnection: close\r\n/i)
    }),
  )

  it.live("is closed also if it would stay open otherwise", () =>
    Effect.gen(function* () {
      const request = head({ line: "POST /run", headers: JSON_TYPE, status: 401 }, "cf_wrong", "")
      expect(yield* readToEnd(common().url, request)).toMatch(/^HTTP\/1\.1 401 [\s\S]*keep-alive/i)
    }),
  )
})

describe("a request that is not refused", () => {
  it.live("is asked for its body, once", () =>
    Effect.gen(function* () {
      const token = yield* mint
      const body = '{"prompt":"SAY hello"}'
      const request = { line: "POST /run", headers: JSON_TYPE, size: body.length, status: 200 }
      const socket = connect(Number(new URL(common().url).port), "127.0.0.1")
      const received = yield* Effect.async<string>((resume) => {
        let received = ""
        socket.on("data", (data) => {
          if (received === "") socket.write(body)
          received += String(data)
          if (received.includes('"ok"')) resume(Effect.succeed(received))
        })
        socket.write(head(request, token, "\r\nExpect: 100-continue"))
      })
      socket.destroy()
      expect(received).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK\r\n[\s\S]*"result":"hello"/)
    }),
  )
})

/** Sends the head of a request, and returns all that comes back up to the server's end of the connection. */
const readToEnd = (url: string, request: string): Effect.Effect<string> =>
  Effect.async<string>((resume) => {
    // Half open: the client's side is still open when the server's ends.
    const socket = connect({ port: Number(new URL(url).port), host: "127.0.0.1", allowHalfOpen: true })
    let received = ""
    socket.on("data", (data) => (received += String(data)))
    socket.on("error", ({ message }) => resume(Effect.succeed(`${received}${message}`)))
    socket.on("end", () => resume(Effect.succeed(received)))
    socket.write(request)
    return Effect.sync(() => socket.destroy())
  })
