#!/usr/bin/env node
// A stand-in for the `claude` executable that speaks its stream-json and misbehaves as the prompt says:
//   SAY <text> | SLOW <ms> | FLOOD | FLOOD-LINES | NEST | GARBAGE | SILENT | EMOJI | HOLD | DEAF | DEAF-CHILD | HOLD-PIPE | TALK-ON |
//   SAY-AND-HOLD-PIPE <text> | EXIT <code> | KILL | QUOTE | NO-TEXT
//   DEAF is named so once it is
//   STREAM <n> <ms>    says n parts, so far apart, and all else that the CLI prints with --include-partial-messages
//   STEP <dir> <n>     the same, but says part k only once there is a file <dir>/k, from 0
//   ANEW <text> | <text>  says the first in parts, as a stream that breaks; then the second, whole, as its answer
//   CAT (what the attached files hold) | LIST (their paths) | SPOIL (overwrites them)
//   ESCAPE <name> <words>  starts processes of that name that leave its group, then does as the other words say
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { createInterface } from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"

if (process.argv.includes("--version")) {
  console.log("0.0.1 (scripted)")
  process.exit(0)
}

if (process.argv[2] === "auth") {
  console.log(JSON.stringify({ loggedIn: process.env.CLAUDE_SCRIPTED_LOGIN !== "none" }))
  process.exit(0)
}

const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`)
const result = (text) => ({
  type: "result",
  subtype: "success",
  is_error: false,
  result: text,
  stop_reason: "end_turn",
})
const forever = () => setInterval(() => {}, 1000)

const withOurStdout = (code) =>
  spawn(process.execPath, ["-e", code], { stdio: ["ignore", "inherit", "ignore"] })

/** An answer in parts, each of which says its number; `before` waits for its time. */
const inParts = async (count, before) => {
  const event = (event) =>
    say({ type: "stream_event", event, session_id: "scripted", parent_tool_use_id: null })
  const message = { id: "msg_scripted", type: "message", role: "assistant", model: "scripted" }
  say({ type: "system", subtype: "init", cwd: process.cwd(), session_id: "scripted", tools: ["Read"] })
  event({ type: "message_start", message: { ...message, content: [], stop_reason: null } })
  event({ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } })
  let text = ""
  for (let k = 0; k < count; k++) {
    await before(k)
    const part = `${k} 😀 naïve 漢字 👩‍👩‍👧\r\n`
    event({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text: part } })
    text += part
  }
  say({
    type: "assistant",
    message: { ...message, content: [{ type: "text", text }] },
    session_id: "scripted",
  })
  event({ type: "content_block_stop", index: 0 })
  event({ type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null } })
  event({ type: "message_stop" })
  say(result(text))
}

/** An answer whose stream breaks: the CLI asks again, without streaming. */
const anew = async (half, text) => {
  const event = (event, more) =>
    say({ type: "stream_event", event, session_id: "scripted", parent_tool_use_id: null, ...more })
  const message = { type: "message", role: "assistant", model: "scripted" }
  event({ type: "message_start", message: { ...message, id: "msg_broken", content: [], stop_reason: null } })
  event({ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } })
  for (const part of half.match(/[\s\S]{1,4}/g) ?? [])
    event({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text: part } })
  event({ type: "content_block_stop", index: 0 })
  event({ type: "message_stop" }, { abandoned_blocks: { api_message_id: "msg_broken", from_block_index: 0 } })
  say({
    type: "assistant",
    message: { ...message, id: "msg_whole", content: [{ type: "text", text }], stop_reason: "end_turn" },
    session_id: "scripted",
    parent_tool_use_id: null,
  })
  say(result(text))
}

/** Waits until one is up, in a session of its own: it says so, and its name is then `<name>-up`. */
const escaped = async (name, code) => {
  const child = spawn(process.execPath, ["-e", code, name], {
    detached: true,
    stdio: ["ignore", "pipe", "ignore"],
  })
  await once(child.stdout, "data")
  child.stdout.destroy()
}
const STAY = `
  process.stdout.on("error", () => {})
  setInterval(() => {}, 1000)
  process.title = process.argv[1] + "-up"
  console.log("up")`
const DEAFLY = `process.on("SIGTERM", () => {}); ${STAY}`
const TWICE = `
  const { spawn } = require("node:child_process")
  const options = { detached: true, stdio: ["ignore", "inherit", "ignore"] }
  spawn(process.execPath, ["-e", ${JSON.stringify(STAY)}, process.argv[1]], options).unref()`

const scripts = {
  ESCAPE: async (rest) => {
    const [, name, words] = /^(\S+) ([\s\S]*)$/.exec(rest)
    await Promise.all([STAY, DEAFLY, TWICE].map((code) => escaped(name, code)))
    obey(words)
  },
  SAY: (rest) => say(result(rest)),
  FLOOD: () => {
    const block = "x".repeat(1024 * 1024)
    const pump = () => {
      while (process.stdout.write(block));
      process.stdout.once("drain", pump)
    }
    pump()
  },
  "FLOOD-LINES": () => {
    const block = `${JSON.stringify({ type: "noise", text: "x".repeat(1000) })}\n`.repeat(1000)
    const pump = () => {
      while (process.stdout.write(block));
      process.stdout.once("drain", pump)
    }
    pump()
  },
  NEST: () => process.stdout.write(`${"[".repeat(20_000)}${"]".repeat(20_000)}\n`),
  GARBAGE: () => process.stdout.write("\u0000}{ not json\nnor this\n", () => process.exit(0)),
  SILENT: () => process.exit(0),
  EMOJI: async () => {
    const line = Buffer.from(`${JSON.stringify(result("😀 naïve 漢字 👩‍👩‍👧"))}\n`)
    for (const byte of line) {
      process.stdout.write(Buffer.of(byte))
      await new Promise((resolve) => setImmediate(resolve))
    }
  },
  HOLD: forever,
  SLOW: (rest) => setTimeout(() => say(result("slow")), Number(rest)),
  DEAF: () => {
    process.on("SIGTERM", () => {})
    process.title = "deaf"
    forever()
  },
  "DEAF-CHILD": () => {
    const deaf = 'process.on("SIGTERM", () => {}); setInterval(() => {}, 1000)'
    spawn(process.execPath, ["-e", deaf], { stdio: "ignore" })
    forever()
  },
  "HOLD-PIPE": () => {
    withOurStdout("setTimeout(() => {}, 60000)")
    setTimeout(() => process.exit(0), 100)
  },
  "TALK-ON": () => {
    withOurStdout('setInterval(() => console.log("and another thing"), 20)')
    setTimeout(() => process.exit(0), 100)
  },
  "SAY-AND-HOLD-PIPE": (rest) => {
    withOurStdout("setTimeout(() => {}, 60000)")
    // Without the end of the line: only the end of the output tells that this is all.
    process.stdout.write(JSON.stringify(result(rest)), () => process.exit(0))
  },
  EXIT: (rest) => {
    process.stderr.write("scripted failure\n")
    process.exitCode = Number(rest)
    process.stdin.destroy()
  },
  KILL: () => process.kill(process.pid, "SIGKILL"),
  QUOTE: (rest) => {
    process.stderr.write(`cannot process: ${rest} with key ${process.env.ANTHROPIC_API_KEY}\n`, () =>
      process.exit(2),
    )
  },
  STREAM: (rest) => {
    const [count, millis] = rest.split(" ").map(Number)
    return inParts(count, () => sleep(millis))
  },
  STEP: (rest) => {
    const [, dir, count] = /^(.*) (\d+)$/.exec(rest)
    return inParts(Number(count), async (k) => {
      while (!existsSync(`${dir}/${k}`)) await sleep(5)
    })
  },
  ANEW: (rest) => anew(...rest.split(" | ")),
  CAT: (_, files) => say(result(files.map((path) => readFileSync(path, "utf8")).join(","))),
  LIST: (_, files, header) => say(result(JSON.stringify({ files, header }))),
  SPOIL: (_, files) => {
    for (const path of files) writeFileSync(path, "spoilt")
    say(result("done"))
  },
  "NO-TEXT": () => say({ type: "result", subtype: "success", is_error: false }),
}

const obey = (words) => {
  const [, header = "", prompt] = /^(\[Attached files\]\n(?:- .*\n)+\n)?([\s\S]*)$/.exec(words)
  const files = [...header.matchAll(/^- (\S+)/gm)].map(([, path]) => path)
  const [, word, rest] = /^(\S+) ?([\s\S]*)$/.exec(prompt)
  scripts[word](rest, files, header)
}

createInterface({ input: process.stdin }).on("line", (line) => {
  const message = JSON.parse(line)
  if (message.type === "control_request") {
    say({ type: "control_response", response: { subtype: "success", request_id: message.request_id } })
    return
  }
  obey(message.message.content)
})
