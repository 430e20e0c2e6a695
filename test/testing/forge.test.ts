import { afterEach, describe, expect, it } from "@effect/vitest"
import { Failure, type RunningForge, startForge, type ForgeOptions } from "../../src/testing.ts"
import { EventParser, type ServerEvent } from "../support/EventSource.ts"

/** What an app's own tests do, who knows nothing of Effect. */

let forge: RunningForge
const start = async (options?: ForgeOptions) => (forge = await startForge(options))
afterEach(() => forge.dispose())

const ask = async (method: string, path: string, body?: object, more: Record<string, string> = {}) => {
  const response = await forge.fetch(path, {
    method,
    headers: { authorization: `Bearer ${forge.token}`, "content-type": "application/json", ...more },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return { status: response.status, headers: response.headers, json: (await response.json()) as any }
}
const run = (prompt: string, more: object = {}, headers: Record<string, string> = {}) =>
  ask("POST", "/run", { prompt, ...more }, headers)

/** The events of a stream as they come. */
const events = async function* (path: string, init: RequestInit = {}): AsyncGenerator<ServerEvent> {
  const headers = { accept: "text/event-stream", "content-type": "application/json", ...init.headers }
  const response = await forge.fetch(path, {
    ...init,
    headers: { ...headers, authorization: `Bearer ${forge.token}` },
  })
  expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/)
  const parser = new EventParser()
  for await (const bytes of response.body ?? []) yield* parser.push(bytes)
}
const streamed = (prompt: string, more: object = {}) =>
  events("/run", { method: "POST", body: JSON.stringify({ prompt, ...more }) })
const next = async (reader: AsyncGenerator<ServerEvent>) => (await reader.next()).value as ServerEvent
const rest = async (reader: AsyncIterable<ServerEvent>) => {
  const read: Array<ServerEvent> = []
  for await (const event of reader) read.push(event)
  return read
}

const keyed = (key: string) => ({ "idempotency-key": key })

const opened = async () => (await ask("POST", "/sessions", {})).json.session_id as string
const turn = (id: string, prompt: string) => ask("POST", `/sessions/${id}/turn`, { prompt })
/** What the agent says in a turn. */
const textOf = ({ json }: { json: any }) =>
  json.events.map(({ params }: any) => params?.update.content.text ?? "").join("")

/** What `claude` says in a stream. */
const saidIn = (read: ReadonlyArray<ServerEvent>) =>
  read.map(({ data }) => (JSON.parse(data).event?.delta?.text ?? "") as string).join("")

describe("one-shot prompts", () => {
  it("are answered as the test says, one after the other, then with ok", async () => {
    await start({ answers: ['{"qty":2,"unit":"cup"}'] })
    forge.nextAnswer("a text", { text: "another", costUsd: 0.5 })

    expect((await run("Parse: 2 cups")).json).toMatchObject({ ok: true, result: { qty: 2, unit: "cup" } })
    expect((await run("And now?")).json.result).toBe("a text")
    expect((await ask("POST", "/run?include=usage", { prompt: "x" })).json).toMatchObject({
      result: "another",
      cost_usd: 0.5,
    })
    expect((await run("And then?")).json.result).toBe("ok")
    expect(forge.requests.map(({ prompt }) => prompt)).toEqual([
      "Parse: 2 cups",
      "And now?",
      "x",
      "And then?",
    ])
  })

  it.each([
    [new Failure.NotLoggedIn({}), 503, "not_logged_in"],
    [new Failure.ExecutableMissing({ program: "claude" }), 502, "agent_unavailable"],
    [new Failure.ProviderRefused({ status: 529, reason: "too much to do" }), 503, "overloaded"],
    [new Failure.ProviderRefused({ status: 500, reason: "an error" }), 502, "run_failed"],
    [new Failure.ProcessFailed({ reason: "it broke", exitCode: 3 }), 502, "run_failed"],
  ])("fail as the test says: $_tag", async (failure, status, code) => {
    await start()
    forge.nextFailure(failure)
    const answer = await run("hello")
    expect([answer.status, answer.json.code]).toEqual([status, code])
    expect(answer.headers.get("content-type")).toBe("application/problem+json")
    // Without a login, the next prompt is refused at once.
    expect((await run("again")).status).toBe(code === "not_logged_in" ? 503 : 200)
  })

  it("stay at work until they are let go, and are cancelled with what they said", async () => {
    await start()
    const held = forge.hold()
    const answer = run("Tell me a story")
    expect((await held.started).prompt).toBe("Tell me a story")
    const { json } = await ask("GET", "/runs?status=running")
    held.say("Once upon a time")
    const stream = events(`/runs/${json.runs[0].run_id}/events`)
    const isSaid = async () => {
      for (;;) if (saidIn([await next(stream)]) === "Once upon a time") return
    }
    await isSaid()
    expect((await ask("POST", `/runs/${json.runs[0].run_id}/cancel`)).json).toEqual({
      ok: true,
      cancelled: true,
    })
    await held.ended
    expect((await answer).json).toMatchObject({ result: "Once upon a time", stop_reason: "cancelled" })
  })

  it("must fit their output_schema, as in production", async () => {
    const output_schema = { type: "object", properties: { qty: { type: "number" } }, required: ["qty"] }
    await start({ answers: ['{"qty":2}', '{"qty":"two"}'] })
    expect((await run("x", { output_schema })).json.result).toEqual({ qty: 2 })
    const misfit = await run("x", { output_schema })
    expect([misfit.status, misfit.json.code, misfit.json.issues]).toMatchObject([
      502,
      "run_failed",
      [{ path: ["qty"] }],
    ])
    expect((await run("x", { output_schema: { type: "nonsense" } })).status).toBe(400)
  })

  it("are refused as in production: no token, an unknown field, no JSON, a queue that is full", async () => {
    await start({ maxConcurrentRuns: 1, maxQueuedRuns: 0 })
    expect((await forge.fetch("/run", { method: "POST" })).status).toBe(401)
    expect((await run("x", { wrong: 1 })).json).toMatchObject({ code: "invalid_request", status: 400 })
    const headers = { authorization: `Bearer ${forge.token}`, "content-type": "application/json" }
    expect((await forge.fetch("/run", { method: "POST", headers, body: "{" })).status).toBe(400)
    expect((await ask("GET", "/nowhere")).status).toBe(404)
    const held = forge.hold()
    const first = run("first")
    await held.started
    expect((await run("second")).json.code).toBe("overloaded")
    held.release("done")
    expect((await first).json.result).toBe("done")
  })

  it("are done once under an idempotency key", async () => {
    await start()
    forge.nextAnswer("the first", "the second")
    const key = { "idempotency-key": "order-17" }
    expect((await run("x", {}, key)).json.result).toBe("the first")
    const again = await run("x", {}, key)
    expect([again.json.result, again.headers.get("idempotent-replayed")]).toEqual(["the first", "true"])
    expect((await run("y", {}, key)).json.code).toBe("idempotency_conflict")
    expect(forge.requests).toHaveLength(1)
  })

  it.each([
    new Failure.RateLimited({ reason: "a limit", retryAfterSecs: 1 }),
    new Failure.ProviderOverloaded({ reason: "busy" }),
    new Failure.ExecutableMissing({ program: "claude" }),
  ])("leave their idempotency key unused when nothing was done: $_tag", async (failure) => {
    await start()
    forge.nextFailure(failure)
    forge.agents.nextFailure(failure as never)
    const session = `/sessions/${await opened()}`
    for (const path of ["/run", `${session}/turn`]) {
      const key = { "idempotency-key": "order-17" }
      const refused = await ask("POST", path, { prompt: "x" }, key)
      expect(refused.status).toBeGreaterThanOrEqual(429)
      const second = await ask("POST", path, { prompt: "x" }, key)
      expect([second.status, second.headers.get("idempotent-replayed")]).toEqual([200, null])
    }
  })

  it("keep their idempotency key when the answer had begun, or the prompt was handed over", async () => {
    await start()
    const held = forge.hold()
    const first = run("x", {}, keyed("begun"))
    await held.started
    held.say("half an ")
    held.fail(new Failure.ProviderOverloaded({ reason: "busy" }))
    expect((await first).status).toBe(503)
    forge.nextFailure(new Failure.ProcessFailed({ reason: "it broke", exitCode: 3 }))
    expect((await run("x", {}, keyed("handed over"))).status).toBe(502)
    for (const [name, status] of [
      ["begun", 503],
      ["handed over", 502],
    ] as const) {
      const again = await run("x", {}, keyed(name))
      expect([again.status, again.headers.get("idempotent-replayed")]).toEqual([status, "true"])
    }
    expect(forge.requests).toHaveLength(2)
  })

  it("get the files that were uploaded for them", async () => {
    await start()
    const form = new FormData()
    form.set("file", new Blob(["2 cups of flour"]), "rezépt 漢字.txt")
    const headers = { authorization: `Bearer ${forge.token}` }
    const upload = await forge.fetch("/files", { method: "POST", headers, body: form })
    const { file_token, size } = (await upload.json()) as any
    expect([upload.status, size]).toEqual([200, 15])

    await run("How much flour?", { files: [file_token] })
    const [[path, bytes] = []] = forge.memory.attached
    expect(forge.requests[0]?.prompt).toContain(`${path}`)
    expect(forge.requests[0]?.prompt).toContain("rezépt 漢字.txt")
    expect(new TextDecoder().decode(bytes)).toBe("2 cups of flour")
    const other = { authorization: `Bearer ${await forge.mint("other")}` }
    expect((await run("x", { files: [file_token] }, other)).status).toBe(404)
  })
})

describe("streams", () => {
  it("come piece by piece, while the run is at work, and are resumed after the last event one has", async () => {
    await start()
    const held = forge.hold()
    const reader = streamed("Tell me", { on_disconnect: "continue" })
    const first = await next(reader)
    expect(first.event).toBe("run")
    held.say("Once ")
    let last = await next(reader)
    while (saidIn([last]) !== "Once ") last = await next(reader)
    await reader.return(undefined)

    held.say("upon ")
    held.release("Once upon a time")
    const { run_id } = JSON.parse(first.data)
    const later = await rest(events(`/runs/${run_id}/events`, { headers: { "last-event-id": last.id } }))
    expect(saidIn(later)).toBe("upon a time")
    expect(JSON.parse(later.at(-1)?.data ?? "")).toMatchObject({ result: "Once upon a time" })
    const all = await rest(events(`/runs/${run_id}/events`))
    expect(all.slice(-later.length)).toEqual(later)
  })

  it("end with the problem of a run that fails", async () => {
    await start()
    forge.nextFailure(new Failure.ProcessKilled({ signal: "SIGKILL" }))
    const last = (await rest(streamed("x"))).at(-1)
    expect([last?.event, JSON.parse(last?.data ?? "").code]).toEqual(["error", "run_failed"])
  })

  it("notice a client who goes away, whatever way he goes", async () => {
    await start()
    const [cancelled, aborted, plain] = [forge.hold(), forge.hold(), forge.hold()]
    const reader = streamed("cancelled", { on_disconnect: "cancel" })
    await next(reader)
    await cancelled.started
    await reader.return(undefined)
    await cancelled.ended

    const controller = new AbortController()
    const reading = rest(
      events("/run", {
        method: "POST",
        body: '{"prompt":"aborted","on_disconnect":"cancel"}',
        signal: controller.signal,
      }),
    )
    await aborted.started
    controller.abort()
    await expect(reading).rejects.toThrow(/abort/)
    await aborted.ended

    const gone = new AbortController()
    const answer = forge.fetch("/run", {
      method: "POST",
      headers: { authorization: `Bearer ${forge.token}`, "content-type": "application/json" },
      body: '{"prompt":"plain"}',
      signal: gone.signal,
    })
    await plain.started
    gone.abort()
    await expect(answer).rejects.toThrow(/abort/)
    await plain.ended

    const log = events("/events/stream?after=0&type=run.cancelled")
    const runs = [await next(log), await next(log), await next(log)].map(
      ({ data }) => JSON.parse(data).run_id,
    )
    expect(new Set(runs).size).toBe(3)
    await log.return(undefined)
  })

  it("are written no faster than they are read, and lose nothing", async () => {
    await start()
    const held = forge.hold()
    const reader = streamed("x")
    await next(reader)
    const pieces = Array.from({ length: 200 }, (_, n) => `${n} ${"x".repeat(5000)}\n`)
    pieces.forEach(held.say)
    held.release()
    await held.ended
    expect(saidIn(await rest(reader))).toBe(pieces.join(""))
  })

  it("of all that happens are followed by the operator", async () => {
    await start()
    const log = events("/events/stream?after=0")
    expect(JSON.parse((await next(log)).data)).toMatchObject({ type: "token.mint", token: "app" })
    await run("x")
    const types: Array<string> = []
    while (types.at(-1) !== "run.completed") types.push(JSON.parse((await next(log)).data).type)
    expect(types).toEqual(["run.queued", "run.started", "run.completed"])
    await log.return(undefined)
  })
})

describe("sessions", () => {
  it("have turns that are answered as the test says, and know what was asked before", async () => {
    await start()
    const id = await opened()
    forge.agents.nextAnswer("240 g")
    const first = await turn(id, "2 cups of flour in grams?")
    expect([first.json.turn_index, textOf(first)]).toEqual([1, "240 g"])
    expect(textOf(await turn(id, "And for five?"))).toBe("ok")
    expect(forge.agents.requests[1]).toMatchObject({
      prompt: "And for five?",
      earlier: ["2 cups of flour in grams?"],
    })
  })

  it("fail the third turn, and go on with the fourth", async () => {
    await start()
    const id = await opened()
    forge.agents.failNth(3, new Failure.TurnFailed({ reason: "the agent is gone" }))
    const answers = []
    for (const prompt of ["one", "two", "three", "four"]) answers.push(await turn(id, prompt))
    expect(answers.map(({ status, json }) => json.code ?? status)).toEqual([200, 200, "turn_failed", 200])
  })

  it("have a turn that is held, and cancelled with what it said", async () => {
    await start()
    const id = await opened()
    const held = forge.agents.hold()
    const answer = turn(id, "Tell me a story")
    await held.started
    held.say("Once ")
    const stream = events(`/sessions/${id}/turns/1/events`)
    while ((await next(stream)).event !== "message") continue
    expect((await ask("POST", `/sessions/${id}/cancel`)).json.cancelled).toBe(true)
    const cancelled = await answer
    expect([cancelled.json.stop_reason, textOf(cancelled)]).toEqual(["cancelled", "Once "])
  })

  it("are as many as may be", async () => {
    await start({ maxLiveSessions: 1 })
    await opened()
    expect((await ask("POST", "/sessions", {})).json.code).toBe("pool_full")
  })
})

describe("time", () => {
  it("passes when the test says so: a run times out, a file expires, an idle session is closed", async () => {
    await start({ clock: "manual", sessionTtlSecs: 600 })
    const held = forge.hold()
    const late = run("x", { timeout_secs: 30 })
    await held.started
    await forge.advance("31 seconds")
    expect((await late).json).toMatchObject({ code: "timeout", status: 504, duration_ms: 31_000 })

    const form = new FormData()
    form.set("ttl_secs", "60")
    form.set("file", new Blob(["x"]), "x.txt")
    const headers = { authorization: `Bearer ${forge.token}` }
    const upload = await forge.fetch("/files", { method: "POST", headers, body: form })
    const { file_token } = (await upload.json()) as any
    const { session_id } = (await ask("POST", "/sessions", {})).json
    await forge.advance("1 hour")
    expect((await run("x", { files: [file_token] })).status).toBe(404)
    expect((await ask("GET", `/sessions/${session_id}`)).json.status).toBe("closed")
    expect([forge.memory.uploads.size, forge.memory.sessionDirs.size]).toEqual([0, 0])
    expect(forge.memory.ledger.events.map(({ type }) => type)).toContain("session.sweep_close")
  })

  it("does not pass by a test's word, unless its clock is manual", async () => {
    await start()
    await expect(forge.advance("1 hour")).rejects.toThrow(/manual/)
  })
})

describe("a restart", () => {
  it("goes on with what was kept: sessions stay, and what was at work is over", async () => {
    const { memory, dispose } = await start()
    const session = (await ask("POST", "/sessions", {})).json.session_id
    const held = forge.hold()
    const lost = run("x")
    await held.started
    await dispose()
    await expect(lost).rejects.toThrow(/terminated/)

    await start({ memory })
    expect((await ask("GET", `/sessions/${session}`)).json).toMatchObject({ status: "open", turn_count: 0 })
    expect((await ask("GET", "/runs")).json.runs).toMatchObject([{ status: "cancelled" }])
    expect((await run("y")).json.result).toBe("ok")
  })
})
