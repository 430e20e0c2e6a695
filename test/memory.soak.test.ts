import { describe, expect, it } from "@effect/vitest"
import { scale } from "./support/Scale.ts"
import { post, serviceUnderTest } from "./support/Service.ts"

const { start, mint } = serviceUnderTest()

describe(`${scale.largePrompts} prompts of ten megabytes at once, on a heap of 128 MB`, () => {
  it("are answered, or refused with 503 and when to try again, and the service lives on", async () => {
    const server = await start({ NODE_OPTIONS: "--max-old-space-size=128" })
    const token = await mint(server.url)
    const prompt = `SLOW 500 ${"x".repeat(10_000_000)}`
    const answers = await Promise.all(
      Array.from({ length: scale.largePrompts }, async () => {
        const response = await fetch(`${server.url}/run`, {
          method: "POST",
          headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
          body: JSON.stringify({ prompt }),
        })
        const { code = "ok" } = (await response.json()) as { code?: string }
        return { status: response.status, code, retryAfter: response.headers.get("retry-after") }
      }),
    )
    for (const answer of answers) {
      expect([
        { status: 200, code: "ok", retryAfter: null },
        { status: 503, code: "overloaded", retryAfter: expect.stringMatching(/^[1-9]/) },
      ]).toContainEqual(answer)
    }
    expect(answers.some(({ status }) => status === 503)).toBe(true)
    for (;;) {
      const { status } = await post(server.url, "/run", token, { prompt })
      if (status === 200) break
      expect(status).toBe(503)
    }
    expect(server.process.exitCode).toBe(null)
  })
})
