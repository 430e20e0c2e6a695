import { mkdirSync, writeFileSync } from "node:fs"
import { connect } from "node:net"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import { Effect, Exit, Fiber, Option, Scope } from "effect"
import { type Opened, openEvents, type ServerEvent } from "../support/EventSource.ts"
import { type ScriptedServer, scriptedServer, shared } from "../support/Sessions.ts"
import { ADMIN_TOKEN, type Answer, eventually, scriptedClaude } from "../support/TestServer.ts"

/** The routes that stream, on a real socket, with a CLI and an agent that do as they are told. */

const started = scriptedServer({ claudeBin: Option.some(scriptedClaude) })
const server = shared(started)
const tokens = new Map<string, Promise<string>>()
/** An app's token. */
const app = (name: string): Effect.Effect<string> =>
  Effect.promise(() => {
    const token = tokens.get(name) ?? Effect.runPromise(server().mint(name))
    tokens.set(name, token)
    return token
  })

const open = (
  token: string,
  path: string,
  body?: object,
  headers: Readonly<Record<string, string>> = {},
  url = server().url,
): Effect.Effect<Opened> =>
  Effect.promise(() =>
    openEvents(`${url}${path}`, {
      token,
      headers,
      ...(body === undefined ? {} : { method: "POST", body }),
    }),
  )

/** All of a stream. */
const whole = (token: string, path: string, body?: object, headers?: Readonly<Record<string, string>>) =>
  Effect.flatMap(open(token, path, body, headers), (stream) =>
    Effect.promise(async () => {
      expect(await stream.ended).toBe("ended")
      return stream
    }),
  )

const until = (stream: Opened, holds: (events: ReadonlyArray<ServerEvent>) => boolean) =>
  Effect.map(
    Effect.promise(() => stream.until(holds)),
    (how) => expect(how).toBe("held"),
  )
const has = (event: string) => (events: ReadonlyArray<ServerEvent>) =>
  events.some((one) => one.event === event)

const dataOf = (events: ReadonlyArray<ServerEvent>, event: string): ReadonlyArray<any> =>
  events.filter((one) => one.event === event).map(({ data }) => JSON.parse(data))
const kinds = ({ events }: Pick<Opened, "events">) => events.map(({ event }) => event)
const runOf = ({ headers }: Pick<Opened, "headers">) => headers.get("x-run-id") ?? ""

const sql = (query: string, ...values: ReadonlyArray<unknown>): ReadonlyArray<any> => {
  const db = new Sqlite(server().config.dbPath)
  try {
    const statement = db.prepare(query)
    return statement.reader ? statement.all(...values) : [statement.run(...values)]
  } finally {
    db.close()
  }
}
const becomes = (run: string, status: string, at: ScriptedServer = server()) =>
  eventually(() => {
    const db = new Sqlite(at.config.dbPath, { readonly: true })
    const row = db.prepare("SELECT status FROM runs WHERE id = ?").get(run)
    db.close()
    expect(row).toEqual({ status })
  })

/** Waits until the runs of an app are in these states, in their alphabetical order. */
const become = (name: string, ...statuses: ReadonlyArray<string>) =>
  eventually(() =>
    expect(
      sql("SELECT status FROM runs WHERE token_id = (SELECT id FROM tokens WHERE name = ?)", name)
        .map(({ status }) => status)
        .toSorted(),
    ).toEqual(statuses),
  )

const session = (token: string) =>
  Effect.map(
    server().request("POST", "/sessions", { token, body: { agent: "scripted" } }),
    ({ json }) => json.session_id as string,
  )

/** Everything in an answer that may not tell one reason from another. */
const sameness = ({ status, json }: Answer) => ({ status, problem: { ...json, request_id: "" } })

describe("POST /run with Accept: text/event-stream", () => {
  it.live("sends the run, what the CLI says, and the very object of the plain answer", () =>
    Effect.gen(function* () {
      const token = yield* app("recipes")
      const payload = { prompt: 'SAY {"qty":2,"unit":"😀"}' }
      const stream = yield* whole(token, "/run", payload)
      expect(stream.status).toBe(200)
      expect(kinds(stream)).toEqual(["run", "message", "result"])
      expect(dataOf(stream.events, "run")).toEqual([{ run_id: runOf(stream) }])
      expect(dataOf(stream.events, "message")[0]).toMatchObject({ type: "result", subtype: "success" })
      const plain = yield* server().run(token, payload)
      const [result] = dataOf(stream.events, "result")
      expect(JSON.stringify({ ...result, duration_ms: 0 })).toBe(
        JSON.stringify({ ...plain.json, duration_ms: 0 }),
      )
      expect(plain.headers.get("x-run-id")).toMatch(/^[0-9A-Z]{26}$/)
      const ids = stream.events.map(({ id }) => Number(id))
      expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b))
    }),
  )

  it.live("has usage when it is asked for, and not otherwise", () =>
    Effect.gen(function* () {
      const token = yield* app("recipes")
      const stream = yield* whole(token, "/run?include=usage", { prompt: "SAY hello" })
      const usage = ["usage", "cost_usd", "model", "session_id"]
      const plain = ["ok", "result", "duration_ms", "stop_reason"]
      expect(Object.keys(dataOf(stream.events, "result")[0])).toEqual([...plain, ...usage])
      const path = `/runs/${runOf(stream)}/events`
      const [without, with_] = yield* Effect.all([whole(token, path), whole(token, `${path}?include=usage`)])
      expect(Object.keys(dataOf(without.events, "result")[0])).toEqual(plain)
      expect(with_.events).toEqual(stream.events)
    }),
  )

  it.live("ends with one error, a problem of that request, when the run fails", () =>
    Effect.gen(function* () {
      const token = yield* app("recipes")
      const stream = yield* whole(token, "/run", { prompt: "EXIT 3" }, { "x-request-id": "the-first" })
      expect(kinds(stream)).toEqual(["run", "error"])
      expect(dataOf(stream.events, "error")[0]).toMatchObject({
        ok: false,
        code: "run_failed",
        status: 502,
        exit_code: 3,
        stderr: "scripted failure",
        request_id: "the-first",
      })
      const again = yield* whole(token, `/runs/${runOf(stream)}/events`)
      expect(again.events).toEqual(stream.events)
    }),
  )

  it.live.each<[number, string, object, string | undefined]>([
    [400, "invalid_request", { prompt: "SAY a", on_disconnect: "maybe" }, undefined],
    [401, "unauthorized", { prompt: "SAY a" }, "cf_unknown"],
    [404, "not_found", { prompt: "SAY a", files: ["ff_unknown"] }, undefined],
  ])("answers %i %s as ever when there is nothing to stream", ([status, code, body, unknown]) =>
    Effect.gen(function* () {
      const answer = yield* open(unknown ?? (yield* app("recipes")), "/run", body)
      expect([answer.status, answer.headers.get("content-type")]).toEqual([
        status,
        "application/problem+json",
      ])
      expect(JSON.parse(yield* Effect.promise(answer.text))).toMatchObject({ ok: false, code })
    }),
  )

  it.live.each<[string, string]>([
    ["text/event-stream", "text/event-stream; charset=utf-8"],
    ["text/event-stream, application/json", "text/event-stream; charset=utf-8"],
    ["application/json;q=0.5, text/event-stream", "text/event-stream; charset=utf-8"],
    ["application/json, text/event-stream", "application/json; charset=utf-8"],
    ["application/json; charset=utf-8", "application/json; charset=utf-8"],
    ["text/event-stream; charset=utf-8, */*;q=0.1", "text/event-stream; charset=utf-8"],
    ["text/event-stream;charset=utf-8; q=0.1, application/json", "application/json; charset=utf-8"],
    ["application/json", "application/json; charset=utf-8"],
    ["application/*, text/event-stream;q=0.9", "application/json; charset=utf-8"],
    ["*/*", "application/json; charset=utf-8"],
  ])("Accept: %s is answered with %s", ([accept, type]) =>
    Effect.gen(function* () {
      const token = yield* app("recipes")
      const options = { token, body: { prompt: "SAY hello" }, headers: { accept } }
      const answer = yield* server().request("POST", "/run", options)
      expect([answer.status, answer.headers.get("content-type")]).toEqual([200, type])
    }),
  )
})

describe("Accept", () => {
  it.live.each<[string, string, string, number]>([
    ["GET", "/sessions", "text/event-stream", 406],
    ["POST", "/sessions", "text/event-stream", 406],
    ["GET", "/runs/none/events", "application/json", 406],
    ["GET", "/runs/none/events", "*/*", 404],
    ["GET", "/runs/none/events", "text/*;q=0.1", 404],
    ["POST", "/run", "text/html", 406],
  ])("%s %s for one who takes %s is %i", ([method, path, accept, status]) =>
    Effect.gen(function* () {
      const token = yield* app("recipes")
      const answer = yield* server().request(method, path, { token, headers: { accept } })
      expect(answer.status).toBe(status)
    }),
  )
})

describe("POST /sessions/{id}/turn with Accept: text/event-stream", () => {
  it.live("sends the turn, each message of the agent, and the plain answer without its events", () =>
    Effect.gen(function* () {
      const token = yield* app("recipes")
      const id = yield* session(token)
      const body = { prompt: "BIG 20" }
      const plain = yield* server().request("POST", `/sessions/${id}/turn`, { token, body })
      const stream = yield* whole(token, `/sessions/${id}/turn`, body)
      expect(dataOf(stream.events, "run")).toEqual([{ run_id: runOf(stream), session_id: id, turn_index: 2 }])
      const messages = dataOf(stream.events, "message")
      expect(messages.slice(0, -1)).toEqual(plain.json.events.slice(0, -1))
      expect(messages.at(-1).result).toEqual({ stopReason: "end_turn" })
      const [result] = dataOf(stream.events, "result")
      expect(Object.keys(result)).toEqual(["ok", "session_id", "turn_index", "stop_reason", "duration_ms"])
      expect(result).toMatchObject({ ok: true, session_id: id, turn_index: 2, stop_reason: "end_turn" })

      const [ofTurn, ofRun, operators] = yield* Effect.all([
        whole(token, `/sessions/${id}/turns/2/events`),
        whole(token, `/runs/${runOf(stream)}/events`),
        whole(ADMIN_TOKEN, `/sessions/${id}/turns/2/events`),
      ])
      for (const again of [ofTurn, ofRun, operators]) expect(again.events).toEqual(stream.events)
    }),
  )
})

describe("the stream of a run", () => {
  it.live("is the same bytes for who was there and for who is late", () =>
    Effect.gen(function* () {
      const token = yield* app("recipes")
      const headers = { accept: "text/event-stream" }
      const live = yield* server().request("POST", "/run", {
        token,
        headers,
        body: { prompt: 'SAY {"a":[1,2],"b":"😀\\u2028\\nx"}' },
      })
      const late = yield* server().request("GET", `/runs/${runOf(live)}/events`, { token, headers })
      expect(late.text).toBe(live.text)
      expect(late.headers.get("x-run-id")).toBe(runOf(live))
    }),
  )

  it.live("goes on after any event, by Last-Event-ID or by after, of which the first goes before", () =>
    Effect.gen(function* () {
      const token = yield* app("recipes")
      const { events, headers } = yield* whole(token, "/run", { prompt: "SAY hello" })
      const path = `/runs/${runOf({ headers })}/events`
      for (const [n, { id }] of events.entries()) {
        const byHeader = yield* whole(token, `${path}?after=0`, undefined, { "last-event-id": id })
        const byQuery = yield* whole(token, `${path}?after=${id}`)
        expect(byHeader.events).toEqual(events.slice(n + 1))
        expect(byQuery.events).toEqual(events.slice(n + 1))
      }
      expect((yield* whole(token, `${path}?after=0`)).events).toEqual(events)
    }),
  )

  it.live("can be joined half-way, and then goes on live", () =>
    Effect.gen(function* () {
      const token = yield* app("recipes")
      const steps = join(server().dir, "half-way")
      mkdirSync(steps)
      const first = yield* open(token, "/run", { prompt: `STEP ${steps} 1` })
      yield* until(first, has("run"))
      const second = yield* open(token, `/runs/${runOf(first)}/events`)
      const third = yield* open(token, `/runs/${runOf(first)}/events?after=${first.events[0]?.id}`)
      yield* until(second, has("run"))
      expect(kinds(second)).not.toContain("result")
      writeFileSync(join(steps, "0"), "")
      const all = [first, second, third]
      expect(yield* Effect.promise(() => Promise.all(all.map(({ ended }) => ended)))).toEqual(
        all.map(() => "ended"),
      )
      expect(second.events).toEqual(first.events)
      expect(third.events).toEqual(first.events.slice(1))
    }),
  )

  it.live.each(["-1", "1.5", "one", "1e3", "", "9999999999999999"])(
    "has no place that is called %j",
    (cursor) =>
      Effect.gen(function* () {
        const token = yield* app("recipes")
        const path = `/runs/${runOf(yield* server().run(token, { prompt: "SAY hello" }))}/events`
        const byQuery = yield* server().request("GET", `${path}?after=${cursor}`, { token })
        expect([byQuery.status, byQuery.json.issues[0].path]).toEqual([400, ["after"]])
        const headers = { "last-event-id": cursor }
        const byHeader = yield* server().request("GET", path, { token, headers })
        expect([byHeader.status, byHeader.json.issues[0].path]).toEqual([400, ["last-event-id"]])
      }),
  )

  it.live("is not there for another app, as a run that never was is not; for the operator it is", () =>
    Effect.gen(function* () {
      const [own, other] = [yield* app("recipes"), yield* app("diary")]
      const run = runOf(yield* server().run(own, { prompt: "SAY hello" }))
      const id = yield* session(own)
      yield* server().request("POST", `/sessions/${id}/turn`, { token: own, body: { prompt: "SAY hello" } })
      const get = (path: string) => server().request("GET", path, { token: other })
      const answers = yield* Effect.all([
        get(`/runs/${run}/events`),
        get("/runs/01JQ3T4Z8ZJ0V5N6W7X8Y9ZABC/events"),
        get("/runs/no-run/events"),
        get(`/sessions/${id}/turns/1/events`),
        get(`/sessions/${id}/turns/2/events`),
        get("/sessions/1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed/turns/1/events"),
        get("/sessions/no-session/turns/1/events"),
        server().request("GET", `/sessions/${id}/turns/2/events`, { token: own }),
        server().request("GET", `/sessions/${id}/turns/0/events`, { token: own }),
        server().request("GET", `/sessions/${id}/turns/one/events`, { token: own }),
      ])
      expect(answers[0]).toMatchObject({ status: 404, json: { code: "not_found" } })
      for (const answer of answers) expect(sameness(answer)).toEqual(sameness(answers[0]))
      expect(kinds(yield* whole(ADMIN_TOKEN, `/runs/${run}/events`)).at(-1)).toBe("result")
    }),
  )

  it.live("says once what is kept no more, and where it goes on", () =>
    Effect.gen(function* () {
      const token = yield* app("recipes")
      const stream = yield* whole(token, "/run", { prompt: "SAY hello" })
      const [run, message, result] = stream.events
      const path = `/runs/${runOf(stream)}/events`
      const trim = (to: string | undefined) => {
        sql("UPDATE stream_events SET body = NULL WHERE run_id = ? AND seq <= ?", runOf(stream), to)
        sql("UPDATE runs SET trimmed_to = ? WHERE id = ?", to, runOf(stream))
      }
      trim(message?.id)
      const gap = { id: message?.id, event: "resync", data: JSON.stringify({ oldest_id: result?.id }) }
      expect((yield* whole(token, path)).events).toEqual([gap, result])
      expect((yield* whole(token, `${path}?after=${run?.id}`)).events).toEqual([gap, result])
      expect((yield* whole(token, `${path}?after=${message?.id}`)).events).toEqual([result])
      trim(result?.id)
      expect((yield* whole(token, path)).events).toEqual([
        { id: result?.id, event: "resync", data: '{"oldest_id":null}' },
      ])
    }),
  )
})

describe.concurrent("a client that hangs up", () => {
  /** Long enough for a client to hang up meanwhile; and for as long as it takes to be cancelled. */
  const prompts: Readonly<Record<string, string>> = { completed: "SLOW 1500", cancelled: "SLOW 60000" }

  it.live.each<[string, object, string]>([
    ["leaves a streamed run to go on", {}, "completed"],
    ["leaves it also when it says null", { on_disconnect: null }, "completed"],
    ["cancels it when it says so", { on_disconnect: "cancel" }, "cancelled"],
  ])("%s", ([, more, status]) =>
    Effect.gen(function* () {
      const token = yield* app("recipes")
      const stream = yield* open(token, "/run", { prompt: prompts[status], ...more })
      yield* until(stream, has("run"))
      stream.close()
      yield* becomes(runOf(stream), status)
    }),
  )

  it.live("cancels a run that is not streamed, unless it says otherwise", () =>
    Effect.gen(function* () {
      const token = yield* app("hasty")
      const clients = yield* Effect.forkAll(
        [
          { prompt: prompts["cancelled"] },
          { prompt: prompts["cancelled"], on_disconnect: "cancel" },
          { prompt: prompts["completed"], on_disconnect: "continue" },
        ].map((body) => server().run(token, body)),
      )
      yield* become("hasty", "running", "running", "running")
      yield* Fiber.interrupt(clients)
      yield* become("hasty", "cancelled", "cancelled", "completed")
    }),
  )

  it.live("leaves a run with an Idempotency-Key to go on, unless it says otherwise", () =>
    Effect.gen(function* () {
      const token = yield* app("recipes")
      const keyed = (key: string, body: object) => open(token, "/run", body, { "idempotency-key": key })
      const streams = [
        yield* keyed("a", { prompt: prompts["completed"] }),
        yield* keyed("b", { prompt: prompts["cancelled"], on_disconnect: "cancel" }),
      ]
      for (const stream of streams) {
        yield* until(stream, has("run"))
        stream.close()
      }
      yield* becomes(runOf(streams[1] as Opened), "cancelled")
      yield* becomes(runOf(streams[0] as Opened), "completed")
    }),
  )

  it.live.each<[string, object, string]>([
    ["leaves a turn to go on", {}, "completed"],
    ["cancels it when it says so", { on_disconnect: "cancel" }, "cancelled"],
  ])("%s", ([, more, status]) =>
    Effect.gen(function* () {
      const token = yield* app("recipes")
      const path = `/sessions/${yield* session(token)}/turn`
      const stream = yield* open(token, path, { prompt: prompts[status], ...more })
      yield* until(stream, has("run"))
      stream.close()
      yield* becomes(runOf(stream), status)
    }),
  )
})

const cancel = (token: string, path: string) => server().request("POST", `${path}/cancel`, { token })

describe("cancelling", () => {
  it.live("a run ends its stream with a result that says so; again it changes nothing", () =>
    Effect.gen(function* () {
      const [token, other] = [yield* app("recipes"), yield* app("diary")]
      const stream = yield* open(token, "/run", { prompt: "HOLD" })
      yield* until(stream, has("run"))
      const path = `/runs/${runOf(stream)}`
      const refused = yield* Effect.all([cancel(other, path), cancel(other, "/runs/none")])
      expect(sameness(refused[0])).toEqual(sameness(refused[1]))
      expect(refused[0].status).toBe(404)
      expect((yield* cancel(token, path)).text).toBe('{"ok":true,"cancelled":true}')
      expect(yield* Effect.promise(() => stream.ended)).toBe("ended")
      expect(dataOf(stream.events, "result")).toMatchObject([{ ok: true, stop_reason: "cancelled" }])
      expect((yield* cancel(token, path)).text).toBe('{"ok":true,"cancelled":false}')
    }),
  )

  it.live("a session ends its turn at work and those that wait, and leaves it open", () =>
    Effect.gen(function* () {
      const [token, other] = [yield* app("recipes"), yield* app("diary")]
      const id = yield* session(token)
      const path = `/sessions/${id}`
      const turns = [
        yield* open(token, `${path}/turn`, { prompt: "SLOW 60000" }),
        yield* open(token, `${path}/turn`, { prompt: "SAY never" }),
      ]
      const refused = yield* Effect.all([cancel(other, path), cancel(other, "/sessions/none")])
      expect(sameness(refused[0])).toEqual(sameness(refused[1]))
      expect((yield* cancel(token, path)).text).toBe('{"ok":true,"cancelled":true}')
      for (const turn of turns) {
        expect(yield* Effect.promise(() => turn.ended)).toBe("ended")
        expect(dataOf(turn.events, "result")).toMatchObject([{ ok: true, stop_reason: "cancelled" }])
      }
      expect((yield* cancel(token, path)).text).toBe('{"ok":true,"cancelled":false}')
      const next = yield* whole(token, `${path}/turn`, { prompt: "SAY hello" })
      expect(dataOf(next.events, "result")).toMatchObject([{ turn_index: 3, stop_reason: "end_turn" }])
    }),
  )
})

describe("revoking a token", () => {
  it.live("ends all its streams with one 401 each; who reads for the operator sees how the run ended", () =>
    Effect.gen(function* () {
      const [token, other] = [yield* app("revoked"), yield* app("recipes")]
      const run = yield* open(token, "/run", { prompt: "HOLD" })
      yield* until(run, has("run"))
      const path = `/runs/${runOf(run)}/events`
      const [reader, operators, others] = yield* Effect.all([
        open(token, path),
        open(ADMIN_TOKEN, path),
        open(other, "/run", { prompt: "SLOW 2000" }),
      ])
      for (const stream of [reader, operators, others]) yield* until(stream, has("run"))
      yield* server().request("DELETE", "/admin/tokens/revoked", { token: ADMIN_TOKEN })
      for (const stream of [run, reader, operators]) {
        expect(yield* Effect.promise(() => stream.ended)).toBe("ended")
        expect(kinds(stream).filter((kind) => kind !== "message")).toEqual(["run", "error"])
        expect(dataOf(stream.events, "error")).toMatchObject([{ status: 401, code: "unauthorized" }])
      }
      expect(yield* Effect.promise(() => others.ended)).toBe("ended")
      expect(kinds(others).at(-1)).toBe("result")
    }),
  )
})

describe("a service that stops", () => {
  it.live("tells who reads how the run ended, and ends the stream", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const stopping = yield* Scope.extend(scriptedServer({ claudeBin: Option.some(scriptedClaude) }), scope)
      const token = yield* stopping.mint("recipes")
      const run = yield* open(token, "/run", { prompt: "HOLD" }, {}, stopping.url)
      yield* until(run, has("run"))
      const reader = yield* open(token, `/runs/${runOf(run)}/events`, undefined, {}, stopping.url)
      yield* until(reader, has("run"))
      yield* Scope.close(scope, Exit.void)
      for (const stream of [run, reader]) {
        expect(yield* Effect.promise(() => stream.ended)).toBe("ended")
        expect(dataOf(stream.events, "error")).toMatchObject([{ status: 503, code: "shutting_down" }])
      }
    }),
  )
})

describe("a reader that stops reading", () => {
  it.live("does not hold up the turn, and can read again all that it missed", () =>
    Effect.gen(function* () {
      const token = yield* app("recipes")
      const id = yield* session(token)
      const body = JSON.stringify({ prompt: "HUGE 20000000" })
      const head = [
        `POST /sessions/${id}/turn HTTP/1.1`,
        "Host: x",
        `Authorization: Bearer ${token}`,
        "Accept: text/event-stream",
        "Content-Type: application/json",
        `Content-Length: ${body.length}`,
      ].join("\r\n")
      const socket = connect(Number(new URL(server().url).port), "127.0.0.1").on("error", () => {})
      let first = ""
      const isThere = new Promise<void>((resolve) =>
        socket.on("data", (data) => {
          first += String(data)
          if (!first.includes("event: run")) return
          socket.pause()
          resolve()
        }),
      )
      socket.write(`${head}\r\n\r\n${body}`)
      yield* Effect.promise(() => isThere)
      const run = /x-run-id: (\w+)/i.exec(first)?.[1] ?? ""
      yield* becomes(run, "completed")
      const all = yield* whole(token, `/runs/${run}/events`)
      expect(kinds(all)).toEqual(["run", "message", "message", "result"])
      expect(all.events[1]?.data.length).toBeGreaterThan(19_000_000)
      socket.destroy()
    }),
  )
})
