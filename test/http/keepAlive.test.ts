import { connect, type Socket } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { scriptedClaude, startServer } from "../support/TestServer.ts"

const REQUEST = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"

/** A connection on which a client has written something, and what has come back when that matches. */
const opened = (url: string, written: string, until: RegExp) =>
  Effect.async<{ readonly socket: Socket; readonly received: string }>((resume) => {
    let received = ""
    const socket = connect(Number(new URL(url).port), "127.0.0.1", () => socket.write(written))
    const look = () => until.test(received) && resume(Effect.succeed({ socket, received }))
    socket.on("data", (data) => {
      received += String(data)
      look()
    })
    socket.on("connect", look).on("error", () => {})
  })

describe("a connection without a request", () => {
  it.live("is kept for 75 seconds, and ends at once when the service stops", () =>
    Effect.gen(function* () {
      const ended: Array<string> = []
      yield* Effect.scoped(
        Effect.gen(function* () {
          const { url } = yield* startServer({ claudeBin: Option.some(scriptedClaude) })
          // Its request is not complete, so it ends only after the time that answers get to be written.
          const busy = yield* opened(url, REQUEST.slice(0, -4), /^/)
          const idle = yield* opened(url, REQUEST, /ok/)
          expect(idle.received).toMatch(/\r\nkeep-alive: timeout=75\r\n/i)
          busy.socket.on("close", () => ended.push("busy"))
          idle.socket.on("close", () => ended.push("idle"))
        }),
      )
      while (ended.length < 2) yield* Effect.sleep(10)
      expect(ended).toEqual(["idle", "busy"])
    }),
  )
})
