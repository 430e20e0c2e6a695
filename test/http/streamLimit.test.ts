import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { startForge } from "../support/TestServer.ts"

const STREAMS = 500

describe(`${STREAMS} open streams of one token`, () => {
  it.live("are all that it gets, on every route; other requests and other apps are not affected", () =>
    Effect.gen(function* () {
      const { forge, mint, request } = yield* startForge()
      const accept = { accept: "text/event-stream" }
      const follow = (token: string) =>
        Effect.promise(async () => {
          const leave = new AbortController()
          const response = await forge.fetch("/events/stream", {
            headers: { ...accept, authorization: `Bearer ${token}` },
            signal: leave.signal,
          })
          return { status: response.status, leave: () => leave.abort() }
        })
      const { token } = forge
      const opened = yield* Effect.all(Array.from({ length: STREAMS }, () => follow(token)))
      expect(opened.every(({ status }) => status === 200)).toBe(true)

      const session = yield* request("POST", "/sessions", { token, body: {} })
      const id: string = session.json.session_id
      const prompt = { prompt: "hello" }
      for (const [method, path, body] of [
        ["GET", "/events/stream", undefined],
        ["GET", `/sessions/${id}/events`, undefined],
        ["GET", `/sessions/${id}/turns/1/events`, undefined],
        ["GET", "/runs/01JZZZZZZZZZZZZZZZZZZZZZZZ/events", undefined],
        ["POST", "/run", prompt],
        ["POST", `/sessions/${id}/turn`, prompt],
      ] as const) {
        const refused = yield* request(method, path, {
          token,
          headers: accept,
          ...(body === undefined ? {} : { body }),
        })
        expect([path, refused.status, refused.json?.code]).toEqual([path, 503, "overloaded"])
        expect(refused.headers.get("retry-after")).toBe("5")
      }
      // What was refused was not begun.
      expect((yield* request("GET", "/runs", { token })).json.runs).toEqual([])
      expect((yield* request("POST", "/run", { token, body: prompt })).json.result).toBe("ok")
      const other = yield* follow(yield* mint("diary"))
      expect(other.status).toBe(200)

      opened[0]?.leave()
      const again = yield* Effect.repeat(follow(token), { until: ({ status }) => status === 200 })
      for (const { leave } of [...opened, other, again]) leave()
    }).pipe(Effect.scoped),
  )
})
