import { FastCheck as fc } from "effect"

/** Header lines that most requests do not have, each in a form that a server may stumble over. */

const LONG = "x".repeat(5000)

const VALUES: Readonly<Record<string, ReadonlyArray<string>>> = {
  Accept: [
    "*/*",
    "application/json",
    "text/html",
    "text/event-stream",
    "application/json;q=0",
    "application/problem+json",
    "*/*;q=0, application/json;q=2",
    ",,,;;;===",
    "application/",
    `${"a/b,".repeat(1000)}*/*`,
    LONG,
  ],
  "Accept-Encoding": ["gzip, br, zstd", "identity;q=0", "*;q=0", "\u00ff"],
  "Content-Type": ["", "application/json", "text/plain", "application/json, text/html", LONG],
  "Content-Encoding": ["gzip", "br", "identity", "deflate, gzip", "", "x-unknown"],
  Expect: ["100-continue", "200-ok", ""],
  Range: ["bytes=0-1", "bytes=-1", "bytes=9-1", "x=1", "bytes=0-0,".repeat(500)],
  "If-None-Match": ["*", '"x"', 'W/"x"', '"', LONG],
  "If-Match": ["*", '"x"'],
  "If-Modified-Since": ["Thu, 01 Jan 1970 00:00:00 GMT", "yesterday", ""],
  "X-Forwarded-For": ["", "127.0.0.1", "203.0.113.5", "10.0.0.1, unknown", ",".repeat(4000), "<script>"],
  "X-Request-Id": ["mine-1", "a b", "x".repeat(129), "", "<script>", "../../x", "\u00ff"],
  Host: ["", "other", "a:b:c", LONG],
  Connection: [
    "close",
    "keep-alive",
    "Upgrade",
    "close, keep-alive",
    "X-Request-Id, Authorization",
    "\u00ff",
  ],
  Upgrade: ["websocket", "h2c", ""],
  "HTTP2-Settings": ["AAEAAEAAAAIAAAAA"],
  Cookie: ["a=b; c", LONG],
  Origin: ["http://evil.example", "null"],
  "Access-Control-Request-Method": ["POST", ""],
  "X-HTTP-Method-Override": ["DELETE"],
  "Last-Event-ID": ["1", "-1", "x", "9".repeat(400)],
  "Idempotency-Key": ["k-1", "", LONG],
  Trailer: ["X-Request-Id"],
  TE: ["trailers, deflate"],
  Via: ["1.1 x"],
  Prefer: ["wait=1"],
  __proto__x: ["y"],
  constructor: ["y"],
  "X-Long": ["y".repeat(30_000)],
  "X Y": ["a name with a blank"],
  "": ["no name"],
  "X-Fold": ["a\r\n b"],
  "X-Bare": ["a\rb", "a\nb", "a\u0000b", "\u007f"],
}

const header = fc
  .constantFrom(...Object.entries(VALUES))
  .chain(([name, values]) =>
    fc.record({ name: fc.constantFrom(name, name, name.toUpperCase()), value: fc.constantFrom(...values) }),
  )
  .map(({ name, value }) => [name, value] as const)

const twice = header.map((header) => [header, header])
const many = fc.constant(Array.from({ length: 1500 }, (_, n) => [`X-${n}`, "y"] as const))

export const extraHeaders: fc.Arbitrary<ReadonlyArray<readonly [string, string]>> = fc.oneof(
  { weight: 12, arbitrary: fc.constant([]) },
  { weight: 10, arbitrary: fc.array(header, { minLength: 1, maxLength: 3 }) },
  { weight: 1, arbitrary: twice },
  { weight: 1, arbitrary: fc.oneof({ weight: 4, arbitrary: twice }, { weight: 1, arbitrary: many }) },
)
