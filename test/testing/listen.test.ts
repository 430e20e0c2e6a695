import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { describe, expect, it } from "@effect/vitest"
import { startListeningForge } from "../../src/testing/listen.ts"

const curl = async (...args: ReadonlyArray<string>) =>
  (await promisify(execFile)("curl", ["-s", ...args])).stdout

describe("a clawdforge in memory that listens", () => {
  it("is reached by other processes, on this host only, and does as it is told", async () => {
    const forge = await startListeningForge({ answers: ["over a socket"] })
    try {
      expect(forge.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
      const app = ["-H", `Authorization: Bearer ${forge.token}`]
      const args = [...app, "-H", "Content-Type: application/json", "-d", '{"prompt":"hello"}']
      expect(JSON.parse(await curl(...args, `${forge.url}/run`))).toMatchObject({ result: "over a socket" })
      const upload = await curl(...app, "-F", "file=@package.json", `${forge.url}/files`)
      expect(JSON.parse(upload)).toMatchObject({ file_token: "ff_secret-2" })

      const held = forge.hold()
      const stream = curl(...args, "-N", "-H", "Accept: text/event-stream", `${forge.url}/run`)
      await held.started
      held.say("as it ")
      held.release("as it comes")
      expect(await stream).toMatch(/event: run\n[\s\S]*as it [\s\S]*"result":"as it comes"/)
      expect((await forge.fetch("/livez")).status).toBe(200)
    } finally {
      await forge.dispose()
    }
    await expect(forge.fetch("/livez")).rejects.toThrow(/fetch failed/)
  })
})
