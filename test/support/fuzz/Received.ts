/** An answer as it came over the wire. */
export interface Received {
  readonly status: number
  readonly headers: Headers
  readonly body: string
  /** What was asked with: to a HEAD there is no body. */
  readonly method: string
}

interface Parsed {
  readonly head: string
  readonly body: Buffer
}

/** A stream has begun with its head, and may have nothing to say for as long as nothing happens. */
const isStream = (head: string) => /^content-type: text\/event-stream/im.test(head)

/** The first answer that is final, once all of it is there; until then, how many bytes are missing at least. */
export const wholeAnswer = (received: Buffer, method: string, closed: boolean): Parsed | number => {
  const end = received.indexOf("\r\n\r\n")
  if (end === -1) return 1
  const head = received.subarray(0, end).toString("latin1")
  const rest = received.subarray(end + 4)
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1])
  if (status < 200) return wholeAnswer(rest, method, closed)
  if (method === "HEAD" || status === 204 || status === 304) return { head, body: Buffer.alloc(0) }
  const length = Number(/^content-length: (\d+)$/im.exec(head)?.[1])
  if (length >= 0) {
    return rest.length >= length ? { head, body: rest.subarray(0, length) } : length - rest.length
  }
  if (isStream(head)) return { head, body: Buffer.alloc(0) }
  const body = /^transfer-encoding: chunked$/im.test(head) ? unchunked(rest) : closed ? rest : undefined
  return body === undefined ? 1 : { head, body }
}

const unchunked = (rest: Buffer): Buffer | undefined => {
  const chunks: Array<Buffer> = []
  let at = 0
  for (;;) {
    const line = rest.indexOf("\r\n", at)
    if (line === -1) return undefined
    const size = Number.parseInt(rest.subarray(at, line).toString("latin1"), 16)
    if (rest.length < line + 2 + size + 2) return undefined
    if (size === 0) return Buffer.concat(chunks)
    chunks.push(rest.subarray(line + 2, line + 2 + size))
    at = line + 2 + size + 2
  }
}

export const receivedFrom = ({ head, body }: Parsed, method: string): Received => {
  const [statusLine = "", ...lines] = head.split("\r\n")
  const headers = new Headers(
    lines.map((line): [string, string] => {
      const colon = line.indexOf(":")
      return [line.slice(0, colon), line.slice(colon + 1).trim()]
    }),
  )
  return { status: Number(statusLine.split(" ")[1]), headers, body: String(body), method }
}
