/** Measures how long an event takes to reach many followers of a stream. */
import { fork } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"

export const STREAMS = 500
export const EVENTS_A_SECOND = 20
const SECONDS = 5

/** Milliseconds of a monotonic clock that all processes of the machine share. */
export const now = () => Number(process.hrtime.bigint()) / 1e6

/** The name of an event, and when it was requested. */
export interface EventRequest {
  readonly name: string
  readonly at: number
}

/**
 * Follows a stream `STREAMS` times and creates events, one request each. Returns the 99th percentile, in milliseconds, of
 * the times from a request to a follower. Each request starts on schedule, also if earlier ones are not answered yet.
 */
export const delivery = async (
  url: string,
  token: string,
  make: (name: string) => Promise<unknown>,
): Promise<number> => {
  const crowd = fork(join(import.meta.dirname, "crowd.ts"), [url, token, String(STREAMS)])
  try {
    await once(crowd, "message")
    const requests: Array<EventRequest> = []
    const answers: Array<Promise<unknown>> = []
    const from = now()
    for (let n = 0; n < SECONDS * EVENTS_A_SECOND; n++) {
      await sleep(Math.max(0, from + (n * 1000) / EVENTS_A_SECOND - now()))
      const name = `e${from.toFixed(0)}-${n}`
      requests.push({ name, at: now() })
      answers.push(make(name))
    }
    await Promise.all(answers)
    crowd.send(requests)
    const [p99] = (await once(crowd, "message")) as [number]
    return p99
  } finally {
    crowd.kill()
  }
}
