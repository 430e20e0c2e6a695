#!/usr/bin/env node
// An ACP agent that writes what it is told to, to the letter, and knows no protocol beyond that.
//   --answers JSON   by method: what stands in the answer beside `jsonrpc` and the request's id
// A prompt is a JSON array of lines, which are written as they stand, but with the prompt's id for $ID.
import { createInterface } from "node:readline"

const at = process.argv.indexOf("--answers")
const answers = {
  initialize: { result: { protocolVersion: 1, agentCapabilities: { sessionCapabilities: { close: {} } } } },
  "session/new": { result: { sessionId: "s-1" } },
  "session/close": { result: {} },
  ...(at < 0 ? {} : JSON.parse(process.argv[at + 1])),
}

const linesOf = ({ prompt: [{ text }] }) => JSON.parse(text)

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const { id, method, params } = JSON.parse(line)
    if (method === "session/prompt") {
      for (const one of linesOf(params)) console.log(one.replaceAll("$ID", id))
    } else if (method in answers) console.log(JSON.stringify({ jsonrpc: "2.0", id, ...answers[method] }))
  })
  .on("close", () => process.exit(0))
