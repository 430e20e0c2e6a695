import { afterEach, beforeEach, describe, expect, it } from "@effect/vitest"
import { Failure, type RunningForge, startForge } from "../../src/testing.ts"
import { EventParser, type ServerEvent } from "../support/EventSource.ts"

/** The answer's text in pieces, and the ends of streams, on a clawdforge in memory. */

let forge: RunningForge
beforeEach(async () => {
  forge = await startForge()
})
afterEach(() => forge.dispose())

const request = (method: string, path: string, body?: object, headers: Record<string, string> = {}) =>
  forge.fetch(path, {
    method,
    headers: {
      authorization: `Bearer ${forge.token}`,
      accept: "text/event-stream",
      "content-type": "application/json",
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })

/** A stream that is read as it comes. */
const open = async (...asked: Parameters<typeof request>) => {
  const response = await request(...asked)
  expect([response.status, response.status === 200 ? "" : await response.text()]).toEqual([200, ""])
  const parser = new EventParser()
  const reader = response.body!.getReader()
  const events: Array<ServerEvent> = []
  /** Reads until an event holds, or to the end. */
  const until = async (holds: (event: ServerEvent) => boolean = () => false) => {
    for (;;) {
      const found = events.find(holds)
      if (found !== undefined) return events
      const { done, value } = await reader.read()
      if (done) return events
      events.push(...parser.push(value))
    }
  }
  return { events, until, headers: response.headers }
}
const whole = async (...asked: Parameters<typeof request>) => (await open(...asked)).until()

const plain = async (method: string, path: string, body?: object) =>
  (await request(method, path, body, { accept: "application/json" })).json() as Promise<any>

const dataOf = (events: ReadonlyArray<ServerEvent>, name: string): ReadonlyArray<any> =>
  events.filter(({ event }) => event === name).map(({ data }) => JSON.parse(data))

/** The pieces since the last reset. */
const joined = (events: ReadonlyArray<ServerEvent>): string =>
  dataOf(events, "delta").reduce((text, delta) => (delta.reset === true ? "" : text + delta.text), "")

const runIdOf = (events: ReadonlyArray<ServerEvent>): string => dataOf(events, "run")[0].run_id

/** Asserts that a stream can be read again from every place in it: each event once and in order. */
const expectReplays = async (path: string, events: ReadonlyArray<ServerEvent>) => {
  expect(await whole("GET", `${path}?deltas=1`)).toEqual(events)
  for (const [n, { id }] of events.entries()) {
    if (n === events.length - 1) continue
    const rest = events.slice(n + 1)
    expect(await whole("GET", `${path}?deltas=1`, undefined, { "last-event-id": id })).toEqual(rest)
    expect(await whole("GET", `${path}?deltas=1&after=${id}`)).toEqual(rest)
  }
}

describe("?deltas=1", () => {
  it("of a run is its text in pieces, which begins anew when the agent does", async () => {
    const held = forge.hold()
    const stream = await open("POST", "/run?deltas=1", { prompt: "x" })
    held.say("the first ")
    held.say("half")
    await stream.until(({ data }) => data.includes("half"))
    expect(dataOf(stream.events, "delta")).toEqual([{ text: "the first " }, { text: "half" }])
    held.release("all of it, anew")
    const events = await stream.until()
    const deltas = dataOf(events, "delta")
    expect(deltas.findLastIndex(({ reset }) => reset === true)).toBeGreaterThan(1)
    expect(joined(events)).toBe("all of it, anew")
    expect(dataOf(events, "result")[0].result).toBe("all of it, anew")

    const path = `/runs/${runIdOf(events)}/events`
    expect(await whole("GET", path)).toEqual(events.filter(({ event }) => event !== "delta"))
    await expectReplays(path, events)
  })

  it("gives each event an id, which no other has, and a delta that of its message and a number", async () => {
    const held = forge.hold()
    const stream = await open("POST", "/run?deltas=1", { prompt: "x" })
    held.say("a")
    held.release("b")
    const events = await stream.until()
    const ids = events.map(({ id }) => Number(id))
    expect(ids).toEqual([...new Set(ids)].sort((one, other) => one - other))
    for (const [n, { event, id }] of events.entries()) {
      expect(id).toMatch(event === "delta" ? /^\d+\.[12]$/ : /^\d+$/)
      const before = events[n - 1]
      if (event === "delta") expect(Math.floor(Number(before?.id))).toBe(Math.floor(Number(id)))
    }
  })

  it("of a cancelled run is the text that its result is", async () => {
    const held = forge.hold()
    const stream = await open("POST", "/run?deltas=1", { prompt: "x" })
    held.say("Once upon ")
    held.say("a time")
    await stream.until(({ data }) => data.includes("a time"))
    await plain("POST", `/runs/${runIdOf(stream.events)}/cancel`)
    const events = await stream.until()
    expect(dataOf(events, "result")).toMatchObject([{ result: "Once upon a time", stop_reason: "cancelled" }])
    expect(joined(events)).toBe("Once upon a time")
  })

  it("of a turn is all that the agent says", async () => {
    const { session_id } = await plain("POST", "/sessions", {})
    const held = forge.agents.hold()
    const stream = await open("POST", `/sessions/${session_id}/turn?deltas=1`, { prompt: "x" })
    for (const word of ["Two ", "cups ", "of "]) held.say(word)
    held.release("Two cups of flour.")
    const events = await stream.until()
    expect(dataOf(events, "delta")).toEqual(["Two ", "cups ", "of ", "flour."].map((text) => ({ text })))
    expect(events.at(-1)?.event).toBe("result")
    await expectReplays(`/sessions/${session_id}/turns/1/events`, events)
    await expectReplays(`/runs/${runIdOf(events)}/events`, events)
  })

  it("is resumed in the middle of a live stream, between the deltas of a message, too", async () => {
    const held = forge.hold()
    const stream = await open("POST", "/run?deltas=1", { prompt: "x" })
    held.say("half ")
    await stream.until(({ event }) => event === "delta")
    const path = `/runs/${runIdOf(stream.events)}/events?deltas=1`
    const followed = await open("GET", path, undefined, { "last-event-id": stream.events.at(-1)!.id })
    held.release("anew")
    const events = await stream.until()
    const half = events.findIndex(({ event }) => event === "delta")
    expect(await followed.until()).toEqual(events.slice(half + 1))
  })

  it("of a run under a key is the same when it is replayed", async () => {
    forge.nextAnswer("once")
    const key = { "idempotency-key": "order-17" }
    const first = await whole("POST", "/run?deltas=1", { prompt: "x" }, key)
    expect(joined(first)).toBe("once")
    expect(await whole("POST", "/run?deltas=1", { prompt: "x" }, key)).toEqual(first)
    const without = await whole("POST", "/run", { prompt: "x" }, key)
    expect(without).toEqual(first.filter(({ event }) => event !== "delta"))
  })

  it.each(["2", "true", "", "yes"])("can be 0 or 1, not %j", async (value) => {
    for (const [method, path, body] of [
      ["POST", "/run", { prompt: "x" }],
      ["GET", "/runs/01JQ3T4Z8ZJ0V5N6W7X8Y9ZABC/events", undefined],
    ] as const) {
      const answer = await request(method, `${path}?deltas=${value}`, body)
      expect([answer.status, ((await answer.json()) as any).issues[0].path]).toEqual([400, ["deltas"]])
    }
  })
})

/** Requests for what comes after an event, in every way. */
const after = (path: string, id: string) => [
  request("GET", path, undefined, { "last-event-id": id }),
  request("GET", `${path}?after=${id}`),
  request("GET", `${path}?deltas=1&after=${id}`),
]

describe("a stream that has ended", () => {
  it("is 204 after its last event, which stops an EventSource, on every route", async () => {
    const run = await whole("POST", "/run", { prompt: "x" })
    const { session_id } = await plain("POST", "/sessions", {})
    const turn = await whole("POST", `/sessions/${session_id}/turn`, { prompt: "x" })
    forge.nextFailure(new Failure.NotLoggedIn({}))
    const failed = await whole("POST", "/run", { prompt: "x" })
    expect(failed.at(-1)?.event).toBe("error")
    for (const [path, events] of [
      [`/runs/${runIdOf(run)}/events`, run],
      [`/runs/${runIdOf(turn)}/events`, turn],
      [`/sessions/${session_id}/turns/1/events`, turn],
      [`/runs/${runIdOf(failed)}/events`, failed],
    ] as const) {
      for (const answer of await Promise.all(after(path, events.at(-1)!.id))) {
        expect([answer.status, await answer.text()]).toEqual([204, ""])
        expect(answer.headers.get("x-run-id")).toBe(runIdOf(events))
      }
      // One event before it, that event comes.
      expect(await whole("GET", path, undefined, { "last-event-id": events.at(-2)!.id })).toEqual(
        events.slice(-1),
      )
    }
  })

  it("is not 204 while it may have more", async () => {
    const held = forge.hold()
    const stream = await open("POST", "/run", { prompt: "x" })
    const [begun] = await stream.until(({ event }) => event === "run")
    const followed = await open("GET", `/runs/${runIdOf(stream.events)}/events?after=${begun!.id}`)
    held.release("done")
    expect((await followed.until()).at(-1)?.event).toBe("result")
  })
})

it("every stream tells proxies to pass it on as it is", async () => {
  const run = await open("POST", "/run", { prompt: "x" })
  await run.until()
  const { session_id } = await plain("POST", "/sessions", {})
  const turn = await open("POST", `/sessions/${session_id}/turn`, { prompt: "x" })
  const others = [
    `/runs/${runIdOf(run.events)}/events`,
    `/sessions/${session_id}/turns/1/events`,
    "/events/stream",
  ].map((path) => open("GET", path))
  for (const { headers } of [run, turn, ...(await Promise.all(others))]) {
    expect(headers.get("cache-control")).toBe("no-store, no-transform")
    expect(headers.get("x-accel-buffering")).toBe("no")
  }
})
