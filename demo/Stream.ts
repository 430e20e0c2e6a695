import { Effect } from "effect"
import { type Opened, openEvents } from "../test/support/EventSource.ts"
import { curl } from "./Client.ts"
import * as Print from "./Print.ts"
import { DemoFailed } from "./Setup.ts"

/** Streams a run, and prints each event as one line: its id, its name, and the beginning of its data. */

const SHOWN_CHARS = 66

const show = ({ events }: Opened, count: number) =>
  Print.lines(
    events
      .slice(0, count)
      .map(({ id, event, data }) => `${id.padStart(3)} ${event.padEnd(8)} ${truncate(data)}`),
  )

const truncate = (data: string) => (data.length > SHOWN_CHARS ? `${data.slice(0, SHOWN_CHARS)}…` : data)

const opened = (...options: Parameters<typeof openEvents>) =>
  Effect.tryPromise({
    try: () => openEvents(...options),
    catch: (error) => new DemoFailed({ message: `no stream: ${String(error)}` }),
  })

/** Streams a run, disconnects after `cut` events, and resumes after the last one. Returns all events. */
export const streamWithReconnect = (url: string, token: string, prompt: string, cut: number) =>
  Effect.gen(function* () {
    const ask = { path: "/run", token, json: { prompt }, headers: { accept: "text/event-stream" } }
    Print.command([...curl(url, ask), `| head -${cut}`])
    const first = yield* opened(`${url}/run`, { method: "POST", token, body: { prompt } })
    yield* Effect.promise(() => first.until((events) => events.length >= cut))
    first.close()
    show(first, cut)
    const seen = first.events.slice(0, cut)

    const last = seen.at(-1)?.id ?? "0"
    const path = `/runs/${first.headers.get("x-run-id")}/events`
    Print.command(curl(url, { path, token, headers: { "last-event-id": last } }))
    const second = yield* opened(`${url}${path}`, { token, headers: { "last-event-id": last } })
    yield* Effect.promise(() => second.ended)
    show(second, second.events.length)
    return [...seen, ...second.events]
  })
