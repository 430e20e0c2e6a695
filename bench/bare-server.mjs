// The baseline of the benchmark: the least that a Node server can do to answer a request, and to send an event to many.
import { createServer } from "node:http"

const body = JSON.stringify({ ok: true, tokens: [] })
const streams = new Set()
const origin = { request_id: "0".repeat(26), address: "127.0.0.1", ip_cidrs: [] }
let seq = 0

/** The same bytes that the service sends for this event. */
const frame = (token) => {
  seq += 1
  const at = Math.floor(Date.now() / 1000)
  const data = { seq, type: "token.mint", at, run_id: null, session_id: null, token, data: origin }
  return Buffer.from(`id: ${seq}\nevent: token.mint\ndata: ${JSON.stringify(data)}\n\n`)
}

const answer = (response) => {
  response.writeHead(200, { "content-type": "application/json", "content-length": body.length })
  response.end(body)
}

const server = createServer((request, response) => {
  if (request.url === "/events/stream") {
    response.writeHead(200, { "content-type": "text/event-stream" })
    response.write(":\n\n")
    streams.add(response)
    response.on("close", () => streams.delete(response))
  } else if (request.method === "POST") {
    let text = ""
    request.on("data", (data) => (text += data))
    request.on("end", () => {
      const bytes = frame(JSON.parse(text).name)
      for (const stream of streams) stream.write(bytes)
      answer(response)
    })
  } else answer(response)
})
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`))
