import { describe, expect, it } from "@effect/vitest"
import { fileForm, scriptedAgent } from "./support/Scripted.ts"
import { until, withService } from "./support/Service.ts"

/** Keys outlive the service, however it ends; what was half done then is told as lost, and what had not begun is free. */

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

/** A prompt that is answered piece by piece, for longer than any test takes. */
const ENDLESS = "STREAM 100000 100"
/** The runs at work of which something is said. */
const SPEAKING = `SELECT DISTINCT runs.id FROM runs JOIN stream_events ON run_id = runs.id
  WHERE status = 'running' AND stream_events.kind = 'message'`

/** A request whose answer never comes. */
const sendInVain = (...request: Parameters<typeof send>) => void send(...request).catch(() => {})

describe.concurrent("a key", () => {
  it.each(["SIGTERM", "SIGKILL"] as const)(
    "after %s and a start is known, on every route; of what was at work it is answered as it ended, and of what waited it is free",
    (signal) =>
      withService(async ({ dataDir, rows, start, mint }) => {
        const settings = {
          CLAWDFORGE_AGENTS: `scripted=${scriptedAgent(dataDir())}`,
          CLAWDFORGE_MAX_CONCURRENT_RUNS: "1",
        }
        const first = await start(settings)
        const token = await mint(first.url)
        const opened = await send(first.url, "/sessions", token, { agent: "scripted", meta: { a: CANARY } })
        const turn = `/sessions/${opened.json.session_id}/turn`
        const requests: ReadonlyArray<readonly [string, () => object | FormData]> = [
          ["/run", () => ({ prompt: `SAY ${CANARY}` })],
          ["/files", () => fileForm(CANARY, CANARY)],
          [turn, () => ({ prompt: `SAY ${CANARY}` })],
        ]
        const answers = []
        for (const [path, body] of requests) answers.push(await send(first.url, path, token, body()))
        expect(answers.map(({ status, replayed }) => `${status} ${replayed}`)).toEqual(
          Array(3).fill("200 null"),
        )
        sendInVain(first.url, "/run", token, { prompt: ENDLESS }, "at-work")
        sendInVain(first.url, turn, token, { prompt: ENDLESS }, "at-work")
        await until(() => rows(SPEAKING).length === 2)
        const waiting = send(first.url, "/run", token, { prompt: "SAY waited" }, "waiting").catch(() => "cut")
        await until(() => rows("SELECT 1 FROM runs WHERE status = 'queued'").length === 1)
        await first.end(signal)
        if (signal === "SIGTERM") expect(await waiting).toMatchObject({ json: { code: "shutting_down" } })
        else expect(await waiting).toBe("cut")

        const second = await start(settings)
        for (const [n, [path, body]] of requests.entries()) {
          const again = await send(second.url, path, token, body())
          expect(again).toEqual({ ...answers[n], replayed: "true" })
        }
        const reopened = await send(second.url, "/sessions", token, {
          agent: "scripted",
          meta: { a: CANARY },
        })
        expect(reopened).toEqual({ ...opened, replayed: "true" })
        const conflicts = [
          await send(second.url, "/run", token, { prompt: "SAY another" }),
          await send(second.url, "/sessions", token, { agent: "scripted" }),
          await send(second.url, "/files", token, fileForm("another", CANARY)),
        ]
        expect(conflicts.map(({ json }) => json.code)).toEqual(Array(3).fill("idempotency_conflict"))

        for (const path of ["/run", turn]) {
          const ended = await send(second.url, path, token, { prompt: ENDLESS }, "at-work")
          const [status, code] = signal === "SIGTERM" ? [503, "shutting_down"] : [502, "run_failed"]
          expect([ended.status, ended.json.code, ended.replayed]).toEqual([status, code, "true"])
          const again = await send(second.url, path, token, { prompt: ENDLESS }, "at-work")
          expect([again.status, again.run]).toEqual([status, ended.run])
        }
        // Two that are known, two that were at work, one that waited.
        expect(rows("SELECT count(*) AS runs FROM runs")).toEqual([{ runs: 5 }])
        const prompt = signal === "SIGTERM" ? "waited" : "something else"
        const waited = await send(second.url, "/run", token, { prompt: `SAY ${prompt}` }, "waiting")
        expect([waited.status, waited.json.result, waited.replayed]).toEqual([200, prompt, null])
        await second.end("SIGTERM")
        for (const { output } of [first, second]) expect(output()).not.toContain(CANARY)
      })(),
  )
})
