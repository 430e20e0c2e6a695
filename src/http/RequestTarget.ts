/** The target of a request: which path it names, and on which host. */

/**
 * The options of every router of paths: a path is matched as it is written. By default the library ignores letter case
 * and repeated and trailing slashes, so that a proxy's `deny /admin` would not stop `/ADMIN` or `//admin`.
 */
export const EXACT_PATHS = {
  caseSensitive: true,
  ignoreDuplicateSlashes: false,
  ignoreTrailingSlash: false,
} as const

const ABSOLUTE_FORM = /^https?:\/\/([^/?#]*)(.*)$/is

/** A target in parts. `authority` is there only if the client sent an absolute URL, as clients do to a proxy. */
export interface RequestTarget {
  /** The path with its query, as the client wrote them. */
  readonly url: string
  readonly authority?: string
}

/** Splits a target into its parts (RFC 9112, section 3.2). */
export const parseTarget = (target: string): RequestTarget => {
  const [, authority, url = ""] = ABSOLUTE_FORM.exec(target) ?? []
  if (authority === undefined) return { url: target }
  return { url: url.startsWith("/") ? url : `/${url}`, authority }
}

/**
 * Segments, none of them empty, of the characters that a path may have (RFC 3986), except `;`: the library would take it
 * for the begin of the query. An escape may not stand for a letter, a digit, `-`, `.`, `_` or `~`: these need none, and
 * `/%61dmin` would be another spelling of `/admin`.
 */
const EXACT_PATH =
  /^\/(?:(?:[\w\-.~!$&'()*+,=:@]|%(?!2[de]|3\d|4[1-9a-f]|5[\daf]|6[1-9a-f]|7[\dae])[\da-f]{2})+(?:\/(?!$)|$))*$/i

const DOT_SEGMENT = /\/\.{1,2}(?:\/|$)/

/** Whether the path is in its only spelling. Every other spelling of a route's path is no route. */
export const isExactPath = (path: string): boolean => EXACT_PATH.test(path) && !DOT_SEGMENT.test(path)
