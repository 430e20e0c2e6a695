import { afterEach, describe, expect, it } from "@effect/vitest"
import { Failure, type RunningForge, startForge } from "../../src/testing.ts"
import { EventParser, type ServerEvent } from "../support/EventSource.ts"

/** What an answer to a turn has when it is asked for. */

let forge: RunningForge
afterEach(() => forge.dispose())

const ask = (method: string, path: string, body?: object, headers: Record<string, string> = {}) =>
  forge.fetch(path, {
    method,
    headers: { authorization: `Bearer ${forge.token}`, "content-type": "application/json", ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })

const json = async (response: Promise<Response>): Promise<any> => (await response).json()

const events = async (response: Promise<Response>): Promise<ReadonlyArray<ServerEvent>> => {
  const parser = new EventParser()
  const read: Array<ServerEvent> = []
  for await (const bytes of (await response).body ?? []) read.push(...parser.push(bytes))
  return read
}

const STREAM = { accept: "text/event-stream" }

/** A forge with an open session. Returns the path of its turns. */
const withSession = async () => {
  forge = await startForge()
  return `/sessions/${(await json(ask("POST", "/sessions", {}))).session_id}`
}

/** The end of a stream. */
const resultIn = (read: ReadonlyArray<ServerEvent>) => {
  const { event, data } = read.at(-1) as ServerEvent
  return [event, JSON.parse(data)]
}

describe("the answer to a turn", () => {
  it("has the agent's words only if they are asked for, and its events unless they are not wanted", async () => {
    const session = await withSession()
    const held = forge.agents.hold()
    const first = json(ask("POST", `${session}/turn?include=text`, { prompt: "hello" }))
    held.say("one ")
    held.say("two")
    held.release()
    const plain = ["ok", "session_id", "turn_index", "events", "stop_reason", "duration_ms"]
    expect(await first).toMatchObject({ text: "one two", turn_index: 1 })
    expect(Object.keys(await first)).toEqual([...plain, "text"])

    forge.agents.nextAnswer("three")
    const bare = ask("POST", `${session}/turn?include=text,usage&events=none`, { prompt: "and?" })
    expect((await bare).headers.get("content-type")).toMatch(/^application\/json/)
    expect(await json(bare)).toEqual({
      ok: true,
      session_id: expect.any(String),
      turn_index: 2,
      stop_reason: "end_turn",
      duration_ms: expect.any(Number),
      text: "three",
      usage: null,
      cost_usd: null,
      model: null,
    })
    const asBefore = await json(ask("POST", `${session}/turn`, { prompt: "and then?" }))
    expect(Object.keys(asBefore)).toEqual(plain)
  })

  it("has them in a stream, too, wherever the reading begins", async () => {
    const session = await withSession()
    forge.agents.nextAnswer("good day")
    const live = await events(ask("POST", `${session}/turn?include=text`, { prompt: "hello" }, STREAM))
    expect(resultIn(live)).toEqual(["result", expect.objectContaining({ text: "good day" })])
    expect(live.map(({ event }) => event)).toEqual(["run", "message", "message", "result"])
    const last = live.at(-2)?.id
    const again = await events(ask("GET", `${session}/turns/1/events?include=usage,text&after=${last}`))
    expect(resultIn(again)).toEqual([
      "result",
      expect.objectContaining({ text: "good day", usage: null, cost_usd: null, model: null }),
    ])
    expect(Object.keys(resultIn(await events(ask("GET", `${session}/turns/1/events`)))[1])).toEqual([
      "ok",
      "session_id",
      "turn_index",
      "stop_reason",
      "duration_ms",
    ])
  })

  it("is the same for a request that is sent again, whatever it includes now", async () => {
    const session = await withSession()
    const key = { "idempotency-key": "k" }
    forge.agents.nextAnswer("once")
    await json(ask("POST", `${session}/turn`, { prompt: "hello" }, key))
    const again = await json(
      ask("POST", `${session}/turn?include=text&events=none`, { prompt: "hello" }, key),
    )
    expect(again).toMatchObject({ turn_index: 1, text: "once" })
    expect(again).not.toHaveProperty("events")
  })

  it.each(["include=words", "include=usage,usage", "events=all", "include=", "evnets=none"])(
    "is refused for ?%s",
    async (query) => {
      const session = await withSession()
      const refused = await json(ask("POST", `${session}/turn?${query}`, { prompt: "hello" }))
      expect(refused).toMatchObject({ status: 400, code: "invalid_request" })
      expect(forge.agents.requests).toEqual([])
    },
  )
})

describe("a turn that the provider refuses, and whose agent says so like an answer", () => {
  const key = { "idempotency-key": "k" }
  const overloaded = "API Error: 529 Overloaded. This is a server-side issue."
  const limited = "API Error: Request rejected (429) · This request would exceed your rate limit."
  const broken = "API Error: 500 scripted"

  it.each([
    [limited, new Failure.TurnFailed({ reason: `Internal error: ${limited}`, kind: "rate_limit" }), 429],
    [overloaded, new Failure.TurnFailed({ reason: `Internal error: ${overloaded}` }), 503],
    ["Invalid API key · Fix external API key", new Failure.NotLoggedIn({}), 503],
    [broken, new Failure.TurnFailed({ reason: `Internal error: ${broken}` }), 502],
  ])("leaves its key free, and its words are no text of an answer: %s", async (words, failure, status) => {
    const session = await withSession()
    const held = forge.agents.hold()
    held.say(words)
    held.fail(failure)
    const stream = await events(
      ask("POST", `${session}/turn?deltas=1`, { prompt: "x" }, { ...key, ...STREAM }),
    )
    expect(stream.map(({ event }) => event)).toEqual(["run", "message", "delta", "delta", "error"])
    expect(JSON.parse(stream.at(-2)?.data ?? "")).toEqual({ reset: true })
    expect(resultIn(stream)).toEqual(["error", expect.objectContaining({ status })])
    // From every place in it, the rest comes once and in order.
    for (const [n, { id }] of stream.slice(0, -1).entries()) {
      const rest = await events(ask("GET", `${session}/turns/1/events?deltas=1&after=${id}`))
      expect(rest).toEqual(stream.slice(n + 1))
    }

    forge.agents.nextAnswer("now it works")
    const again = ask("POST", `${session}/turn?include=text`, { prompt: "x" }, key)
    expect(await json(again)).toMatchObject(
      // Without a new login, nothing is tried for a moment.
      failure._tag === "NotLoggedIn" ? { code: "not_logged_in" } : { text: "now it works", turn_index: 2 },
    )
    expect((await again).headers.get("idempotent-replayed")).toBe(null)
  })

  it.each([
    ["goes on", [overloaded, " But I can answer."]],
    ["has said something else", ["Two cups of sugar"]],
  ])("keeps its key when the agent %s before", async (_, pieces) => {
    const session = await withSession()
    const held = forge.agents.hold()
    for (const words of pieces) held.say(words)
    held.fail(new Failure.TurnFailed({ reason: `Internal error: ${overloaded}` }))
    const first = await json(ask("POST", `${session}/turn`, { prompt: "x" }, key))
    expect(first).toMatchObject({ status: 503, code: "overloaded" })
    const again = ask("POST", `${session}/turn`, { prompt: "x" }, key)
    expect(await json(again)).toEqual({ ...first, request_id: expect.any(String) })
    expect((await again).headers.get("idempotent-replayed")).toBe("true")
    expect(forge.agents.requests).toHaveLength(1)
  })

  it("is answered when the words of a refusal are the answer", async () => {
    const session = await withSession()
    forge.agents.nextAnswer("Credit balance is too low")
    const stream = await events(
      ask("POST", `${session}/turn?deltas=1&include=text`, { prompt: "x" }, { ...key, ...STREAM }),
    )
    expect(stream.map(({ event }) => event)).toEqual(["run", "message", "delta", "message", "result"])
    expect(resultIn(stream)[1]).toMatchObject({ text: "Credit balance is too low" })
    expect(
      (await ask("POST", `${session}/turn`, { prompt: "x" }, key)).headers.get("idempotent-replayed"),
    ).toBe("true")
  })
})
