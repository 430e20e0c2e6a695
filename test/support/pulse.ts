import { setTimeout as sleep } from "node:timers/promises"
import { parentPort, workerData } from "node:worker_threads"

/**
 * A thread of its own that asks the service at that URL for a sign of life all the time, from its first message until it
 * is told to stop; then it says the longest that one took, in milliseconds. What the test itself is busy with, it does not
 * measure.
 */

const beat = async () => (await fetch(`${workerData}/livez`)).text()

const stop = new AbortController()
parentPort?.once("message", () => stop.abort())

await beat()
parentPort?.postMessage("ready")

let longest = 0
while (!stop.signal.aborted) {
  const from = performance.now()
  await beat()
  longest = Math.max(longest, performance.now() - from)
  await sleep(20)
}
parentPort?.postMessage(longest)
