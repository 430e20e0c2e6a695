import Negotiator from "negotiator"

/**
 * The offered media type that the client's `Accept` prefers; undefined if it accepts none. Parameters other than `q`,
 * such as a charset, are ignored: each offered type has one form.
 */
export const preferredMediaType = (
  accept: string | undefined,
  offered: ReadonlyArray<string>,
): string | undefined =>
  new Negotiator({ headers: { accept: accept?.replace(/;(?!\s*q\s*=)[^,;]*/gi, "") } }).mediaType([
    ...offered,
  ])
