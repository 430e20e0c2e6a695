import { connect } from "node:net"

/** A reader of streams whose connection is cut at any byte, and that goes on where it was. */

export interface Asked {
  readonly method: "GET" | "POST"
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: object
}

/** How a connection is lost after that many bytes. One that is `held` is not read until then, and is for others to cut. */
export interface Cut {
  readonly after: number
  readonly how: "end" | "reset" | { readonly held: () => Promise<void> }
}

/** The bytes that came, up to the cut or as far as they went. */
const receive = (url: string, { method, path, headers, body }: Asked, cut?: Cut): Promise<Buffer> => {
  const content = body === undefined ? "" : JSON.stringify(body)
  const all = {
    host: "127.0.0.1",
    accept: "text/event-stream",
    connection: "close",
    ...(body === undefined
      ? {}
      : { "content-type": "application/json", "content-length": Buffer.byteLength(content) }),
    ...headers,
  }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  const socket = connect({ host: "127.0.0.1", port: Number(new URL(url).port) })
  socket.write(`${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n${content}`)
  const after = cut?.after ?? Number.POSITIVE_INFINITY
  const pieces: Array<Buffer> = []
  let received = 0
  let isCut = false
  socket.on("data", (piece: Buffer) => {
    const taken = isCut ? piece : piece.subarray(0, after - received)
    pieces.push(taken)
    received += taken.length
    if (isCut || cut === undefined || received < after) return
    isCut = true
    if (cut.how === "end") socket.destroy()
    else if (cut.how === "reset") socket.resetAndDestroy()
    else {
      pieces.push(piece.subarray(taken.length))
      socket.pause()
      void cut.how.held().then(() => socket.resume())
    }
  })
  socket.on("error", () => {})
  return new Promise((resolve) => socket.on("close", () => resolve(Buffer.concat(pieces))))
}

/** What of an answer is in the bytes that came. */
interface Came {
  /** None: the cut is in the head. */
  readonly head?: { readonly status: number; readonly run: string | undefined }
  /** Of the body; a character may have come in part. */
  readonly body: Buffer
  /** Whether that is all, as the answer itself says. */
  readonly isWhole: boolean
  /** Whether the last that came is neither head nor body. */
  readonly inFraming: boolean
}

const cameIn = (raw: Buffer): Came => {
  const end = raw.indexOf("\r\n\r\n")
  if (end < 0) return { body: Buffer.alloc(0), isWhole: false, inFraming: false }
  const text = raw.toString("latin1", 0, end)
  const status = Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1])
  const run = /^x-run-id: (\S+)$/im.exec(text)?.[1]
  return { head: { status, run }, ...unchunked(raw.subarray(end + 4)) }
}

const unchunked = (bytes: Buffer): Omit<Came, "head"> => {
  const pieces: Array<Buffer> = []
  const came = (isWhole: boolean, inFraming: boolean) => ({ body: Buffer.concat(pieces), isWhole, inFraming })
  for (let at = 0; ; ) {
    const line = bytes.indexOf("\r\n", at)
    if (line < 0) return came(false, true)
    const size = Number.parseInt(bytes.toString("latin1", at, line), 16)
    if (size === 0) return came(bytes.length >= line + 4, true)
    pieces.push(bytes.subarray(line + 2, line + 2 + size))
    at = line + 2 + size + 2
    if (at > bytes.length) return came(false, bytes.length >= at - 2)
  }
}

/** The whole events, each a character a byte, and what is left of one that is not whole. */
export const eventsIn = (body: Buffer): { readonly events: ReadonlyArray<string>; readonly rest: string } => {
  const blocks = body.toString("latin1").split("\n\n")
  const rest = blocks.pop() ?? ""
  const events = blocks.filter((block) => block !== ":")
  return { events: events.map((event) => `${event}\n\n`), rest }
}

/** Where in an answer a cut was. */
export type Where = "head" | "framing" | "between" | "id" | "character" | "event"

const whereIn = (raw: Buffer): Where => {
  const { head, body, inFraming } = cameIn(raw)
  if (head === undefined) return "head"
  if (inFraming) return "framing"
  const { rest } = eventsIn(body)
  if (rest === "" || rest === ":") return "between"
  if (!rest.includes("\n")) return "id"
  const text = Buffer.from(rest, "latin1")
  return text.equals(Buffer.from(text.toString("utf8"), "utf8")) ? "event" : "character"
}

export interface Reading {
  /** Where the server is, just then. */
  readonly url: () => string
  readonly token: string
  /** The stream; or what is asked for with a key, and again, until an answer says which run it is. */
  readonly start: string | { readonly path: string; readonly body: object; readonly key: string }
  /** How it says where it was. */
  readonly resumesBy: "last-event-id" | "after"
  /** The next cut, when that many bytes of events are read. */
  readonly cut: (read: number) => Cut | undefined
  /** Comes between a lost connection and the next. */
  readonly pause: () => Promise<void>
}

export interface Read {
  /** All events that it has, as they came; a character a byte. */
  readonly events: string
  /** Where it was cut. */
  readonly cuts: ReadonlyArray<Where>
}

/** More than a client is cut: nobody may be there any more. */
const CUTS_MAX = 100

/** Reads a stream to its end, however often it loses its connection. */
export const readThrough = async ({ url, token, start, resumesBy, cut, pause }: Reading): Promise<Read> => {
  const cuts: Array<Where> = []
  let stream = typeof start === "string" ? start : undefined
  let events = ""
  let last: string | undefined

  const next = (): Asked => {
    const authorization = { authorization: `Bearer ${token}` }
    if (stream === undefined && typeof start !== "string") {
      const { path, body, key } = start
      return { method: "POST", path, body, headers: { ...authorization, "idempotency-key": key } }
    }
    const path = last !== undefined && resumesBy === "after" ? `${stream}?after=${last}` : `${stream}`
    const resumed = last !== undefined && resumesBy === "last-event-id" ? { "last-event-id": last } : {}
    return { method: "GET", path, headers: { ...authorization, ...resumed } }
  }

  for (;;) {
    const raw = await receive(url(), next(), cut(events.length))
    const { head, body, isWhole } = cameIn(raw)
    if (head !== undefined && head.status !== 200) throw new Error(raw.toString())
    const came = eventsIn(body).events
    events += came.join("")
    last = /^id: (\d+)\n/.exec(came.at(-1) ?? "")?.[1] ?? last
    if (head?.run !== undefined) stream ??= `/runs/${head.run}/events`
    if (isWhole) return { events, cuts }
    cuts.push(whereIn(raw))
    if (cuts.length > CUTS_MAX) throw new Error(`${stream} was cut ${cuts.length} times`)
    await pause()
  }
}
