/**
 * Tests of an app that uses clawdforge. Each test starts a complete clawdforge in its own process, without a login, a
 * network or a disk. Run them with `node --test`.
 */
import assert from "node:assert/strict"
import { test } from "node:test"
import { Forge, PoolFullError, RunFailedError } from "clawdforge/client"
import { Failure, startForge } from "clawdforge/testing"

/** The app: converts an amount to grams. Undefined if the answer is no number. */
const grams = async (forge: Forge, text: string): Promise<number | undefined> => {
  try {
    const { result } = await forge.run(`How much is that in grams? Answer with a number. ${text}`)
    return typeof result === "number" ? result : undefined
  } catch (error) {
    if (error instanceof RunFailedError) return undefined
    throw error
  }
}

test("returns a number, and undefined for a text", async () => {
  await using clawdforge = await startForge({ answers: ["250", "That depends."] })
  const forge = new Forge({ baseUrl: clawdforge.url, token: clawdforge.token, fetch: clawdforge.fetch })
  assert.equal(await grams(forge, "2 cups of flour"), 250)
  assert.equal(await grams(forge, "some flour"), undefined)
  assert.match(clawdforge.requests[0]?.prompt ?? "", /2 cups of flour/)
})

test("returns undefined if the agent fails", async () => {
  await using clawdforge = await startForge()
  clawdforge.nextFailure(
    new Failure.OutputGarbled({ reason: "no answer", stderr: "", exitCode: 0, durationMs: 10 }),
  )
  const forge = new Forge({ baseUrl: clawdforge.url, token: clawdforge.token, fetch: clawdforge.fetch })
  assert.equal(await grams(forge, "2 cups of flour"), undefined)
})

test("gets PoolFullError if no more sessions fit", async () => {
  await using clawdforge = await startForge({ maxLiveSessions: 1 })
  const forge = new Forge({ baseUrl: clawdforge.url, token: clawdforge.token, fetch: clawdforge.fetch })
  await using first = await forge.session()
  assert.match(first.id, /^[0-9a-f-]{36}$/)
  await assert.rejects(forge.session(), PoolFullError)
})
