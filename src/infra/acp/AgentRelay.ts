/**
 * The script of a process between acpx and an agent. It passes stdin and stdout on unchanged, line by line, and ends as the
 * agent does: with its exit code or its signal.
 *
 * acpx does not listen to an agent between turns, and allows what the agent asks for then. So what the agent sends about an
 * open session while no prompt is open goes to the service's socket, and not to acpx. Such a request is refused here. Without
 * the service it is dropped. The rule is that of the direct backend: `MessageRouter.ts`.
 *
 * Slow readers hold the agent up; nothing but the current line is held. A line of the agent that is longer than
 * `LINE_MAX_BYTES` goes to acpx unread. The process loads no package, so that it starts fast.
 */
import { spawn } from "node:child_process"
import { connect } from "node:net"
import type { Readable, Writable } from "node:stream"
import { answerPermission } from "../../services/agents/acp/Permission.ts"
import { RELAY_VARIABLES } from "./RelayVariables.ts"
import { socketPath } from "./SocketPath.ts"

const LINE_MAX_BYTES = 64 * 1024 * 1024
/** The agent has exited: this long its output is waited for, which another process may keep open. */
const DRAIN_MILLIS = 250
const NEWLINE = 0x0a

/** What the shell of `agent-relay.sh` adds to an environment. */
const SHELL_VARIABLES = ["PWD", "OLDPWD", "SHLVL", "_"]

const env = { ...process.env }
for (const name of [...Object.values(RELAY_VARIABLES), ...SHELL_VARIABLES]) delete env[name]

const agent = spawn(process.env[RELAY_VARIABLES.command] ?? "", process.argv.slice(2), {
  env,
  stdio: ["pipe", "pipe", "inherit"],
})

// The service

const place = socketPath(process.env[RELAY_VARIABLES.socket] ?? "")
const service = connect(place.path)
for (const event of ["connect", "error"]) service.once(event, place.done)
// Without the service, what is told to it is dropped.
service.on("error", () => {})
service.resume()

// The messages

type Message = Readonly<Record<string, unknown>>

/** acpx's requests that open a session, by their ids. */
const openings = new Map<unknown, Message>()
/** The sessions of acpx's open prompts, by the ids of these. */
const prompts = new Map<unknown, unknown>()
/** The sessions that the agent has opened. */
const sessions = new Set<unknown>()

const fieldsOf = (value: unknown): Message =>
  typeof value === "object" && value !== null ? (value as Message) : {}
const sessionOf = (message: Message): unknown => fieldsOf(message["params"])["sessionId"]

const parse = (line: Buffer): Message => {
  try {
    return fieldsOf(JSON.parse(line.toString()))
  } catch {
    return {}
  }
}

const onLineOfAcpx = (line: Buffer): void => {
  const message = parse(line)
  const { id, method } = message
  if (id !== undefined && method === "session/prompt") prompts.set(id, sessionOf(message))
  if (id !== undefined && /^session\/(new|load|resume)$/.test(String(method))) {
    openings.set(id, message)
    // What the agent repeats while it loads a session is nothing new.
    sessions.delete(sessionOf(message))
  }
  write(agent.stdin, line, process.stdin)
}

const toAcpx = (data: Buffer): void => write(process.stdout, data, agent.stdout)

const onLineOfAgent = (line: Buffer): void => {
  const message = parse(line)
  if (typeof message["method"] !== "string") {
    onAnswer(message)
    return toAcpx(line)
  }
  const session = sessionOf(message)
  if (!sessions.has(session) || [...prompts.values()].includes(session)) return toAcpx(line)
  write(service, line, agent.stdout)
  if (message["id"] !== undefined)
    write(
      agent.stdin,
      `${JSON.stringify({ jsonrpc: "2.0", id: message["id"], ...refusalOf(message) })}\n`,
      agent.stdout,
    )
}

const onAnswer = ({ id, result, error }: Message): void => {
  prompts.delete(id)
  const opening = openings.get(id)
  if (opening === undefined) return
  openings.delete(id)
  if (error == null) sessions.add(fieldsOf(result)["sessionId"] ?? sessionOf(opening))
}

const refusalOf = ({ method, params }: Message): object => {
  if (method !== "session/request_permission") return { error: { code: -32601, message: "Method not found" } }
  try {
    return { result: answerPermission("deny-all", params as never) }
  } catch {
    return { result: { outcome: { outcome: "cancelled" } } }
  }
}

// The streams

/** What waits for each stream that is full, until that is drained. */
const waiting = new Map<Writable, Set<Readable>>()

/** Writes what comes from `from`, or is the answer to it. */
const write = (to: Writable, data: Buffer | string, from: Readable): void => {
  if (!to.writable || to.write(data)) return
  from.pause()
  const known = waiting.get(to)
  if (known !== undefined) return void known.add(from)
  waiting.set(to, new Set([from]))
  const goOn = () => {
    const sources = waiting.get(to) ?? []
    waiting.delete(to)
    to.off("drain", goOn).off("close", goOn)
    for (const source of sources)
      if (![...waiting.values()].some((others) => others.has(source))) source.resume()
  }
  to.on("drain", goOn).on("close", goOn)
}

/** Reads lines, with their ends. A line of more than `maxBytes` is passed to `skip`, in pieces. */
const readLines = (
  from: Readable,
  maxBytes: number,
  take: (line: Buffer) => void,
  skip: (piece: Buffer) => void,
): void => {
  let pieces: Array<Buffer> = []
  let size = 0
  const add = (piece: Buffer) => {
    pieces.push(piece)
    size += piece.length
    const isWhole = piece.at(-1) === NEWLINE
    if (size > maxBytes) for (const one of pieces.splice(0)) skip(one)
    else if (isWhole) take(Buffer.concat(pieces))
    if (!isWhole) return
    pieces = []
    size = 0
  }
  from.on("data", (chunk: Buffer) => {
    let start = 0
    while (start < chunk.length) {
      const end = chunk.indexOf(NEWLINE, start) + 1 || chunk.length
      add(chunk.subarray(start, end))
      start = end
    }
  })
  from.once("end", () => {
    for (const piece of pieces) skip(piece)
  })
}

for (const stream of [process.stdin, process.stdout, agent.stdin, agent.stdout]) stream.on("error", () => {})
readLines(process.stdin, Infinity, onLineOfAcpx, (rest) => write(agent.stdin, rest, process.stdin))
readLines(agent.stdout, LINE_MAX_BYTES, onLineOfAgent, toAcpx)
process.stdin.once("end", () => agent.stdin.end())

// The end

for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, () => agent.kill(signal))

/** Ends as the agent did, when both readers have what it wrote. */
const end = (code: number | null, signal: NodeJS.Signals | null): void => {
  const exit = () => {
    if (signal === null) process.exit(code ?? 1)
    else {
      process.removeAllListeners(signal)
      process.kill(process.pid, signal)
    }
  }
  process.stdout.write("", () => (service.destroyed ? exit() : service.once("close", exit).end(exit)))
}

agent.once("error", ({ message }) => {
  console.error(message)
  process.exit(127)
})
agent.once("exit", (code, signal) => {
  if (agent.stdout.readableEnded) return end(code, signal)
  let timer: NodeJS.Timeout
  const endUnlessHeldUp = () => {
    if (agent.stdout.isPaused()) timer = setTimeout(endUnlessHeldUp, DRAIN_MILLIS)
    else end(code, signal)
  }
  timer = setTimeout(endUnlessHeldUp, DRAIN_MILLIS)
  agent.stdout.once("end", () => {
    clearTimeout(timer)
    end(code, signal)
  })
})
