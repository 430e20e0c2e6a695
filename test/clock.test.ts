import { describe, expect, it } from "@effect/vitest"
import { fakeDate } from "./support/Faketime.ts"
import { post, until, withService } from "./support/Service.ts"
import { notChecked } from "./support/Tools.ts"

/** The service as a process whose date jumps, as it does when an operator or NTP sets the clock of the machine. */

const DAY_SECS = 24 * 3600

describe("a service whose date is set", () => {
  it("by a day, forward and back, tells true durations, and no run ends before it starts", async (test) => {
    await withService(async ({ dataDir, start, mint, rows }) => {
      const date = fakeDate(dataDir())
      if (date === undefined) {
        notChecked("a service whose date is set", "libfaketime: apt-get install faketime")
        return test.skip()
      }
      const { url } = await start(date.env)
      const token = await mint(url)
      for (const jump of [DAY_SECS, 0]) {
        const before = rows("SELECT 1 FROM runs").length
        const answer = post(url, "/run", token, { prompt: "HOLD", timeout_secs: 3 })
        await until(() => rows("SELECT 1 FROM runs WHERE status = 'running'").length === 1)
        date.set(jump)
        const { status, json } = await answer
        expect([status, json.code]).toEqual([504, "timeout"])
        // An hour is more than any machine takes for three seconds, and less than the jump.
        expect(json.duration_ms).toBeGreaterThanOrEqual(3000)
        expect(json.duration_ms).toBeLessThan(3_600_000)
        expect(rows("SELECT duration_ms AS ms FROM runs ORDER BY rowid")[before].ms).toBe(json.duration_ms)
      }
      expect(rows("SELECT finished_at - started_at AS ms FROM runs ORDER BY rowid")).toEqual([
        { ms: expect.any(Number) },
        { ms: 0 },
      ])
    })()
  })
})
