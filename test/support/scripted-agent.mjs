#!/usr/bin/env node
// An ACP agent over stdio that does as the prompt says, without a model:
//   SAY <text>     says it (without any word below, it says "echo: " and the prompt)
//   SLOW <ms>      waits first, obeys a cancel        DEAF <ms>  waits first, ignores it
//   HANG           never answers, obeys nothing       CRASH      says something, then exits with 3
//   KILL           says something, then SIGKILL       LATE [ms]  an update after the result, by default 50 ms later
//   SELF <ms>      so long after the result it prompts itself: it says something, asks for permission to edit, and says
//                  what it was told
//   ERR | AUTH     a JSON-RPC error, -32603 | -32000  QUOTE      -32603 that quotes the prompt and the environment
//   LOSE           forgets that it has the session open, and goes on
//   GARBAGE        a line that is no JSON first       STDERR     a line on stderr first
//   PERM [READ]    asks for permission to edit [read], and says what it was told
//   NEST           a line of more levels than anybody reads
//   BIG <n>        n updates                          HUGE <n>   one update of n bytes
//   PAGES <n>      n updates of 10,000 characters
//   STREAM <n> <ms>  n updates, so far apart
//   STEP <dir> <n>   n updates, number k only once there is a file <dir>/k, from 0
//   EMOJI          an update written byte by byte     RECALL     says all earlier prompts of the session, as JSON
//   PID | CWD | ENV | SAY-MODEL                       says its pid, directories, names of its environment, model
//   CHILD          starts a child in a session of its own, that stays, and says its pid
//   REFUSE | MAXTOK  those stop reasons               USAGE      a result with usage
//   COST <usd> | COSTLATE <usd>  tells what the session cost so far and its model, before | after the result
// Flags:
//   --state DIR    where sessions are kept            --log FILE  a line for each thing that happens
//   --no-resume    sessions are not kept              --load      offers session/load in place of session/resume
//   --silent       never answers `initialize`         --slow-start <ms>  answers it late
//   --fail-new | --hang-new  session/new fails | never answers
//   --models a,b   offers these models; a process begins a session with the first
//   --models-by option | option-without-category | set_model   in which way it offers them
// A prompt that arrives while another of its session is at work is an error that says OVERLAP. A session that never had
// a prompt is not kept.
import { spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Readable } from "node:stream"
import { setTimeout as sleep } from "node:timers/promises"
import { agent, methods, ndJsonStream, RequestError } from "@agentclientprotocol/sdk"

const flag = (name) => process.argv.includes(name)
const option = (name, otherwise) => (flag(name) ? process.argv[process.argv.indexOf(name) + 1] : otherwise)

const STATE = option("--state", join(tmpdir(), "scripted-agent"))
const LOG = option("--log")
const MODELS = option("--models")?.split(",")
const MODELS_BY = option("--models-by", "option")
const RESUMES = !flag("--no-resume")
const LOADS = flag("--load")

const log = (...words) => LOG !== undefined && appendFileSync(LOG, `${process.pid} ${words.join(" ")}\n`)
const never = () => new Promise(() => {})
const nap = (millis, signal) => sleep(millis, undefined, { signal }).catch(() => {})

const sessions = new Map()
const fileOf = (id) => join(STATE, `${id}.json`)

const keep = (id) => {
  if (!RESUMES) return
  const { cwd, prompts } = sessions.get(id)
  mkdirSync(STATE, { recursive: true })
  writeFileSync(fileOf(id), JSON.stringify({ cwd, prompts }))
}

const takeUp = (id) => {
  if (!existsSync(fileOf(id))) throw RequestError.resourceNotFound(id)
  const session = { ...JSON.parse(readFileSync(fileOf(id), "utf8")), model: MODELS?.[0], turn: undefined }
  sessions.set(id, session)
  return session
}

const offered = (session) => {
  if (MODELS === undefined) return {}
  if (MODELS_BY === "set_model") {
    const availableModels = MODELS.map((modelId) => ({ modelId, name: modelId }))
    return { models: { currentModelId: session.model, availableModels } }
  }
  return {
    configOptions: [
      {
        id: "model",
        name: "Model",
        ...(MODELS_BY === "option" ? { category: "model" } : {}),
        type: "select",
        currentValue: session.model,
        options: MODELS.map((value) => ({ value, name: value })),
      },
    ],
  }
}

const updateLine = (sessionId, update) =>
  `${JSON.stringify({ jsonrpc: "2.0", method: "session/update", params: { sessionId, update } })}\n`
const chunk = (text) => ({ sessionUpdate: "agent_message_chunk", content: { type: "text", text } })

const put = (bytes) =>
  process.stdout.write(bytes) ? undefined : new Promise((resolve) => process.stdout.once("drain", resolve))

/** Sessions have one stdout: each line is whole before another begins. */
let written = Promise.resolve()
const alone = (writing) => (written = written.then(writing))

const write = (line) => alone(() => put(line))

/** Every byte is a write of its own, and the reader has the time to see it as one. */
const writeBytes = (line) =>
  alone(async () => {
    for (const byte of Buffer.from(line)) {
      await put(Buffer.from([byte]))
      if (byte >= 0x80) await sleep(3)
    }
  })

const askPermission = async (client, sessionId, kind) => {
  const toolCall = { toolCallId: "call_1", title: `${kind} /tmp/x`, kind, status: "pending" }
  await write(updateLine(sessionId, { sessionUpdate: "tool_call", ...toolCall }))
  const { outcome } = await client.request(methods.client.session.requestPermission, {
    sessionId,
    toolCall,
    options: [
      { optionId: "yes", name: "Yes", kind: "allow_once" },
      { optionId: "always", name: "Always", kind: "allow_always" },
      { optionId: "no", name: "No", kind: "reject_once" },
    ],
  })
  log("permission", JSON.stringify(outcome))
  return outcome
}

const perform = async (session, sessionId, text, client, cancelled) => {
  const said = (pattern) => new RegExp(`\\b${pattern}`).exec(text)
  const say = (words) => write(updateLine(sessionId, chunk(words)))

  if (said("STDERR\\b")) console.error("scripted-agent: a line on stderr")
  if (said("GARBAGE\\b")) await write("\u0000}{ this is no JSON\n")
  if (said("NEST\\b")) await write(`${"[".repeat(20_000)}${"]".repeat(20_000)}\n`)
  if (said("HANG\\b")) await never()
  if (said("LOSE\\b")) sessions.delete(sessionId)
  if (said("ERR\\b")) throw RequestError.internalError({ details: "scripted error" })
  if (said("AUTH\\b")) throw RequestError.authRequired()
  if (said("QUOTE\\b"))
    throw RequestError.internalError({ details: `${text} ${Object.values(process.env).join(" ")}` })
  if (said("CRASH\\b|KILL\\b")) {
    await say("going down")
    await sleep(20)
    if (said("CRASH\\b")) process.exit(3)
    process.kill(process.pid, "SIGKILL")
    await never()
  }
  const slow = said("SLOW (\\d+)")
  if (slow) await nap(Number(slow[1]), cancelled)
  const deaf = said("DEAF (\\d+)")
  if (deaf) await nap(Number(deaf[1]))
  if (cancelled.aborted && !deaf) return { stopReason: "cancelled" }

  const big = said("BIG (\\d+)")
  for (let n = 0; n < Number(big?.[1] ?? 0); n++) await say(`chunk ${n}`)
  const pages = said("PAGES (\\d+)")
  for (let n = 0; n < Number(pages?.[1] ?? 0) && !cancelled.aborted; n++)
    await say(`${n} `.padEnd(10_000, "page "))
  if (pages && cancelled.aborted) return { stopReason: "cancelled" }
  const stream = said("STREAM (\\d+) (\\d+)")
  for (let n = 0; n < Number(stream?.[1] ?? 0) && !cancelled.aborted; n++) {
    await nap(Number(stream[2]), cancelled)
    await say(`${n} 😀 naïve 漢字 👩‍👩‍👧\r\n`)
  }
  const steps = said("STEP (\\S+) (\\d+)")
  for (let n = 0; n < Number(steps?.[2] ?? 0) && !cancelled.aborted; n++) {
    while (!existsSync(join(steps[1], String(n))) && !cancelled.aborted) await nap(5, cancelled)
    await say(`${n} 😀 naïve 漢字 👩‍👩‍👧\r\n`)
  }
  if ((stream || steps) && cancelled.aborted) return { stopReason: "cancelled" }
  const huge = said("HUGE (\\d+)")
  if (huge) {
    const frame = updateLine(sessionId, chunk("")).length
    await say("x".repeat(Math.max(0, Number(huge[1]) - frame)))
  }
  const permission = said("PERM( READ)?\\b")
  const words = said("SAY ([\\s\\S]*)")?.[1]
  if (permission) {
    const outcome = await askPermission(client, sessionId, permission[1] === undefined ? "edit" : "read")
    await say(`permission ${outcome.optionId ?? outcome.outcome}`)
  } else if (said("EMOJI\\b")) await writeBytes(updateLine(sessionId, chunk("😀 naïve 漢字 👩‍👩‍👧")))
  else if (said("RECALL\\b")) await say(JSON.stringify(session.prompts.slice(0, -1)))
  else if (said("PID\\b")) await say(String(process.pid))
  else if (said("CWD\\b")) await say(JSON.stringify([session.cwd, process.cwd()]))
  else if (said("ENV\\b")) await say(JSON.stringify(Object.keys(process.env)))
  else if (said("SAY-MODEL\\b")) await say(String(session.model))
  else if (said("CHILD\\b")) {
    const child = spawn("sleep", ["1000"], { detached: true, stdio: "ignore" })
    child.unref()
    await say(String(child.pid))
  } else if (words !== undefined) await say(words)
  else if (!big && !huge && !stream && !steps) await say(`echo: ${text}`)

  const sayLate = async () => {
    await write(updateLine(sessionId, chunk("too late")))
    log("late", sessionId)
  }
  const late = said("LATE\\b(?: (\\d+))?")
  if (late) setTimeout(sayLate, Number(late[1] ?? 50))
  const self = said("SELF (\\d+)")
  const promptItself = async () => {
    await say("by myself")
    const outcome = await askPermission(client, sessionId, "edit")
    await say(`permission ${outcome.optionId ?? outcome.outcome}`)
    log("self", sessionId)
  }
  if (self) setTimeout(promptItself, Number(self[1]))
  const tellCost = (amount) =>
    write(
      updateLine(sessionId, {
        sessionUpdate: "usage_update",
        used: 15,
        size: 1000,
        cost: { amount: Number(amount), currency: "USD" },
        _meta: { "_claude/model": "scripted-large" },
      }),
    )
  const cost = said("COST (\\S+)")
  if (cost) await tellCost(cost[1])
  const lateCost = said("COSTLATE (\\S+)")
  if (lateCost) setTimeout(() => tellCost(lateCost[1]), 20)
  const stopReason = said("REFUSE\\b") ? "refusal" : said("MAXTOK\\b") ? "max_tokens" : "end_turn"
  return said("USAGE\\b")
    ? { stopReason, usage: { inputTokens: 10, outputTokens: 5, totalTokens: 15 } }
    : { stopReason }
}

log("start", process.cwd())
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) {
  process.on(signal, () => {
    log("signal", signal)
    process.exit(0)
  })
}

const app = agent({ name: "scripted-agent" })
  .onRequest(methods.agent.initialize, async ({ params }) => {
    log("initialize", JSON.stringify(params.clientCapabilities ?? {}))
    if (flag("--silent")) await never()
    await sleep(Number(option("--slow-start", "0")))
    return {
      protocolVersion: 1,
      agentInfo: { name: "scripted-agent", version: "1.2.3" },
      agentCapabilities: {
        loadSession: RESUMES && LOADS,
        sessionCapabilities: { close: {}, delete: {}, ...(RESUMES && !LOADS ? { resume: {} } : {}) },
      },
      authMethods: [],
    }
  })
  .onRequest(methods.agent.session.new, async ({ params }) => {
    const sessionId = randomUUID()
    log("session/new", sessionId)
    if (flag("--hang-new")) await never()
    if (flag("--fail-new")) throw RequestError.internalError({ details: "scripted failure" })
    const session = { cwd: params.cwd, prompts: [], model: MODELS?.[0], turn: undefined }
    sessions.set(sessionId, session)
    return { sessionId, ...offered(session) }
  })
  .onRequest(methods.agent.session.resume, ({ params }) => {
    log("session/resume", params.sessionId)
    return offered(takeUp(params.sessionId))
  })
  .onRequest(methods.agent.session.load, async ({ params: { sessionId } }) => {
    log("session/load", sessionId)
    const session = takeUp(sessionId)
    for (const text of session.prompts) {
      await write(
        updateLine(sessionId, { sessionUpdate: "user_message_chunk", content: { type: "text", text } }),
      )
    }
    return offered(session)
  })
  .onRequest(methods.agent.session.close, ({ params }) => {
    log("session/close", params.sessionId)
    sessions.get(params.sessionId)?.turn?.abort()
    sessions.delete(params.sessionId)
    return {}
  })
  .onRequest(methods.agent.session.delete, ({ params }) => {
    log("session/delete", params.sessionId)
    sessions.delete(params.sessionId)
    rmSync(fileOf(params.sessionId), { force: true })
    return {}
  })
  .onRequest(methods.agent.session.setConfigOption, ({ params }) => {
    const session = sessions.get(params.sessionId)
    if (MODELS_BY === "set_model") throw RequestError.methodNotFound("session/set_config_option")
    if (session === undefined || params.configId !== "model" || !MODELS?.includes(params.value))
      throw RequestError.invalidParams()
    session.model = params.value
    return offered(session)
  })
  .onRequest(
    "session/set_model",
    (params) => params,
    ({ params }) => {
      const session = sessions.get(params.sessionId)
      if (session === undefined || MODELS_BY !== "set_model" || !MODELS?.includes(params.modelId))
        throw RequestError.invalidParams()
      session.model = params.modelId
      return {}
    },
  )
  .onNotification(methods.agent.session.cancel, ({ params }) => {
    log("session/cancel", params.sessionId)
    sessions.get(params.sessionId)?.turn?.abort()
  })
  .onRequest(methods.agent.session.prompt, async ({ params, client }) => {
    const { sessionId } = params
    const session = sessions.get(sessionId)
    if (session === undefined) throw RequestError.resourceNotFound(sessionId)
    if (session.turn !== undefined) {
      log("OVERLAP", sessionId)
      throw RequestError.internalError({ details: "OVERLAP: a turn of this session is at work" })
    }
    log("session/prompt", sessionId)
    const text = params.prompt.map((block) => block.text ?? `[${block.type}]`).join("\n")
    session.turn = new AbortController()
    session.prompts.push(text)
    keep(sessionId)
    try {
      return await perform(session, sessionId, text, client, session.turn.signal)
    } finally {
      log("over", sessionId)
      session.turn = undefined
    }
  })

const output = new WritableStream({ write: (line) => alone(() => put(line)) })
const connection = app.connect(ndJsonStream(output, Readable.toWeb(process.stdin)))
void connection.closed.then(() => {
  log("closed")
  process.exit(0)
})
