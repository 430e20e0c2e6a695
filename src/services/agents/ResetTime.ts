import { DateTime, Option } from "effect"

/**
 * The end of a limit, as an agent writes it for people. It is used where the agent does not tell it to programs: a turn on
 * acpx, and a limit of an API key.
 */

const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]

const DAY_MILLIS = 86_400_000
const MINUTE_MILLIS = 60_000

/** `resets 7:50am (UTC)`, `resets Dec 2, 7am (Europe/Berlin)`, `resets Jan 8, 2027, 6:55am (UTC)`. */
const RESETS =
  /resets (?:(\w{3}) (\d{1,2}), (?:(\d{4}), )?)?(?:at )?(\d{1,2})(?::(\d{2}))? ?([ap]m)(?: \(([\w/+-]+)\))?/i
/** `You will regain access on 2026-12-01 at 00:00 UTC`. */
const REGAINS = /regain access on (\d{4}-\d{2}-\d{2}) at (\d{2}:\d{2}) UTC/i
/** `usage limit reached|1795938521`, of older versions. */
const STAMPED = /limit reached\|(\d{10})\b/i

/**
 * Returns when the limit ends, in milliseconds since 1970. The time is written to the minute, so it is the end of that
 * minute. Undefined when the text does not say it.
 */
export const resetTimeIn = (text: string, now: number): number | undefined => {
  const stamp = STAMPED.exec(text)?.[1]
  if (stamp !== undefined) return Number(stamp) * 1000
  const regains = REGAINS.exec(text)
  if (regains !== null) return Date.parse(`${regains[1]}T${regains[2]}:00Z`)
  const [, month, day, year, hour, minute, half, zone] = RESETS.exec(text) ?? []
  if (hour === undefined || half === undefined) return undefined
  const hours = (Number(hour) % 12) + (half.toLowerCase() === "pm" ? 12 : 0)
  const clock = { hours, minutes: Number(minute ?? 0), seconds: 0, millis: 0 }
  const here = DateTime.makeZoned(now, { timeZone: zone ?? "UTC" })
  if (Option.isNone(here)) return undefined
  if (month === undefined) {
    const today = DateTime.toEpochMillis(DateTime.setParts(here.value, clock)) + MINUTE_MILLIS
    return today > now ? today : today + DAY_MILLIS
  }
  const index = MONTHS.indexOf(month.toLowerCase())
  if (index < 0) return undefined
  const date = { month: index + 1, day: Number(day) }
  const thisYear = DateTime.getPart(here.value, "year")
  const at = (y: number) =>
    DateTime.toEpochMillis(DateTime.setParts(here.value, { ...date, ...clock, year: y })) + MINUTE_MILLIS
  if (year !== undefined) return at(Number(year))
  return at(thisYear) > now ? at(thisYear) : at(thisYear + 1)
}
