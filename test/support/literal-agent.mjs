#!/usr/bin/env node
// An ACP agent that writes what it is told to, to the letter, and knows no protocol beyond that.
//   --answers JSON   by method: what stands in the answer beside `jsonrpc` and the request's id
//   --with JSON      by method: lines that are written in one piece with the answer, after it
// A prompt is a JSON array of lines, which are written as they stand, but with the prompt's id for $ID. After `stderr:` a
// line goes there; `exit` is its end.
import { createInterface } from "node:readline"

const option = (name) => {
  const at = process.argv.indexOf(name)
  return at < 0 ? {} : JSON.parse(process.argv[at + 1])
}
const more = option("--with")
const answers = {
  initialize: { result: { protocolVersion: 1, agentCapabilities: { sessionCapabilities: { close: {} } } } },
  "session/close": { result: {} },
  ...option("--answers"),
}

let opened = 0
const newSession = () => ({ result: { sessionId: `s-${(opened += 1)}` } })

const answer = (method, message) =>
  console.log(
    [JSON.stringify({ jsonrpc: "2.0", ...message }), ...(method in more ? [more[method]] : [])].join("\n"),
  )

const linesOf = ({ prompt: [{ text }] }) => JSON.parse(text)

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const { id, method, params } = JSON.parse(line)
    if (method === "session/prompt") {
      for (const one of linesOf(params)) {
        if (one === "exit") process.exit(3)
        if (one.startsWith("stderr:")) console.error(one)
        else console.log(one.replaceAll("$ID", id))
      }
    } else if (method === "session/new" && !(method in answers)) {
      answer(method, { id, ...newSession() })
    } else if (method in answers) answer(method, { id, ...answers[method] })
  })
  .on("close", () => process.exit(0))
