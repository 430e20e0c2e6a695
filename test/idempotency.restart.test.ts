import { describe, expect, it } from "@effect/vitest"
import { scriptedAgent } from "./support/Sessions.ts"
import { serviceUnderTest, until } from "./support/Service.ts"
import { fileForm } from "./support/TestServer.ts"

/** Keys outlive the service, however it ends; what was half done then is told as lost, and what had not begun is free. */

const { dataDir, rows, start, mint } = serviceUnderTest()

const settings = (more = {}) => ({ CLAWDFORGE_AGENTS: `scripted=${scriptedAgent(dataDir())}`, ...more })

const CANARY = "canary-4f5a"

const send = async (url: string, path: string, token: string, body: object | FormData, key = CANARY) => {
  const isForm = body instanceof FormData
  const response = await fetch(`${url}${path}`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${token}`,
      "idempotency-key": key,
      ...(isForm ? {} : { "content-type": "application/json" }),
    },
    body: isForm ? body : JSON.stringify(body),
  })
  const text = await response.text()
  const { headers, status } = response
  return {
    status,
    text,
    json: JSON.parse(text),
    replayed: headers.get("idempotent-replayed"),
    run: headers.get("x-run-id"),
  }
}

/** A request whose answer never comes. */
const sendInVain = (...request: Parameters<typeof send>) => void send(...request).catch(() => {})

describe("a key", () => {
  it.each(["SIGTERM", "SIGKILL"] as const)(
    "is known after %s and a start, on every route",
    async (signal) => {
      const first = await start(settings())
      const token = await mint(first.url)
      const opened = await send(first.url, "/sessions", token, { agent: "scripted", meta: { a: CANARY } })
      const requests: ReadonlyArray<readonly [string, () => object | FormData]> = [
        ["/run", () => ({ prompt: `SAY ${CANARY}` })],
        ["/files", () => fileForm(CANARY, CANARY)],
        [`/sessions/${opened.json.session_id}/turn`, () => ({ prompt: `SAY ${CANARY}` })],
      ]
      const answers = []
      for (const [path, body] of requests) answers.push(await send(first.url, path, token, body()))
      expect(answers.map(({ status, replayed }) => `${status} ${replayed}`)).toEqual(
        Array(3).fill("200 null"),
      )
      await first.end(signal)

      const second = await start(settings())
      for (const [n, [path, body]] of requests.entries()) {
        const again = await send(second.url, path, token, body())
        expect(again).toEqual({ ...answers[n], replayed: "true" })
      }
      const reopened = await send(second.url, "/sessions", token, { agent: "scripted", meta: { a: CANARY } })
      expect(reopened).toEqual({ ...opened, replayed: "true" })
      const conflicts = [
        await send(second.url, "/run", token, { prompt: "SAY another" }),
        await send(second.url, "/sessions", token, { agent: "scripted" }),
        await send(second.url, "/files", token, fileForm("another", CANARY)),
      ]
      expect(conflicts.map(({ json }) => json.code)).toEqual(Array(3).fill("idempotency_conflict"))
      await second.end("SIGTERM")
      for (const { output } of [first, second]) expect(output()).not.toContain(CANARY)
      expect(rows("SELECT count(*) AS runs FROM runs")).toEqual([{ runs: 2 }])
    },
  )

  it("of a run or a turn that was at work when the service was killed is answered 502, and free where it still waited", async () => {
    const first = await start(settings({ CLAWDFORGE_MAX_CONCURRENT_RUNS: "1" }))
    const token = await mint(first.url)
    const { json } = await send(first.url, "/sessions", token, { agent: "scripted" })
    const turn = `/sessions/${json.session_id}/turn`
    sendInVain(first.url, "/run", token, { prompt: "HOLD" }, "at-work")
    sendInVain(first.url, turn, token, { prompt: "HANG" }, "at-work")
    await until(() => rows("SELECT 1 FROM runs WHERE status = 'running'").length === 2)
    sendInVain(first.url, "/run", token, { prompt: "SAY waited" }, "waiting")
    await until(() => rows("SELECT 1 FROM runs WHERE status = 'queued'").length === 1)
    await first.end("SIGKILL")

    const second = await start(settings())
    for (const [path, prompt] of [
      ["/run", "HOLD"],
      [turn, "HANG"],
    ] as const) {
      const lost = await send(second.url, path, token, { prompt }, "at-work")
      expect([lost.status, lost.json.code, lost.replayed]).toEqual([502, "run_failed", "true"])
      const again = await send(second.url, path, token, { prompt }, "at-work")
      expect([again.status, again.run]).toEqual([502, lost.run])
    }
    const waited = await send(second.url, "/run", token, { prompt: "SAY something else" }, "waiting")
    expect([waited.status, waited.json.result, waited.replayed]).toEqual([200, "something else", null])
  })

  it("of a run that the end of the service cancelled in the queue is free", async () => {
    const first = await start(settings({ CLAWDFORGE_MAX_CONCURRENT_RUNS: "1" }))
    const token = await mint(first.url)
    sendInVain(first.url, "/run", token, { prompt: "HOLD" }, "at-work")
    await until(() => rows("SELECT 1 FROM runs WHERE status = 'running'").length === 1)
    const waiting = send(first.url, "/run", token, { prompt: "SAY waited" }, "waiting")
    await until(() => rows("SELECT 1 FROM runs WHERE status = 'queued'").length === 1)
    await first.end("SIGTERM")
    expect((await waiting).json.code).toBe("shutting_down")
    const second = await start(settings())
    const again = await send(second.url, "/run", token, { prompt: "SAY waited" }, "waiting")
    expect([again.status, again.replayed]).toEqual([200, null])
  })
})
