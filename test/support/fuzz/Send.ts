import { connect } from "node:net"
import { bytesOf, cutAfter } from "./Bytes.ts"
import type { FuzzRequest } from "./Requests.ts"
import { type Received, receivedFrom, wholeAnswer } from "./Received.ts"
import { SOME_FILE, SOME_SESSIONS } from "./Values.ts"

/** In what time every request must be answered. */
const PATIENCE_MILLIS = 10_000

/** Whom the requests go to, and what stands for the names in them. */
export interface Target {
  readonly url: string
  readonly app: string
  readonly admin: string
  readonly file: string
  /** One for each of {@link SOME_SESSIONS}. */
  readonly sessions: ReadonlyArray<string>
}

/** Sends a request and returns what came back; fails when that is no answer. */
export const send = (request: FuzzRequest, target: Target): Promise<Received | "cut"> => {
  const addressed = { ...request, target: addressOf(request, target) }
  const ordinary = request.via === "fetch" ? fetchable(addressed, target) : undefined
  return ordinary === undefined ? overSocket(addressed, target) : overFetch(ordinary)
}

const addressOf = (request: FuzzRequest, { sessions }: Target): string =>
  SOME_SESSIONS.reduce((address, name, n) => address.replace(name, sessions[n] ?? name), request.target)

const bodyOf = (request: FuzzRequest, target: Target): Buffer =>
  bytesOf(
    request.body.map((piece) =>
      typeof piece === "string" ? piece.replaceAll(SOME_FILE, target.file) : piece,
    ),
  )

const authorizationOf = ({ authorization }: FuzzRequest, target: Target) => {
  if (typeof authorization === "object") return [["Authorization", authorization.raw] as const]
  return authorization === "none" ? [] : [["Authorization", `Bearer ${target[authorization]}`] as const]
}

/** Headers that `fetch` keeps to itself. */
const FETCHS_OWN =
  /^(host|connection|expect|upgrade|te|trailer|transfer-encoding|content-length|accept-encoding|)$/i

const isOrdinary = ([name, value]: readonly [string, string]) =>
  !FETCHS_OWN.test(name) && /^[ -~]*$/.test(value)

/** The request as `fetch` takes it, if it does, and changes nothing of it. */
const fetchable = (request: FuzzRequest, target: Target): Request | undefined => {
  const headers = [...authorizationOf(request, target), ...request.headers]
  // It keeps a fragment to itself.
  if (!/^\/[^#]*$/.test(request.target) || !headers.every(isOrdinary)) return undefined
  const body = bodyOf(request, target)
  const url = `${target.url}${request.target}`
  try {
    if (new URL(url).href !== url) return undefined
    const asked = new Request(url, {
      method: request.method,
      headers: headers.map(([name, value]) => [name, value]),
      ...(body.length === 0 ? {} : { body: body as Uint8Array<ArrayBuffer> }),
    })
    return asked.method === request.method ? asked : undefined
  } catch {
    return undefined
  }
}

const overFetch = async (request: Request): Promise<Received> => {
  const { method } = request
  const response = await fetch(request, { signal: AbortSignal.timeout(PATIENCE_MILLIS), redirect: "manual" })
  const { status, headers } = response
  const isStream = headers.get("content-type")?.startsWith("text/event-stream") ?? false
  return { status, headers, body: await (isStream ? hangUp(response) : response.text()), method }
}

/** A stream has begun with its head, and need not say anything for a while: nothing of it is read. */
const hangUp = async (response: Response): Promise<string> => {
  await response.body?.cancel()
  return ""
}

/** The bytes of a request, and whether its sender has to close its side because it will never be whole. */
const rendered = (
  request: FuzzRequest,
  target: Target,
): { readonly bytes: Buffer; readonly half: boolean } => {
  const body = bodyOf(request, target)
  const { framing } = request
  const lines = [
    `${request.method} ${request.target} ${request.version}`,
    "Host: 127.0.0.1",
    ...[...authorizationOf(request, target), ...request.headers].map(([name, value]) => `${name}: ${value}`),
  ]
  const whole = (more: ReadonlyArray<string>, content: Buffer, half = false) => ({
    bytes: Buffer.concat([Buffer.from(`${[...lines, ...more].join("\r\n")}\r\n\r\n`, "latin1"), content]),
    half,
  })
  const chunked = "Transfer-Encoding: chunked"
  if (typeof framing === "object") return whole([framing.raw], body, true)
  switch (framing) {
    case "none":
      return whole([], body)
    case "length":
      return whole([`Content-Length: ${body.length}`], body)
    case "short":
      return whole([`Content-Length: ${body.length + 10}`], body, true)
    case "long":
      return whole([`Content-Length: ${Math.floor(body.length / 2)}`], body)
    case "chunked":
      return whole([chunked], chunksOf(body))
    case "cut":
      return whole([chunked], cutAfter(chunksOf(body), 0.7), true)
    case "garbage":
      return whole([chunked], withGarbage(cutAfter(chunksOf(body), 0.5)), true)
  }
}

/** Adds what is no chunk. An empty line after the last chunk would make the request whole, and its sender hang up on it. */
const withGarbage = (chunks: Buffer): Buffer =>
  Buffer.concat([
    chunks,
    Buffer.from(`${/(^|\n)0\r\n$/.test(chunks.toString("latin1")) ? "" : "\r\n"}zz\r\n\u0000`),
  ])

const CHUNK = 20_000

const chunksOf = (body: Buffer): Buffer => {
  const chunks: Array<Buffer> = []
  for (let at = 0; at < body.length; at += CHUNK) {
    const chunk = body.subarray(at, at + CHUNK)
    chunks.push(Buffer.from(`${chunk.length.toString(16)};ext=1\r\n`), chunk, Buffer.from("\r\n"))
  }
  return Buffer.concat([...chunks, Buffer.from("0\r\nX-Trailer: y\r\n\r\n")])
}

/** Who offers another protocol and then goes away in the middle of the request is not told anything. */
const mayBeCut = ({ headers }: FuzzRequest) => headers.some(([name]) => /^upgrade$/i.test(name))

const overSocket = (request: FuzzRequest, target: Target): Promise<Received | "cut"> =>
  new Promise((resolve, reject) => {
    const { bytes, half } = rendered(request, target)
    const socket = connect({ port: Number(new URL(target.url).port), host: "127.0.0.1", allowHalfOpen: true })
    const chunks: Array<Buffer> = []
    let missing = 1
    const look = (closed: boolean) => {
      if (missing > 0 && !closed) return
      const received = Buffer.concat(chunks)
      const answer = wholeAnswer(received, request.method, closed)
      if (typeof answer !== "number") finish(() => resolve(receivedFrom(answer, request.method)))
      else if (closed && half && mayBeCut(request)) finish(() => resolve("cut"))
      else if (closed) finish(() => reject(new Error(`closed after ${JSON.stringify(String(received))}`)))
      else missing = answer
    }
    const finish = (settle: () => void) => {
      clearTimeout(timer)
      socket.destroy()
      settle()
    }
    const timer = setTimeout(() => {
      const received = JSON.stringify(String(Buffer.concat(chunks)))
      finish(() => reject(new Error(`no answer in ${PATIENCE_MILLIS} ms, only ${received}`)))
    }, PATIENCE_MILLIS)
    socket
      .on("data", (data) => {
        chunks.push(data)
        missing -= data.length
        look(false)
      })
      .on("end", () => look(true))
      .on("close", () => look(true))
      .on("error", () => {})
    if (half) socket.end(bytes)
    else socket.write(bytes)
  })
