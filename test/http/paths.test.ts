import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { shared } from "../support/Sessions.ts"
import { ADMIN_TOKEN, overSocket, startServer, type TestServer } from "../support/TestServer.ts"

const common = shared(startServer())
const onCommon = <A>(test: (server: TestServer) => Effect.Effect<A>) => Effect.suspend(() => test(common()))

/** The status of a request whose target is sent as it is: `fetch` would tidy it up. */
const statusOf = (server: TestServer, method: string, target: string) =>
  Effect.map(
    overSocket(server.url, [
      `${method} ${target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${ADMIN_TOKEN}\r\nConnection: close\r\n\r\n`,
    ]),
    (answer) => Number(/^HTTP\/1\.1 (\d+) /.exec(answer)?.[1]),
  )

describe("a path", () => {
  it.live.each([
    "/admin/tokens",
    "/healthz",
    "/openapi.json",
    "/docs",
    "/events",
    "/runs",
    "http://localhost/admin/tokens",
    "HTTP://localhost:8800/admin/tokens",
  ])("is served as the contract writes it: %s", (target) =>
    onCommon((server) =>
      Effect.gen(function* () {
        expect(yield* statusOf(server, "GET", target)).toBe(200)
        expect(yield* statusOf(server, "HEAD", target)).toBe(200)
        expect(yield* statusOf(server, "PUT", target)).toBe(405)
      }),
    ),
  )

  it.live.each([
    "/ADMIN/tokens",
    "/Admin/tokens",
    "/admin/Tokens",
    "//admin/tokens",
    "/admin//tokens",
    "/admin/tokens/",
    "/admin/tokens//",
    "/healthz/",
    "/HEALTHZ",
    "/docs/",
    "/%61dmin/tokens",
    "/%61%64%6D%69%6E/tokens",
    "/%41DMIN/tokens",
    "/admin%2Ftokens",
    "/admin%2ftokens",
    "/admin%252Ftokens",
    "/admin%5Ctokens",
    "/admin\\tokens",
    "/admin/%74okens",
    "/health%7a",
    "/./admin/tokens",
    "/admin/./tokens",
    "/x/../admin/tokens",
    "/admin/x/../tokens",
    "/%2e/admin/tokens",
    "/x/%2e%2e/admin/tokens",
    "/x/..%2fadmin/tokens",
    "/admin/tokens;v=1",
    "/admin;v=1/tokens",
    "/admin/tokens#x",
    "/admin/tokens%00",
    "/admin/tokens%20",
    "/admin/tokens%3Fx",
    "/admin/tokens%",
    "http://localhost//admin/tokens",
    "http://localhost/ADMIN/tokens",
    "http://localhost/%61dmin/tokens",
    "*",
    "/runs/",
    "/sessions/",
    "/runs//events",
    "/runs/./cancel",
  ])("in another spelling is no route: %s", (target) =>
    onCommon((server) =>
      Effect.gen(function* () {
        for (const method of ["GET", "HEAD", "POST", "DELETE"]) {
          expect([method, yield* statusOf(server, method, target)]).toEqual([method, 404])
        }
      }),
    ),
  )
})
