import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { describe, expect, it } from "@effect/vitest"
import { startListeningForge } from "../../src/testing/listen.ts"

/** What another process is answered. */
const elsewhere = async (url: string, init: RequestInit) => {
  const code = `
    const response = await fetch(${JSON.stringify(url)}, ${JSON.stringify(init)})
    process.stdout.write(await response.text())`
  const ran = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", code])
  return ran.stdout
}

describe("a clawdforge in memory that listens", () => {
  it("is reached by other processes, on this host only, and does as it is told", async () => {
    const forge = await startListeningForge({ answers: ["over a socket"] })
    try {
      expect(forge.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
      const bearer = { authorization: `Bearer ${forge.token}` }
      const headers = { ...bearer, "content-type": "application/json" }
      const ask = { method: "POST", headers, body: '{"prompt":"hello"}' }
      expect(JSON.parse(await elsewhere(`${forge.url}/run`, ask))).toMatchObject({ result: "over a socket" })

      const held = forge.hold()
      const streamed = { ...ask, headers: { ...headers, accept: "text/event-stream" } }
      const stream = elsewhere(`${forge.url}/run`, streamed)
      await held.started
      held.say("as it ")
      held.release("as it comes")
      expect(await stream).toMatch(/event: run\n[\s\S]*as it [\s\S]*"result":"as it comes"/)

      const body = new FormData()
      body.set("file", new Blob(["2 cups"]), "recipe.txt")
      const upload = await forge.fetch("/files", { method: "POST", headers: bearer, body })
      expect(await upload.json()).toMatchObject({ file_token: "ff_secret-2", size: 6 })
    } finally {
      await forge.dispose()
    }
    await expect(forge.fetch("/livez")).rejects.toThrow(/fetch failed/)
  })
})
