import type { LogEvent, Resync } from "../client/StreamedEvents.ts"

/** Events as lines for people. */

/** A line of time, type, app, run, session, and the event's data. */
export const eventLine = ({ at, type, token, run_id, session_id, data }: LogEvent["data"]): string => {
  const time = new Date(at * 1000).toISOString().slice(0, 19)
  const about = [token ?? "-", run_id, session_id].filter((name) => name !== null)
  const more = Object.entries(data ?? {}).map(([name, value]) => `${name}=${JSON.stringify(value)}`)
  return [time, type.padEnd(20), ...about, ...more].join("  ")
}

/** A line for events that are no longer stored. */
export const goneLine = ({ data }: Resync): string =>
  `… events before ${data.oldest_id ?? "now"} are no longer stored`
