/** How long an event takes to many who follow a stream. */
import { fork } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"

export const STREAMS = 500
export const EVENTS_A_SECOND = 20
const SECONDS = 5

/** Milliseconds, the same in all processes. */
export const now = () => Number(process.hrtime.bigint()) / 1e6

/** When an event was asked for. */
export interface Asked {
  readonly name: string
  readonly at: number
}

/**
 * Follows a stream five hundred times and makes events, a request each; of all their ways from a request to a reader the
 * 99th percentile, in milliseconds. A request begins when it is due, whatever became of those before.
 */
export const delivery = async (
  url: string,
  token: string,
  make: (name: string) => Promise<unknown>,
): Promise<number> => {
  const crowd = fork(join(import.meta.dirname, "crowd.ts"), [url, token, String(STREAMS)])
  try {
    await once(crowd, "message")
    const asked: Array<Asked> = []
    const made: Array<Promise<unknown>> = []
    const from = now()
    for (let n = 0; n < SECONDS * EVENTS_A_SECOND; n++) {
      await sleep(Math.max(0, from + (n * 1000) / EVENTS_A_SECOND - now()))
      const name = `e${from.toFixed(0)}-${n}`
      asked.push({ name, at: now() })
      made.push(make(name))
    }
    await Promise.all(made)
    crowd.send(asked)
    const [p99] = (await once(crowd, "message")) as [number]
    return p99
  } finally {
    crowd.kill()
  }
}
