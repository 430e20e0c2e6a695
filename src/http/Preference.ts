import Negotiator from "negotiator"

/**
 * Which of these media types a client likes best, if it takes any. What it says of a type beside its `q`, such as a
 * charset, does not matter: each of ours has one form.
 */
export const preferred = (accept: string | undefined, offered: ReadonlyArray<string>): string | undefined =>
  new Negotiator({ headers: { accept: accept?.replace(/;(?!\s*q\s*=)[^,;]*/gi, "") } }).mediaType([
    ...offered,
  ])
