import { FastCheck as fc } from "effect"
import type { Pieces } from "./Bytes.ts"
import { formBody, formTypes } from "./FormBodies.ts"
import { extraHeaders } from "./Headers.ts"
import { jsonBody } from "./JsonBodies.ts"
import { type Route, routes } from "./Routes.ts"
import { targetFor } from "./Targets.ts"

/** A request as it is generated, and printed when something is wrong with its answer. */
export interface FuzzRequest {
  /** By a client that knows HTTP, where it would send that at all; else as bytes on a socket. */
  readonly via: "fetch" | "socket"
  readonly method: string
  readonly target: string
  readonly version: string
  /** Whose token it brings, or its whole `Authorization`. */
  readonly authorization: "app" | "admin" | "none" | { readonly raw: string }
  readonly headers: ReadonlyArray<readonly [name: string, value: string]>
  readonly body: Pieces
  readonly framing: Framing
}

/**
 * How the end of the body is told. `short`, `cut` and `garbage` are requests that never become whole: their sender
 * closes its side.
 */
export type Framing =
  | "none"
  | "length"
  | "short"
  | "long"
  | "chunked"
  | "cut"
  | "garbage"
  | { readonly raw: string }

const framing = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom<Framing>("length", "chunked") },
  { weight: 3, arbitrary: fc.constantFrom<Framing>("short", "long", "cut", "garbage", "none") },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom(
        "Content-Length: 1\r\nTransfer-Encoding: chunked",
        "Content-Length: 1\r\nContent-Length: 2",
        "Content-Length: -1",
        "Content-Length: 1e3",
        "Content-Length: 99999999999999999999999",
        "Content-Length:",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding : chunked",
      )
      .map((raw): Framing => ({ raw })),
  },
)

const methodFor = ({ method }: Route) =>
  fc.oneof(
    { weight: 12, arbitrary: fc.constant(method) },
    {
      weight: 2,
      arbitrary: fc.constantFrom("GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH", "TRACE"),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        "CONNECT",
        "QUERY",
        "PROPFIND",
        "M-SEARCH",
        "get",
        "UNKNOWN",
        "P\u0000ST",
        "",
      ),
    },
  )

const authorizationFor = ({ security }: Route) =>
  fc.oneof(
    { weight: 12, arbitrary: fc.constant(security) },
    { weight: 1, arbitrary: fc.constantFrom<FuzzRequest["authorization"]>("app", "admin", "none") },
    {
      weight: 1,
      arbitrary: fc
        .constantFrom(
          "Bearer",
          "Bearer ",
          "Bearer cf_wrong",
          "Bearer cf_a cf_b",
          "Basic dXNlcjpwYXNz",
          "bearer\tcf_x",
          "Digest username=x",
          `Bearer ${"x".repeat(10_000)}`,
          "Bearer \u00ff\u00fe",
          "cf_wrong",
        )
        .map((raw) => ({ raw })),
    },
  )

const JSON_TYPES = fc.constantFrom(
  ...Array.from({ length: 12 }, () => "application/json"),
  "application/json; charset=utf-8",
  "application/json;",
  "application/json; charset=utf-16",
  "text/plain",
  "application/x-www-form-urlencoded",
  "multipart/form-data; boundary=x",
  "APPLICATION/JSON",
  "application/problem+json",
  "/",
  ";",
)

interface Body {
  readonly type: string | undefined
  readonly pieces: Pieces
}

const json = (route: Route) =>
  fc.record<Body>({
    type: fc.option(JSON_TYPES, { freq: 20, nil: undefined }),
    pieces: jsonBody(route.body.schema),
  })
const form = (route: Route) =>
  fc.record<Body>({
    type: fc.option(formTypes, { freq: 20, nil: undefined }),
    pieces: formBody(route.body.schema),
  })
const none: fc.Arbitrary<Body> = fc.constant({ type: undefined, pieces: [] })

/** A body as the route takes it, mostly; else one that another takes. */
const bodyFor = (route: Route): fc.Arbitrary<Body> => {
  const [own, ...others] = { none: [none, json, form], json: [json, form, none], form: [form, json, none] }[
    route.body.kind
  ].map((body) => (typeof body === "function" ? body(route) : body))
  return fc.oneof(
    { weight: 15, arbitrary: own ?? none },
    ...others.map((arbitrary) => ({ weight: 1, arbitrary })),
  )
}

const VERSIONS = [
  "HTTP/1.1",
  "HTTP/1.1",
  "HTTP/1.1",
  "HTTP/1.1",
  "HTTP/1.0",
  "HTTP/0.9",
  "HTTP/2.0",
  "HTTP/9",
  "X",
  "",
]

const requestOf = (route: Route): fc.Arbitrary<FuzzRequest> =>
  fc
    .record({
      via: fc.constantFrom("fetch" as const, "socket" as const),
      method: methodFor(route),
      target: targetFor(route),
      version: fc.oneof({ weight: 9, arbitrary: fc.constant("HTTP/1.1") }, fc.constantFrom(...VERSIONS)),
      authorization: authorizationFor(route) as fc.Arbitrary<FuzzRequest["authorization"]>,
      headers: extraHeaders,
      body: bodyFor(route),
      framing,
    })
    .map((made) => {
      const { pieces, type } = made.body
      const typed: FuzzRequest["headers"] = type === undefined ? [] : [["Content-Type", type]]
      const whole = pieces.length === 0 && typeof made.framing === "string"
      return Object.assign(made, {
        headers: [...typed, ...made.headers],
        body: pieces,
        framing: whole ? ("none" as const) : made.framing,
      })
    })

/** Routes with a body are asked more often: there is more to get wrong. */
export const fuzzRequest: fc.Arbitrary<FuzzRequest> = fc.oneof(
  ...routes.map((route) => ({ weight: route.body.kind === "none" ? 1 : 8, arbitrary: requestOf(route) })),
)
