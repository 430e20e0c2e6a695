import { afterEach, describe, expect, it } from "@effect/vitest"
import { ForgeMemory, type ForgeOptions, type RunningForge, startForge } from "../../src/testing.ts"
import { EventParser, type ServerEvent } from "../support/EventSource.ts"

/** What happens to a session beside its turns, as its app follows it. */

let forge: RunningForge
const start = async (options?: ForgeOptions) => (forge = await startForge(options))
afterEach(() => forge.dispose())

interface Request {
  readonly token?: string
  readonly body?: object
  readonly headers?: Record<string, string>
}
const ask = (method: string, path: string, { token = forge.token, body, headers = {} }: Request = {}) =>
  forge.fetch(path, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json", ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })

const opened = async () => ((await (await ask("POST", "/sessions", { body: {} })).json()) as any).session_id
const turn = async (id: string, prompt: string): Promise<any> =>
  (await ask("POST", `/sessions/${id}/turn`, { body: { prompt } })).json()
const close = (id: string) => ask("DELETE", `/sessions/${id}`)

/** Reads the events of a session as they come, until the session is closed or the reader returns. */
const events = async function* (id: string, query = "", request: Request = {}): AsyncGenerator<ServerEvent> {
  const response = await ask("GET", `/sessions/${id}/events${query}`, request)
  expect([response.status, response.headers.get("content-type")]).toEqual([
    200,
    "text/event-stream; charset=utf-8",
  ])
  const parser = new EventParser()
  for await (const bytes of response.body ?? []) yield* parser.push(bytes)
}
const next = async (reader: AsyncGenerator<ServerEvent>, count: number) => {
  const read: Array<ServerEvent> = []
  while (read.length < count) read.push((await reader.next()).value)
  return read
}
const rest = async (reader: AsyncGenerator<ServerEvent>) => {
  const read: Array<ServerEvent> = []
  for await (const event of reader) read.push(event)
  return read
}

/** What an event tells: the agent's words, or the event's name. */
const told = ({ event, data }: ServerEvent): string =>
  event === "session.message" ? JSON.parse(data).data.message.params.update.content.text : event

describe("the events of a session", () => {
  it("tell what its agent says while no turn is open, live and again, once and in order", async () => {
    await start()
    const id = await opened()
    const live = events(id)
    expect((await next(live, 1)).map(told)).toEqual(["session.create"])
    forge.agents.sayUnprompted(id, "first")
    forge.agents.sayUnprompted(id, "second")
    const words = await next(live, 2)
    expect(words.map(told)).toEqual(["first", "second"])
    expect(JSON.parse(words[0]?.data ?? "")).toEqual({
      seq: Number(words[0]?.id),
      type: "session.message",
      at: expect.any(Number),
      run_id: null,
      session_id: id,
      token: "app",
      data: {
        message: {
          jsonrpc: "2.0",
          method: "session/update",
          params: {
            sessionId: `mock-${id}`,
            update: { sessionUpdate: "agent_message_chunk", content: { type: "text", text: "first" } },
          },
        },
      },
    })
    const answer = await turn(id, "hello")
    forge.agents.sayUnprompted(id, "third")
    expect((await next(live, 2)).map(told)).toEqual(["session.turn", "third"])
    expect(JSON.stringify(answer)).not.toContain("third")
    await close(id)
    expect((await rest(live)).map(told)).toEqual(["session.close"])

    const all = await rest(events(id))
    expect(all.map(told)).toEqual([
      "session.create",
      "first",
      "second",
      "session.turn",
      "third",
      "session.close",
    ])
    expect(await rest(events(id, `?after=${words[0]?.id}`))).toEqual(all.slice(2))
    const resumed = events(id, "?after=0", { headers: { "last-event-id": words[1]?.id ?? "" } })
    expect(await rest(resumed)).toEqual(all.slice(3))
    const over = await ask("GET", `/sessions/${id}/events?after=${all.at(-1)?.id}`)
    expect([over.status, await over.text()]).toEqual([204, ""])
  })

  it("are there again after a restart of the service, and go on", async () => {
    const memory = new ForgeMemory()
    await start({ memory })
    const id = await opened()
    forge.agents.sayUnprompted(id, "before")
    const first = events(id)
    const read = await next(first, 2)
    await forge.dispose()
    await start({ memory })
    const again = events(id)
    expect(await next(again, 2)).toEqual(read)
    forge.agents.sayUnprompted(id, "after")
    expect((await next(again, 1)).map(told)).toEqual(["after"])
    await again.return(undefined)
  })

  it("keep the words as long as a run's, and then say that they are gone", async () => {
    await start({ clock: "manual", streamRetentionSecs: 60 })
    const id = await opened()
    forge.agents.sayUnprompted(id, "old words")
    const [, old] = await next(events(id), 2)
    await forge.advance("61 seconds")
    forge.agents.sayUnprompted(id, "new words")
    await next(events(id, `?after=${old?.id}`), 1)
    const now = await next(events(id), 3)
    expect(now.map(told)).toEqual(["session.create", "resync", "new words"])
    expect([now[1]?.id, JSON.parse(now[1]?.data ?? "")]).toEqual([old?.id, { oldest_id: now[2]?.id }])
    expect(JSON.stringify(forge.memory.ledger.sessionMessages.rows)).not.toContain("old words")
  })

  it("are not in the log, where texts have no place", async () => {
    await start()
    const id = await opened()
    forge.agents.sayUnprompted(id, "a secret word")
    await next(events(id), 2)
    const log = await ask("GET", `/events?limit=500`, { token: forge.adminToken })
    expect(await log.text()).not.toMatch(/secret word|session\.message/)
    expect(JSON.stringify(forge.memory.ledger.events)).not.toContain("secret word")
  })

  it("are seen by the session's app and the operator, and by nobody else", async () => {
    await start()
    const id = await opened()
    const stranger = await forge.mint("stranger")
    forge.agents.sayUnprompted(id, "mine")
    const operator = events(id, "", { token: forge.adminToken })
    expect((await next(operator, 2)).map(told)).toEqual(["session.create", "mine"])
    await operator.return(undefined)
    const answers = await Promise.all(
      [
        [id, stranger],
        ["00000000-0000-4000-8000-000000000000", stranger],
        ["no-id", forge.token],
      ].map(async ([session, token]) => {
        const answer = await ask("GET", `/sessions/${session}/events`, { token: token ?? "" })
        const { request_id: _, ...problem } = (await answer.json()) as any
        return problem
      }),
    )
    expect(answers[0]).toMatchObject({ status: 404, code: "not_found" })
    expect(answers).toEqual([answers[0], answers[0], answers[0]])
    expect((await ask("GET", `/sessions/${id}/events?after=x`)).status).toBe(400)
  })

  it("end with the session: what is said later is nobody's", async () => {
    await start({ clock: "manual" })
    const id = await opened()
    await close(id)
    forge.agents.sayUnprompted(id, "too late")
    await turn(await opened(), "another")
    expect((await rest(events(id))).map(told)).toEqual(["session.create", "session.close"])
    await forge.advance("2 days")
    expect((await ask("GET", `/sessions/${id}/events`)).status).toBe(404)
  })
})
