// The least that a Node server can do for a request: what ours is measured against.
import { createServer } from "node:http"

const body = JSON.stringify({ ok: true, tokens: [] })
const server = createServer((_, response) => {
  response.writeHead(200, { "content-type": "application/json", "content-length": body.length })
  response.end(body)
})
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`))
