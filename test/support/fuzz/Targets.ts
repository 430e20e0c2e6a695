import { FastCheck as fc } from "effect"
import type { Route } from "./Routes.ts"
import { CANARY, SOME_SESSIONS } from "./Values.ts"

/** What stands after the method: the route's path, with something in its place, around it, or instead of it. */

const segment = fc.oneof(
  fc.stringMatching(/^[a-z]{1,3}$/),
  fc.constantFrom(
    "recipes",
    "no-such",
    CANARY,
    "%00",
    "%zz",
    "%",
    "%F0%9F%98%80",
    "%ed%a0%80",
    "%ff",
    "..",
    "%2e%2e",
    "..%2f..%2fetc%2fpasswd",
    "a%2fb",
    "__proto__",
    "constructor",
    "a;b=c",
    ":name",
    "*",
    "\u00ff\u00fe",
    "\u00f0\u009f\u0098\u0080",
    "a".repeat(5000),
    "",
  ),
)

const UUID = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"

const session = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...SOME_SESSIONS) },
  { weight: 1, arbitrary: fc.oneof(fc.uuid(), fc.constantFrom(UUID, UUID.toUpperCase(), `{${UUID}}`)) },
  { weight: 1, arbitrary: segment },
)

const around = fc.constantFrom<(path: string) => string>(
  (path) => `/${path}`,
  (path) => `${path}/`,
  (path) => `${path}//`,
  (path) => `/.${path}`,
  (path) => `/x/..${path}`,
  (path) => `/x/%2e%2e${path}`,
  (path) => `${path};v=1`,
  (path) => `${path}%00`,
  (path) => `${path}%20`,
  (path) => `${path}%`,
  (path) => `${path}#fragment`,
  (path) => path.toUpperCase(),
  (path) => path.replace(/[a-z]/, (letter) => `%${letter.charCodeAt(0).toString(16)}`),
  (path) => `http://127.0.0.1${path}`,
  (path) => `http://evil.example:99999${path}`,
  (path) => `HTTP://[::1${path}`,
  (path) => `//evil.example${path}`,
  (path) => path.slice(1),
  (path) => path.replaceAll("/", "\\"),
  (path) => `${path}\u0080\u00ff`,
  (path) => `${path}/${"a/".repeat(4000)}`,
  (path) => `${path}/${"%41".repeat(8000)}`,
  () => "*",
  () => "",
  () => "/",
  () => "?",
  () => "http://",
  () => "http:",
  () => "://",
  () => "/runs/../run",
  () => "/docs/../../etc/passwd",
)

const query = fc.constantFrom(
  "?include=usage",
  "?include=usage",
  "?include_closed=false",
  "?include_closed=true",
  "?include_closed=FALSE",
  "?include_closed=true&include_closed=false",
  "?",
  "?include=everything",
  "?include=usage&include=usage",
  "?include[]=usage",
  "?__proto__=1",
  "?__proto__[x]=1&constructor=1",
  "?%zz=%zz",
  "?=",
  "?&&&",
  "?a=\u00ff",
  `?token=cf_${CANARY}`,
  `?${"a=b&".repeat(3000)}`,
  "?a?b=/../c#d",
)

export const targetFor = (route: Route): fc.Arbitrary<string> => {
  const names = route.path.match(/\{\w+\}/g) ?? []
  const path = fc
    .tuple(...names.map((name) => (name === "{id}" ? session : segment)))
    .map((segments) =>
      names.reduce((path, name, index) => path.replace(name, () => segments[index] ?? ""), route.path),
    )
  return fc
    .tuple(
      path,
      fc.oneof(
        { weight: 8, arbitrary: fc.constant((path: string) => path) },
        { weight: 1, arbitrary: around },
      ),
      fc.oneof({ weight: 6, arbitrary: fc.constant("") }, { weight: 1, arbitrary: query }),
    )
    .map(([path, change, query]) => `${change(path)}${query}`)
}
