import { describe, expect, it } from "@effect/vitest"
import { FetchHttpClient, HttpApiClient, HttpClient, HttpClientRequest, OpenApi } from "@effect/platform"
import { Effect, Option } from "effect"
import { Api, type Code, TABLE } from "../../src/api.ts"
import { PROBLEM_ERRORS } from "../../src/client.ts"
import { startServer, scriptedClaude } from "../support/TestServer.ts"

/** The package's `./api` entry: the declaration, for other clients. */

describe("./api", () => {
  it.scopedLive("has everything that another client needs", () =>
    Effect.gen(function* () {
      const server = yield* startServer({ claudeBin: Option.some(scriptedClaude) })
      const token = yield* server.mint("own")
      const client = yield* HttpApiClient.make(Api, {
        baseUrl: server.url,
        transformClient: HttpClient.mapRequest(HttpClientRequest.bearerToken(token)),
      }).pipe(Effect.provide(FetchHttpClient.layer))
      const answer = yield* client.run.run({ payload: { prompt: "SAY a" }, urlParams: {}, headers: {} })
      expect(answer.result).toBe("a")
      const problem = yield* Effect.flip(client.runs.readRun({ path: { id: "nothing" } }))
      expect(problem).toMatchObject({ code: "not_found", status: 404, retryable: false })
    }),
  )

  it("lists every code, and the client has a class for each", () => {
    const codes: ReadonlyArray<Code> = Object.values(TABLE).map(({ code }) => code)
    expect(Object.keys(PROBLEM_ERRORS).sort()).toEqual([...new Set(codes)].sort())
    expect(Object.keys(OpenApi.fromApi(Api).paths)).toContain("/run")
  })
})
