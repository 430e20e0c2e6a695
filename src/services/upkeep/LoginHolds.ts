import { NotLoggedIn, RateLimited } from "../../domain/Failure.ts"

/** The reasons why work is refused before it asks the provider. */

/** While nothing works, an attempt is made this often. */
const ATTEMPT_INTERVAL_MILLIS = 30_000
/** A limit is believed for so long: it may be lifted before its end, and the machine's date may be wrong. */
const BELIEF_MILLIS = 3_600_000

export interface Times {
  /** Milliseconds since 1970. */
  readonly wall: number
  readonly monotonic: number
}

/**
 * Work is refused for this reason until an attempt has worked that began after the report. Meanwhile one attempt is let
 * through every 30 s, before the end of a limit only one an hour, and one at once when the login's file has changed.
 */
export class Hold<F extends NotLoggedIn | RateLimited = NotLoggedIn | RateLimited> {
  readonly failure: F
  /** The number of the report, in the order of all reports and attempts. */
  readonly reportedAt: number
  #nextAttemptAt: number
  /** Until then, the end of the limit is believed. Monotonic. */
  #believedUntil: number
  /** Whether the login's file has changed since the report. */
  isUntried = false

  constructor(failure: F, reportedAt: number, nextAttemptAt: number, { monotonic }: Times) {
    this.failure = failure
    this.reportedAt = reportedAt
    this.#nextAttemptAt = nextAttemptAt
    this.#believedUntil = monotonic + BELIEF_MILLIS
  }

  /** The end of the limit, in milliseconds since 1970, unless it may be over because the login has changed. */
  get resetsAt(): number {
    return this.isUntried || this.failure._tag === "NotLoggedIn" ? 0 : (this.failure.resetsAt ?? 0)
  }

  /** Another login was written: it may be attempted at once. */
  readonly loginChanged = (): void => {
    this.isUntried = true
    this.#nextAttemptAt = 0
  }

  readonly attempted = ({ monotonic }: Times): void => {
    this.#nextAttemptAt = monotonic + ATTEMPT_INTERVAL_MILLIS
    this.#believedUntil = monotonic + BELIEF_MILLIS
  }

  /** Returns the failure of work that is refused; undefined when an attempt may be made. */
  readonly refusal = ({ wall, monotonic }: Times): F | undefined => {
    const limitMillis = monotonic < this.#believedUntil ? this.resetsAt - wall : 0
    const waitMillis = Math.max(limitMillis, this.#nextAttemptAt - monotonic)
    if (waitMillis <= 0) return undefined
    const retryAfterSecs = Math.max(1, Math.ceil(waitMillis / 1000))
    return refused(this.failure, retryAfterSecs, this.resetsAt > wall) as F
  }
}

/** What the provider said to somebody else's work, without the details of that work. */
const refused = (failure: NotLoggedIn | RateLimited, retryAfterSecs: number, isLimited: boolean) => {
  if (failure._tag === "NotLoggedIn") {
    const { reason } = failure
    return new NotLoggedIn({ retryAfterSecs, ...(reason === undefined ? {} : { reason }) })
  }
  const { reason, family, resetsAt } = failure
  return new RateLimited({
    reason,
    retryAfterSecs,
    ...(family === undefined ? {} : { family }),
    ...(isLimited && resetsAt !== undefined ? { resetsAt } : {}),
  })
}

/** A hold of a login that the provider does not accept. The next attempt is made after the usual time. */
export const refusedLogin = (failure: NotLoggedIn, reportedAt: number, now: Times) =>
  new Hold(failure, reportedAt, now.monotonic + ATTEMPT_INTERVAL_MILLIS, now)

/** A hold of a login that nobody has tried: an attempt may be made at once. */
export const absentLogin = (reportedAt: number, now: Times) =>
  new Hold(new NotLoggedIn({}), reportedAt, 0, now)

/** A hold of a limit. The next attempt is made at its end, or after an hour. */
export const reachedLimit = (failure: RateLimited, reportedAt: number, now: Times) =>
  new Hold(failure, reportedAt, 0, now)
