/**
 * Tests of an app that asks clawdforge: a whole one in the test's own process, without a login, a network or a disk.
 * Run them with `node --test`.
 */
import assert from "node:assert/strict"
import { test } from "node:test"
import { Forge, PoolFullError, RunFailedError } from "clawdforge/client"
import { Failure, startForge } from "clawdforge/testing"

/** The app: how much of it, in grams. */
const grams = async (forge: Forge, text: string): Promise<number | undefined> => {
  try {
    const { result } = await forge.run(`How much is that in grams? Answer with a number. ${text}`)
    return typeof result === "number" ? result : undefined
  } catch (error) {
    if (error instanceof RunFailedError) return undefined
    throw error
  }
}

test("takes a number for what it is, and a text for no answer", async () => {
  await using clawdforge = await startForge({ answers: ["250", "That depends."] })
  const forge = new Forge({ baseUrl: clawdforge.url, token: clawdforge.token, fetch: clawdforge.fetch })
  assert.equal(await grams(forge, "2 cups of flour"), 250)
  assert.equal(await grams(forge, "some flour"), undefined)
  assert.match(clawdforge.requests[0]?.prompt ?? "", /2 cups of flour/)
})

test("has no answer where the agent fails", async () => {
  await using clawdforge = await startForge()
  clawdforge.nextFailure(
    new Failure.OutputGarbled({ reason: "no answer", stderr: "", exitCode: 0, durationMs: 10 }),
  )
  const forge = new Forge({ baseUrl: clawdforge.url, token: clawdforge.token, fetch: clawdforge.fetch })
  assert.equal(await grams(forge, "2 cups of flour"), undefined)
})

test("is told when there is no room for another session", async () => {
  await using clawdforge = await startForge({ maxLiveSessions: 1 })
  const forge = new Forge({ baseUrl: clawdforge.url, token: clawdforge.token, fetch: clawdforge.fetch })
  await using first = await forge.session()
  assert.match(first.id, /^[0-9a-f-]{36}$/)
  await assert.rejects(forge.session(), PoolFullError)
})
