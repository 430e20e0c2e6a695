import { type ChildProcessByStdio, spawn } from "node:child_process"
import { existsSync, mkdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { createInterface } from "node:readline"
import type { Readable, Writable } from "node:stream"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, type Scope } from "effect"
import * as AgentRelaySockets from "../../src/infra/acp/AgentRelaySockets.ts"
import type { AcpMessage } from "../../src/services/agents/AcpxClient.ts"
import { AgentRelays } from "../../src/services/agents/acpx/AgentRelays.ts"
import { alive } from "../support/AgentClient.ts"
import { eventually, temporaryDirectory } from "../support/TestServer.ts"

const LITERAL_AGENT = join(import.meta.dirname, "../support/literal-agent.mjs")

const update = (text: string) => ({
  jsonrpc: "2.0",
  method: "session/update",
  params: { sessionId: "s-1", update: { sessionUpdate: "agent_message_chunk", content: { text } } },
})
const asks = (id: number, method: string, more = {}) => ({
  jsonrpc: "2.0",
  id,
  method,
  params: { sessionId: "s-1", ...more },
})
const OPTIONS = [
  { optionId: "yes", kind: "allow_once", name: "Yes" },
  { optionId: "no", kind: "reject_once", name: "No" },
]
const END = '{"jsonrpc":"2.0","id":$ID,"result":{"stopReason":"end_turn"}}'

interface RunningRelay {
  readonly process: ChildProcessByStdio<Writable, Readable, null>
  /** What acpx gets. */
  readonly lines: ReadonlyArray<string>
  /** What the service gets. */
  readonly heard: ReadonlyArray<AcpMessage>
  readonly send: (message: object) => void
  /** Sends a prompt that has the agent write these lines. */
  readonly prompt: (id: number, ...lines: ReadonlyArray<string>) => void
  readonly exit: Promise<readonly [number | null, string | null]>
}

/** A relay of an agent, which is killed when the scope closes. */
const relay = (
  args: ReadonlyArray<string>,
  hear?: () => Effect.Effect<void>,
  path = "",
): Effect.Effect<RunningRelay, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const root = yield* temporaryDirectory
    const dir = join(root, path)
    mkdirSync(dir, { recursive: true })
    const heard: Array<AcpMessage> = []
    const relays = yield* Effect.provide(AgentRelays, AgentRelaySockets.layer({}))
    const launch = yield* relays.prepare({ command: process.execPath, args }, dir, (message) => {
      heard.push(message)
      return hear?.()
    })
    const child = spawn(launch.executable.command, launch.executable.args, {
      env: { ...process.env, ...launch.env },
      stdio: ["pipe", "pipe", "inherit"],
    })
    const exit = new Promise<readonly [number | null, string | null]>((resolve) =>
      child.once("exit", (code, signal) => resolve([code, signal])),
    )
    yield* Effect.addFinalizer(() =>
      Effect.promise(() => {
        child.kill("SIGKILL")
        return exit
      }),
    )
    const lines: Array<string> = []
    createInterface({ input: child.stdout }).on("line", (line) => lines.push(line))
    const send = (message: object) => void child.stdin.write(`${JSON.stringify(message)}\n`)
    const prompt: RunningRelay["prompt"] = (id, ...texts) =>
      send(asks(id, "session/prompt", { prompt: [{ type: "text", text: JSON.stringify(texts) }] }))
    return { process: child, lines, heard, send, prompt, exit }
  })

const opened = (...[hear, path]: [(() => Effect.Effect<void>)?, string?]) =>
  Effect.gen(function* () {
    const running = yield* relay([LITERAL_AGENT], hear, path)
    running.send(asks(1, "session/new"))
    yield* eventually(() => expect(running.lines).toHaveLength(1))
    return running
  })

describe("the relay between acpx and an agent", () => {
  it.scopedLive("passes on a turn to the letter, and keeps the rest for the service, once", () =>
    Effect.gen(function* () {
      const { lines, heard, prompt } = yield* opened(undefined, "a-long-name".repeat(12))
      const odd = '{ "method" : "session/update", "params":{"sessionId":"s-1"},"big":12345678901234567890 }'
      prompt(2, "no JSON", odd, END, JSON.stringify(update("late")))
      yield* eventually(() => expect(heard).toEqual([update("late")]))
      yield* eventually(() => expect(lines.slice(1)).toEqual(["no JSON", odd, END.replace("$ID", "2")]))
      const asked = asks(7, "session/request_permission", { options: OPTIONS })
      prompt(3, JSON.stringify(asked), END)
      yield* eventually(() =>
        expect(lines.slice(4)).toEqual([JSON.stringify(asked), END.replace("$ID", "3")]),
      )
      expect(heard).toHaveLength(1)
    }),
  )

  it.scopedLive("refuses what the agent asks for between turns, and acpx is not asked", () =>
    Effect.gen(function* () {
      // This agent sends back what it gets, in an update.
      const echo = `
        process.stdin.on("data", (data) => {
          for (const line of String(data).trim().split("\\n")) {
            const { id, method } = JSON.parse(line)
            const say = (message) => console.log(JSON.stringify({ jsonrpc: "2.0", ...message }))
            if (method === "session/resume") {
              say({ id, result: {} })
              say(${JSON.stringify(asks(7, "session/request_permission", { options: OPTIONS }))})
              say(${JSON.stringify(asks(8, "session/request_permission"))})
              say(${JSON.stringify(asks(9, "fs/read_text_file"))})
            } else say({ method: "session/update", params: { sessionId: "s-1", got: line } })
          }
        })`
      const { lines, heard, send } = yield* relay(["-e", echo])
      send(asks(1, "session/resume"))
      yield* eventually(() => expect(heard).toHaveLength(6))
      const got = heard
        .map(({ params }) => (params as { got?: string }).got)
        .filter((line) => line !== undefined)
      expect(got.map((line) => JSON.parse(line))).toEqual([
        { jsonrpc: "2.0", id: 7, result: { outcome: { outcome: "selected", optionId: "no" } } },
        { jsonrpc: "2.0", id: 8, result: { outcome: { outcome: "cancelled" } } },
        { jsonrpc: "2.0", id: 9, error: { code: -32601, message: "Method not found" } },
      ])
      expect(lines).toHaveLength(1)
    }),
  )

  it.scopedLive("holds up an agent that says more than is heard, and loses nothing", () =>
    Effect.gen(function* () {
      const count = join(yield* temporaryDirectory, "count")
      const talkative = `
        const line = JSON.stringify(${JSON.stringify(update("x".repeat(100_000)))}) + "\\n"
        let written = 0
        const go = () => {
          while (written < 500 && (written += 1) && process.stdout.write(line));
          require("node:fs").writeFileSync(${JSON.stringify(count)}, String(written))
          if (written < 500) process.stdout.once("drain", go)
        }
        process.stdin.once("data", () => process.stdout.write('{"id":1,"result":{}}\\n', go))`
      const listens = yield* Deferred.make<void>()
      const { heard, send } = yield* relay(["-e", talkative], () => Deferred.await(listens))
      send(asks(1, "session/load"))
      yield* eventually(() => expect(heard).toHaveLength(1))
      let seen = ""
      yield* eventually(() => {
        const before = seen
        seen = readFileSync(count, "utf8")
        expect(seen).toBe(before)
      })
      expect(Number(seen)).toBeLessThan(100)
      yield* Deferred.succeed(listens, undefined)
      yield* eventually(() => expect(heard).toHaveLength(500))
    }),
  )

  it.scopedLive("ends as the agent does, with its code or its signal, and passes signals on", () =>
    Effect.gen(function* () {
      const exits = yield* relay([LITERAL_AGENT])
      exits.prompt(1, "exit")
      expect(yield* Effect.promise(() => exits.exit)).toEqual([3, null])

      const dies = yield* relay([
        "-e",
        'console.log("last words".repeat(1e5)); process.kill(process.pid, "SIGKILL")',
      ])
      expect(yield* Effect.promise(() => dies.exit)).toEqual([null, "SIGKILL"])

      const ends = yield* relay([
        "-e",
        'process.on("SIGTERM", () => process.exit(7)); console.log("on"); setInterval(Date, 1e6)',
      ])
      yield* eventually(() => expect(ends.lines).toEqual(["on"]))
      ends.process.kill("SIGTERM")
      expect(yield* Effect.promise(() => ends.exit)).toEqual([7, null])
    }),
  )

  it.scopedLive("leaves no agent behind when acpx or the relay is gone", () =>
    Effect.gen(function* () {
      const sayPid = ["-e", "console.log(process.pid); process.stdin.resume()"]
      const closed = yield* relay(sayPid)
      yield* eventually(() => expect(closed.lines).toHaveLength(1))
      closed.process.stdin.end()
      expect(yield* Effect.promise(() => closed.exit)).toEqual([0, null])

      const killed = yield* relay(sayPid)
      yield* eventually(() => expect(killed.lines).toHaveLength(1))
      killed.process.kill("SIGKILL")
      yield* eventually(() => expect(alive(Number(killed.lines[0]))).toBe(false))
      expect(existsSync(`/proc/${killed.process.pid}/exe`)).toBe(false)
    }),
  )
})
