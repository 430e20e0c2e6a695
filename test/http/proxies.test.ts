import { describe, expect, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import { Effect, Option } from "effect"
import { shared } from "../support/Sessions.ts"
import { expectWithin } from "../support/Pace.ts"
import { overSocket, scriptedClaude, startServer, type TestServer } from "../support/TestServer.ts"

/** 127.0.0.1 is a trusted proxy on this host, 10.1.1.1 one beyond; the apps are in 10.0.0.0/8. */
const started = startServer({
  claudeBin: Option.some(scriptedClaude),
  allowCidrs: ["10.0.0.0/8", "2001:db8::/32"],
  trustedProxies: ["127.0.0.1", "10.1.1.1"],
})

const common = shared(started)

const withServer = <A>(test: (server: TestServer) => Effect.Effect<A>) => Effect.suspend(() => test(common()))

/** For a test of what the ledger has then, and nothing else. */
const withOwnServer = <A>(test: (server: TestServer) => Effect.Effect<A>) =>
  Effect.scoped(Effect.flatMap(started, test))

/** Sends a request as the trusted proxy forwards it. Returns the status, and a problem's code. */
const forwarded = (server: TestServer, hops: string) =>
  Effect.map(
    server.request("GET", "/healthz", { headers: { "x-forwarded-for": hops } }),
    ({ status, json }) => `${status} ${json.code ?? ""}`.trim(),
  )

/** Sends a request from the address `from`, with one header line for each of `hops`. Returns the answer's first line. */
const statusLine = (server: TestServer, hops: ReadonlyArray<string>, from = "127.0.0.1") =>
  Effect.map(
    overSocket(
      server.url,
      [
        `GET /healthz HTTP/1.1\r\nHost: x\r\n${hops.map((hop) => `X-Forwarded-For: ${hop}\r\n`).join("")}\r\n`,
      ],
      /\r\n\r\n/,
      from,
    ),
    (answer) => answer.split("\r\n", 1)[0],
  )

const REFUSED = "403 ip_not_allowed"

describe("behind a trusted proxy", () => {
  it.live.each([
    ["10.0.0.9", "200"],
    ["203.0.113.5", REFUSED],
    ["10.0.0.9:567", "200"],
    ["[2001:db8::9]:80", "200"],
    ["[2001:db9::9]:80", REFUSED],
    // The client's own entries are to the left.
    ["127.0.0.1, 203.0.113.5", REFUSED],
    ["10.0.0.9, 203.0.113.5", REFUSED],
    ["rubbish, 10.0.0.9", "200"],
    // A chain of two proxies.
    ["10.0.0.9, 10.1.1.1", "200"],
    ["203.0.113.5, 10.1.1.1", REFUSED],
    ["127.0.0.1, 203.0.113.5, 10.1.1.1", REFUSED],
    // Only proxies.
    ["127.0.0.1", "200"],
    ["10.1.1.1, 127.0.0.1", "200"],
    // No valid address in the client's position.
    ["rubbish", REFUSED],
    ["10.0.0.9, unknown", REFUSED],
    ["10.0.0.9, rubbish, 10.1.1.1", REFUSED],
    ["", REFUSED],
  ] as const)("the client of %j: %s", ([hops, expected]) =>
    withServer((server) => Effect.map(forwarded(server, hops), (answer) => expect(answer).toBe(expected))),
  )

  it.live("without X-Forwarded-For, the proxy itself is the client", () =>
    withServer((server) =>
      Effect.map(server.request("GET", "/healthz"), ({ status }) => expect(status).toBe(200)),
    ),
  )

  it.live("header lines with the same name form one list, in their order", () =>
    withServer((server) =>
      Effect.gen(function* () {
        expect(yield* statusLine(server, ["127.0.0.1", "203.0.113.5", "10.1.1.1"])).toBe(
          "HTTP/1.1 403 Forbidden",
        )
        expect(yield* statusLine(server, ["203.0.113.5", "10.0.0.9"])).toBe("HTTP/1.1 200 OK")
      }),
    ),
  )

  it.live("the proxy's own header line counts, after any number of the client's lines", () =>
    withOwnServer((server) =>
      Effect.gen(function* () {
        const lines = `X-Forwarded-For: 10.0.0.9\r\n${"a:\r\n".repeat(3000)}X-Forwarded-For: 203.0.113.5\r\n`
        const answer = yield* overSocket(
          server.url,
          [`GET /healthz HTTP/1.1\r\n${lines}\r\n`],
          /"code":"\w+"/,
        )
        expect(answer).toContain('"code":"ip_not_allowed"')
      }),
    ),
  )

  it.live("the largest number of hops that fits a request is cheap", () =>
    withOwnServer((server) =>
      Effect.gen(function* () {
        const from = performance.now()
        for (const hops of ["127.0.0.1,".repeat(1500), ",".repeat(15_000), "1.1.1.1,".repeat(1800)]) {
          expect(yield* forwarded(server, `${hops}203.0.113.5`)).toBe(REFUSED)
          expect(yield* forwarded(server, hops)).toBe(REFUSED)
        }
        const took = performance.now() - from
        yield* Effect.promise(() => expectWithin(took, 3000))
      }),
    ),
  )

  it.live("a token's ip_cidrs and the audit trail use the client's address", () =>
    withOwnServer((server) =>
      Effect.gen(function* () {
        const token = yield* server.mint("recipes", ["10.0.0.9"])
        const run = (hops: string) =>
          server.request("POST", "/run", {
            token,
            body: { prompt: "SAY hello" },
            headers: { "x-forwarded-for": hops },
          })
        expect((yield* run("10.0.0.8")).json).toMatchObject({ status: 403, code: "ip_not_allowed" })
        expect((yield* run("10.0.0.9, 10.0.0.8")).status).toBe(403)
        expect((yield* run("10.0.0.9:567")).json.result).toBe("hello")
        const db = new Sqlite(server.config.dbPath, { readonly: true })
        const addresses = db.prepare("SELECT DISTINCT address FROM audit WHERE run_id IS NOT NULL").all()
        db.close()
        expect(addresses).toEqual([{ address: "10.0.0.9" }])
      }),
    ),
  )
})

describe("a proxy on this host that nobody declared", () => {
  it.live("is refused for every forwarded request; its own requests are admitted", () =>
    withOwnServer((server) =>
      Effect.gen(function* () {
        for (const hops of ["10.0.0.9", "127.0.0.1", ""]) {
          expect(yield* statusLine(server, [hops], "127.0.0.2")).toBe("HTTP/1.1 403 Forbidden")
        }
        expect(yield* statusLine(server, [], "127.0.0.2")).toBe("HTTP/1.1 200 OK")
      }),
    ),
  )
})
