import { spawn } from "node:child_process"
import { once } from "node:events"
import { setTimeout as sleep } from "node:timers/promises"
import { expect } from "@effect/vitest"

/**
 * What tests need so that none of them depends on a fast machine. It loads nothing of the service, as `Scripted.ts`.
 */

/** A start of Node takes an idle machine less than this, in milliseconds. */
const START_MILLIS = 50

const startOfNode = async (): Promise<number> => {
  const from = performance.now()
  await once(spawn(process.execPath, ["-e", "0"], { stdio: "ignore" }), "exit")
  return performance.now() - from
}

/**
 * How many times as long as on an idle machine work takes here and now. At least 1, and 1 on an idle machine. It is the
 * slowest of three starts of Node: a single one can be lucky.
 */
export const pace = async (): Promise<number> => {
  const starts = [await startOfNode(), await startOfNode(), await startOfNode()]
  return Math.max(1, ...starts.map((millis) => millis / START_MILLIS))
}

/**
 * Expects that something took less than that many milliseconds. On a busy machine it may take as many times longer as
 * all work there does. The pace is measured only if the time is exceeded: an idle machine pays nothing.
 */
export const expectWithin = async (took: number, millis: number): Promise<void> => {
  if (took >= millis) expect(took).toBeLessThan(millis * (await pace()))
}

/**
 * Waits until this process has read from the kernel what was there before: pipes, sockets and ends of children. It waits
 * for turns of the event loop, because a busy machine may pass any time without a turn.
 */
export const turnsOfLoop = async (turns = 25): Promise<void> => {
  for (let n = 0; n < turns; n++) await sleep(4)
}
