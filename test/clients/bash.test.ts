import { spawn } from "node:child_process"
import { once } from "node:events"
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { createServer, type RequestListener } from "node:http"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option, type Scope } from "effect"
import { AgentName } from "../../src/domain/Session.ts"
import { cuttingProxy } from "../support/CuttingProxy.ts"
import { argumentsOf, processesGiven } from "../support/ProcessTable.ts"
import { scriptedAgent, shared } from "../support/Sessions.ts"
import {
  ADMIN_TOKEN,
  eventually,
  scriptedClaude,
  startServer,
  temporaryDirectory,
  type TestServer,
} from "../support/TestServer.ts"

/** The shell client on the real service. */

const CF = join(import.meta.dirname, "..", "..", "clients", "bash", "cf")

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  /** The values on stdout, one a line, and the last of them. */
  readonly lines: ReadonlyArray<any>
  readonly json: any
}

const begin = (
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>>,
  stdin = "",
  command = CF,
) => {
  const child = spawn(command, args, { env: { PATH: process.env["PATH"] ?? "", ...env } })
  const printed = { stdout: "", stderr: "" }
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (data: string) => (printed[name] += data))
  }
  child.stdin.on("error", () => {})
  child.stdin.end(stdin)
  const ended = once(child, "close").then(([code]): Ended => {
    const texts = printed.stdout.startsWith("{") ? printed.stdout.trimEnd().split("\n") : []
    const lines = texts.map((text) => JSON.parse(text))
    return { code, ...printed, lines, json: lines.at(-1) }
  })
  return { child, printed, ended }
}

const system = shared(
  Effect.gen(function* () {
    const dir = yield* temporaryDirectory
    const settings = {
      claudeBin: Option.some(scriptedClaude),
      agents: new Map([[AgentName.make("claude"), Option.some(scriptedAgent(dir, "--models sonnet"))]]),
      maxLiveSessions: 3,
    }
    const server: TestServer = yield* startServer(settings, dir)
    return { server, token: yield* server.mint("shell"), dir }
  }),
)

/** A home and a place for temporary files, empty. */
const home = Effect.map(temporaryDirectory, (dir) => {
  const tmp = join(dir, "tmp")
  mkdirSync(tmp)
  return { dir, tmp }
})

const access = () => ({
  CLAWDFORGE_URL: system().server.url,
  CLAWDFORGE_TOKEN: system().token,
  CLAWDFORGE_ADMIN_TOKEN: ADMIN_TOKEN,
})

/** Runs it to its end; it leaves no temporary file. */
const cf = (
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>> = {},
  stdin?: string,
  command?: string,
): Effect.Effect<Ended> =>
  Effect.gen(function* () {
    const { dir, tmp } = yield* home
    const ended = yield* Effect.promise(
      () => begin(args, { HOME: dir, TMPDIR: tmp, ...access(), ...env }, stdin, command).ended,
    )
    expect(readdirSync(env["TMPDIR"] ?? tmp)).toEqual([])
    return ended
  }).pipe(Effect.scoped)

/** The value that a successful command prints, in that environment. */
const valueIn =
  (env: Readonly<Record<string, string>>) =>
  (...args: ReadonlyArray<string>) =>
    Effect.map(cf(args, env), ({ code, json, stderr }) => {
      expect([code, stderr]).toEqual([0, ""])
      return json
    })
const value = valueIn({})

/** The environment of a new app. */
const newApp = (name: string) =>
  Effect.map(system().server.mint(name), (token) => ({ CLAWDFORGE_TOKEN: token }))

const test = (name: string, body: () => Effect.Effect<void, never, Scope.Scope>) =>
  it.live(name, () => Effect.scoped(body()))

/** The same service by way of connections that are cut. */
const through = (...cuts: ReadonlyArray<number>) =>
  Effect.map(
    cuttingProxy(() => system().server.url, "end"),
    (proxy) => {
      proxy.cuts.push(...cuts)
      const seen = () => ({ connections: proxy.requests.length, cut: cuts.length - proxy.cuts.length })
      return { env: { CLAWDFORGE_URL: proxy.url }, seen }
    },
  )

/**
 * The command with another patience for lost connections, in seconds. `more` is shell code that runs first; `uptime` is
 * where it reads the monotonic clock.
 */
const commandThat = (secs: number, more = "", uptime = "/proc/uptime") =>
  Effect.map(temporaryDirectory, (dir) => {
    const [options, patience] = [/^set -uo pipefail$/m, /^RECONNECT_SECS=60$/m]
    const source = readFileSync(CF, "utf8")
    expect(source).toMatch(options)
    expect(source).toMatch(patience)
    expect(source).toContain("/proc/uptime")
    const path = join(dir, "cf")

    const changed = source
      .replace(options, `$&\n${more}`)
      .replace(patience, `RECONNECT_SECS=${secs}`)
      .replaceAll("/proc/uptime", uptime)
    writeFileSync(path, changed, { mode: 0o700 })
    return path
  })

/** The command with a virtual clock: each sleep moves the clock and returns at once; nothing else moves it. */
const commandWithoutPauses = (secs = 60) =>
  commandThat(
    secs,
    "unset SECONDS; SECONDS=0; sleep() { SECONDS=$((SECONDS + 1 + ${1%%.*})); }",
    "/nowhere/uptime",
  )

/** The command on a machine whose date is set forward by a day whenever the command waits. */
const commandWithJumpingDate = (secs: number) =>
  commandThat(secs, "sleep() { SECONDS=$((SECONDS + 86400)); command sleep 0.05; }")

/** Where a server of that kind is. */
const serving = (listener: RequestListener) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const server = createServer(listener)
      await once(server.listen(0, "127.0.0.1"), "listening")
      return server
    }),
    (server) =>
      Effect.promise(async () => {
        server.close()
        server.closeAllConnections()
        await once(server, "close")
      }),
  ).pipe(Effect.map((server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`))

const PARTS = Array.from({ length: 20 }, (_, n) => `${n} 😀 naïve 漢字 👩‍👩‍👧\r\n`)

describe("cf", { concurrent: true }, () => {
  test("asks how the service is", () =>
    Effect.gen(function* () {
      expect((yield* value("healthz")).ok).toBe(true)
      const ready = yield* cf(["readyz"])
      expect(ready.json.checks).toContainEqual({ name: "database", ok: true, detail: "can be written to" })
      expect(ready.code).toBe(ready.json.ok ? 0 : 5)
    }))

  test("takes any prompt, as a word or from stdin", () =>
    Effect.gen(function* () {
      const controls = Array.from({ length: 31 }, (_, n) => String.fromCharCode(n + 1)).join("")
      const prompts = [
        `"quotes" 'and' \\back\\slashes\\n`,
        `$HOME $(id) \`id\` %s %n`,
        `lines\n\nand\r\ntabs\t`,
        `${controls}\u007f`,
        "😀 naïve 漢字 👩‍👩‍👧",
        "a\n\n",
        "&|;/{}[]\\1",
      ]
      for (const prompt of prompts) {
        expect((yield* value("run", `SAY ${prompt}`)).result).toBe(prompt)
        expect((yield* cf(["run", "-"], {}, `SAY ${prompt}`)).json.result).toBe(prompt)
      }
      expect((yield* cf(["run", "-"], {}, "SAY nul \0.")).json.result).toBe("nul \0.")
      const dashed = yield* cf(["run", "--stream", "--", "--help"])
      expect(dashed.stdout).not.toContain("cf run")
      expect(dashed.lines[0].event).toBe("run")
    }))

  test("streams the whole answer, also when it begins anew", () =>
    Effect.gen(function* () {
      const { code, stderr, lines, json } = yield* cf(["run", "--stream", "ANEW half of it | all of it"])
      expect([code, stderr, json.data.result]).toEqual([0, "", "all of it"])
      const deltas = lines.filter(({ event }) => event === "delta")
      expect(deltas.findLast(({ data }) => data.reset)).toBeDefined()
      expect(deltas.reduce((text, { data }) => (data.reset ? "" : text + data.text), "")).toBe("all of it")
      const run = lines[0].data.run_id
      for (const [n, { id }] of lines.entries()) {
        const rest = yield* cf(["events", run, "--after", id])
        expect([rest.code, rest.stderr, rest.lines]).toEqual([0, "", lines.slice(n + 1)])
      }
    }))

  test("tells what an agent says between turns, until the session is closed", () =>
    Effect.gen(function* () {
      const app = yield* newApp("attentive")
      const ask = valueIn(app)
      const { session_id: id } = yield* ask("session", "open")
      const { dir, tmp } = yield* home
      const { env } = yield* through(700, 400)
      const command = yield* commandWithoutPauses()
      const places = { HOME: dir, TMPDIR: tmp, ...access(), ...app, ...env }
      const following = begin(["session", "events", id], places, "", command)
      const turn = yield* ask("session", "turn", id, "LATE 20 SAY on time")
      expect(JSON.stringify(turn)).not.toContain("too late")
      yield* eventually(() => expect(following.printed.stdout).toContain("too late"))
      yield* ask("session", "close", id)
      const { code, stderr, lines } = yield* Effect.promise(() => following.ended)
      expect([code, stderr]).toEqual([0, ""])
      expect(lines).toEqual((yield* cf(["session", "events", id, "--after", "0"], app)).lines)
      expect([lines[0].event, lines.at(-1).event]).toEqual(["session.create", "session.close"])
      expect(
        lines
          .map(({ event }) => event)
          .slice(1, 3)
          .toSorted(),
      ).toEqual(["session.message", "session.turn"])
      const over = yield* cf(["session", "events", id, "--after", lines.at(-1).id], app)
      expect([over.code, over.stdout, over.stderr]).toEqual([0, "", ""])
    }))

  test("says what a turn took, and leaves its messages out", () =>
    Effect.gen(function* () {
      const env = yield* newApp("thrifty")
      const ask = valueIn(env)
      const { session_id: id } = yield* ask("session", "open")
      const lean = yield* ask("session", "turn", id, "--usage", "--no-events", "USAGE SAY hello")
      expect(lean).toMatchObject({ text: "hello", usage: { output_tokens: 5 }, cost_usd: null })
      expect(Object.keys(lean)).not.toContain("events")
      const streamed = yield* cf(["session", "turn", id, "--usage", "--stream", "USAGE SAY hello"], env)
      expect(streamed.json.data.usage).toEqual(lean.usage)
      const run = yield* ask("runs", streamed.lines[0].data.run_id)
      expect(run.usage).toEqual(lean.usage)
      yield* ask("session", "close", id)
    }))

  test("takes a prompt of 5 MB from stdin", () =>
    Effect.gen(function* () {
      const prompt = `漢字 "and" \\ more\n`.repeat(260_000)
      expect(Buffer.byteLength(prompt)).toBeGreaterThan(5_000_000)
      const { code, json } = yield* cf(["run", "-"], {}, `SAY ${prompt}`)
      expect(code).toBe(0)
      expect(json.result === prompt).toBe(true)
    }))

  test("takes every option of a run", () =>
    Effect.gen(function* () {
      const { dir } = yield* home
      const schema = join(dir, "schema.json")
      writeFileSync(schema, `{"type":"object","properties":{"qty":{"type":"number"}},"required":["qty"]}\n`)
      const options = [
        "--model",
        "opus",
        "--system=You parse.",
        "--system-mode",
        "replace",
        "--effort",
        "low",
      ]
      const more = [
        "--timeout",
        "60",
        "--schema",
        schema,
        "--usage",
        "--key",
        "k-1",
        "--on-disconnect",
        "cancel",
      ]
      const answer = yield* value("run", ...options, ...more, `SAY {"qty":2}`)
      expect(answer.result).toEqual({ qty: 2 })
      expect(answer).toHaveProperty("cost_usd")
      expect(yield* value("run", ...options, ...more, `SAY {"qty":2}`)).toEqual(answer)
    }))

  test("uploads files, whatever they are called", () =>
    Effect.gen(function* () {
      const { dir } = yield* home
      const names = [`a "quoted", naïve;type=x.txt`, "lines\nbreak.txt", "back\\slash.txt", "-"]
      for (const name of names) {
        writeFileSync(join(dir, name), `in ${name}`)
        const uploaded = yield* value("upload", join(dir, name), "--ttl", "600")
        expect([uploaded.ttl_secs, uploaded.size]).toEqual([600, Buffer.byteLength(`in ${name}`)])
        expect((yield* value("run", "--file-token", uploaded.file_token, "CAT")).result).toBe(`in ${name}`)
      }
      const all = names.flatMap((name) => ["--file", join(dir, name)])
      expect((yield* value("run", ...all, "CAT")).result).toBe(names.map((name) => `in ${name}`).join(","))
    }))

  test("has sessions", () =>
    Effect.gen(function* () {
      const env = yield* newApp("sessions")
      const value = valueIn(env)
      const opened = yield* value("session", "open", "--agent", "claude", "--meta", `{"user":"ada"}`)
      const id = opened.session_id
      const turn = yield* value("session", "turn", id, "SAY naïve")
      expect([turn.turn_index, turn.stop_reason]).toEqual([1, "end_turn"])
      const streamed = yield* cf(["session", "turn", id, "--stream", "-"], env, "STREAM 20 1")
      const said = streamed.lines.map(({ data }) => data.params?.update?.content?.text ?? "")
      expect(said.join("")).toBe(PARTS.join(""))
      expect(streamed.json.data.turn_index).toBe(2)
      const state = yield* value("session", "show", id)
      expect([state.status, state.meta, state.turn_count]).toEqual(["open", { user: "ada" }, 2])
      expect((yield* value("session", "list", "--open")).sessions).toHaveLength(1)
      expect((yield* value("session", "cancel", id)).cancelled).toBe(false)
      expect((yield* value("session", "close", id)).already_closed).toBe(false)
      expect((yield* value("session", "close", id)).already_closed).toBe(true)
      expect((yield* value("session", "list", "--open")).sessions).toEqual([])
      const late = yield* cf(["session", "turn", id, "SAY late"], env)
      expect([late.code, late.json.code]).toEqual([4, "session_closed"])
    }))

  test("takes an event of 8 MB", () =>
    Effect.gen(function* () {
      const { session_id } = yield* value("session", "open")
      const { code, lines } = yield* cf(["session", "turn", session_id, "--stream", "HUGE 8000000"])
      expect([code, lines.length]).toEqual([0, 5])
      const { text } = lines[1].data.params.update.content
      expect(text.length).toBeGreaterThan(7_900_000)
      expect(text === "x".repeat(text.length)).toBe(true)
      yield* value("session", "close", session_id)
    }))

  test("shows runs and what happened, and cancels", () =>
    Effect.gen(function* () {
      const env = yield* newApp("runs")
      const value = valueIn(env)
      yield* value("run", "SAY seen")
      const run = (yield* value("runs", "--limit", "1", "--status", "completed")).runs[0]
      expect(yield* value("runs", run.run_id)).toEqual({ ok: true, ...run })
      expect((yield* value("cancel", run.run_id)).cancelled).toBe(false)
      const events = (yield* value("events", "--type", "run.completed", "--limit", "1")).events
      expect(events[0].run_id).toBe(run.run_id)
      const all = yield* cf(["events", run.run_id], env)
      expect(all.lines.map(({ event }) => event)).toEqual(["run", "message", "delta", "result"])
      const rest = yield* cf(["events", run.run_id, "--after", all.lines[0].id], env)
      expect(rest.lines).toEqual(all.lines.slice(1))
      // With the operator's token, everybody's.
      expect((yield* cf(["runs", run.run_id], { CLAWDFORGE_TOKEN: "" })).code).toBe(0)
    }))

  test("mints, lists and revokes tokens", () =>
    Effect.gen(function* () {
      const minted = yield* value(
        "token",
        "mint",
        "--json",
        "recipes",
        "--cidr",
        "127.0.0.0/8",
        "--cidr=fd00::/8",
      )
      expect(minted.ip_cidrs).toEqual(["127.0.0.0/8", "fd00::/8"])
      const theirs = { CLAWDFORGE_TOKEN: minted.token }
      expect((yield* cf(["run", "SAY hi"], theirs)).code).toBe(0)
      // The words of the first versions.
      const old = yield* value("admin", "token-mint", "old", "127.0.0.0/8", "fd00::/8")
      expect(old.ip_cidrs).toEqual(minted.ip_cidrs)
      const names = (yield* value("token", "list")).tokens.map(({ name }: { name: string }) => name)
      expect(names).toContain("recipes")
      expect((yield* value("token", "revoke", "recipes")).already_revoked).toBe(false)
      expect((yield* cf(["run", "SAY hi"], theirs)).code).toBe(3)
    }))
})

describe("cf, refused,", () => {
  test("says why, and exits by it", () =>
    Effect.gen(function* () {
      const refused = (code: number, problem: string, args: ReadonlyArray<string>, env = {}) =>
        Effect.map(cf(args, env), (ended) => {
          expect([ended.code, ended.json.code]).toEqual([code, problem])
          expect(ended.stderr).toBe(`cf: ${ended.json.status} ${problem}: ${ended.json.error}\n`)
        })
      yield* refused(3, "unauthorized", ["run", "SAY hi"], { CLAWDFORGE_TOKEN: "cf_unknown" })
      yield* refused(3, "unauthorized", ["run", "--stream", "SAY hi"], { CLAWDFORGE_TOKEN: "cf_unknown" })
      yield* refused(4, "not_found", ["runs", "../healthz?x"])
      yield* refused(4, "not_found", ["events", "unknown"])
      yield* refused(4, "invalid_request", ["run", "--timeout", "0", "SAY hi"])
      yield* refused(5, "run_failed", ["run", "EXIT 3"])
      yield* refused(5, "timeout", ["run", "--timeout", "1", "HOLD"])
      const failed = yield* cf(["run", "--stream", "EXIT 3"])
      expect([failed.code, failed.json.event, failed.json.data.code]).toEqual([5, "error", "run_failed"])
    }))

  test("tells of Retry-After", () =>
    Effect.gen(function* () {
      const ids = yield* Effect.replicateEffect(value("session", "open"), 3)
      const full = yield* cf(["session", "open"])
      expect([full.code, full.json.code]).toEqual([5, "pool_full"])
      expect(full.stderr).toBe("cf: 503 pool_full: session pool is full (3 open); retry after 30 s\n")
      for (const { session_id } of ids) yield* value("session", "close", session_id)
    }))

  test("exits with 2 for what is no command", () =>
    Effect.gen(function* () {
      const bad = [
        [],
        ["nonsense"],
        ["run"],
        ["run", "a", "b"],
        ["run", "--nonsense", "a"],
        ["run", "--model"],
        ["run", "--timeout", "1s", "a"],
        ["run", "--key", "", "a"],
        ["run", "--file", "/nowhere", "a"],
        ["session"],
        ["session", "turn", "id"],
        ["upload", "/nowhere"],
        ["admin", "token-mint"],
        ["events", "--after", "x"],
        ["events", "--after", "1.1"],
        ["events", "01M", "--after", "1.5"],
        ["session", "turn", "id", "--stream", "--no-events", "a"],
      ]
      for (const args of bad) {
        const { code, stdout, stderr } = yield* cf(args)
        expect([args, code, stdout]).toEqual([args, 2, ""])
        expect(stderr).not.toBe("")
      }
      for (const args of [["help"], ["--help"]]) {
        const { code, stdout, stderr } = yield* cf(args)
        expect([code, stderr]).toEqual([0, ""])
        expect(stdout).toContain("cf session open")
      }
    }))

  test("exits with 1 where nobody answers, and follows no redirect", () =>
    Effect.gen(function* () {
      for (const args of [
        ["healthz"],
        ["run", "--stream", "hi"],
        ["run", "--key", "k", "hi"],
        ["events", "x"],
      ]) {
        const none = yield* cf(args, { CLAWDFORGE_URL: "http://127.0.0.1:1" })
        expect([none.code, none.stdout]).toEqual([1, ""])
        expect(none.stderr).toMatch(/^cf: no answer from http:\/\/127\.0\.0\.1:1: .+\n$/)
      }
      let seen = 0
      const redirect = createServer((_, response) => {
        seen += 1
        response.writeHead(302, { location: `${system().server.url}/healthz` }).end()
      })
      yield* Effect.promise(() => once(redirect.listen(0, "127.0.0.1"), "listening"))
      const url = `http://127.0.0.1:${(redirect.address() as AddressInfo).port}`
      expect((yield* cf(["healthz"], { CLAWDFORGE_URL: url })).code).toBe(1)
      redirect.close()
      expect(seen).toBe(1)
    }))
})

describe("cf, when a connection is lost,", { concurrent: true }, () => {
  test("goes on with a stream after the last event that it has", () =>
    Effect.gen(function* () {
      const { session_id } = yield* value("session", "open")
      const command = yield* commandWithoutPauses()
      for (const asked of [["run"], ["session", "turn", session_id]]) {
        const { env, seen } = yield* through(900, 3, 300, 1500)
        const cut = yield* cf([...asked, "--stream", "STREAM 20 20"], env, "", command)
        expect([cut.code, cut.stderr]).toEqual([0, ""])
        expect(seen().cut).toBeGreaterThanOrEqual(3)
        expect(cut.json.event).toBe("result")
        const whole = yield* cf(["events", cut.lines[0].data.run_id])
        expect(cut.lines).toEqual(whole.lines)
      }
      yield* value("session", "close", session_id)
    }))

  test("has its patience renewed by heartbeats", () =>
    Effect.gen(function* () {
      const secs = 1
      const command = yield* commandThat(secs)
      const after: Array<unknown> = []
      const url = yield* serving((request, response) => {
        after.push(request.headers["last-event-id"])
        response.writeHead(200, { "content-type": "text/event-stream" })
        if (after.length === 3) return response.end(`id: 6\nevent: result\ndata: {"ok":true}\n\n`)
        const beat = setInterval(() => response.write(":\n\n"), 100)
        const cut = setTimeout(() => response.destroy(), secs * 1000 + 200)
        return response.on("close", () => {
          clearInterval(beat)
          clearTimeout(cut)
        })
      })
      const args = ["events", "01M", "--after", "5"]
      const { code, stderr, lines } = yield* cf(args, { CLAWDFORGE_URL: url }, "", command)
      expect([code, stderr]).toEqual([0, ""])
      expect(lines).toEqual([{ id: "6", event: "result", data: { ok: true } }])
      expect(after).toEqual(["5", "5", "5"])
    }))

  test("does not give up because the date was set", () =>
    Effect.gen(function* () {
      const command = yield* commandWithJumpingDate(60)
      let seen = 0
      const url = yield* serving((_, response) => {
        seen += 1
        if (seen < 5) return response.writeHead(502).end()
        return response
          .writeHead(200, { "content-type": "text/event-stream" })
          .end(`id: 6\nevent: result\ndata: {"ok":true}\n\n`)
      })
      const args = ["events", "01M", "--after", "5"]
      const { code, stderr } = yield* cf(args, { CLAWDFORGE_URL: url }, "", command)
      expect([code, stderr]).toEqual([0, ""])
      expect(seen).toBe(5)
    }))

  test("fails when a stream has ended, and its result is no longer stored", () =>
    Effect.gen(function* () {
      const command = yield* commandWithoutPauses()
      let asked = 0
      const url = yield* serving((_, response) => {
        asked += 1
        if (asked > 1) return response.writeHead(204).end()
        response.writeHead(200, { "content-type": "text/event-stream" })
        return response.end('id: 9\nevent: resync\ndata: {"oldest_id":null}\n\n')
      })
      const ended = yield* cf(["events", "01M", "--after", "5"], { CLAWDFORGE_URL: url }, "", command)
      expect([ended.code, ended.stderr, asked]).toEqual([
        1,
        "cf: the rest of the stream is no longer stored\n",
        2,
      ])
    }))

  test("gives up where others answer", () =>
    Effect.gen(function* () {
      const command = yield* commandWithoutPauses(8)
      const givesUp = (status: number) =>
        Effect.gen(function* () {
          let seen = 0
          const url = yield* serving((_, response) => {
            seen += 1
            response.writeHead(status, { "content-type": "text/html" }).end("<html>\n\n</html>")
          })
          const args = ["events", "01M", "--after", "5"]
          const { code, stdout, stderr } = yield* cf(args, { CLAWDFORGE_URL: url }, "", command)
          expect([code, stdout]).toEqual([1, ""])
          expect(stderr).toBe("cf: the stream of run 01M could not be resumed after event 5\n")
          // After 0, 1, 2, 5 and 8 seconds.
          expect(seen).toBe(5)
        })
      yield* Effect.all([givesUp(200), givesUp(502)], { concurrency: 2 })
    }))

  test("sends again what has a key, and nothing else", () =>
    Effect.gen(function* () {
      const command = yield* commandWithoutPauses()
      for (const how of [[], ["--stream"]]) {
        const lost = yield* through(20)
        const once = yield* cf(["run", ...how, "SAY hi"], lost.env, "", command)
        expect([once.code, once.stdout, lost.seen().connections]).toEqual([1, "", 1])
        const again = yield* through(20, 100)
        const { code, json } = yield* cf(
          ["run", ...how, "--key", `k${how.length}`, "SAY hi"],
          again.env,
          "",
          command,
        )
        expect([code, (json.data ?? json).result, again.seen().connections]).toEqual([0, "hi", 3])
      }
      const read = yield* through(20)
      expect((yield* cf(["healthz"], read.env, "", command)).code).toBe(0)
    }))
})

describe("cf's result", () => {
  test("that cannot be written is a failure", () =>
    Effect.gen(function* () {
      const dir = yield* temporaryDirectory
      const full = join(dir, "full")
      writeFileSync(full, '#!/bin/sh\nexec "$CF" "$@" >/dev/full\n', { mode: 0o700 })
      for (const words of [["--help"], ["healthz"], ["readyz"], ["run", "--stream", "SAY hi"]]) {
        const { code, stderr } = yield* cf(words, { CF }, "", full)
        expect([words, code, stderr]).toEqual([
          words,
          1,
          expect.stringContaining("cf: the result cannot be written"),
        ])
      }
    }))
})

describe("cf's secrets", { concurrent: true }, () => {
  for (const how of ["plain", "streamed"] as const) {
    test(`are in no list of processes and on no disk, and nothing is left of a ${how} run that is ended`, () =>
      Effect.gen(function* () {
        const { dir, tmp } = yield* home
        const args =
          how === "plain" ? ["run", "HOLD"] : ["run", "--stream", "--on-disconnect", "cancel", "HOLD"]
        const { child, printed, ended } = begin(args, { HOME: dir, TMPDIR: tmp, ...access() })
        yield* eventually(() => expect(readdirSync(tmp)).toHaveLength(1))
        const mine = join(tmp, readdirSync(tmp)[0] ?? "")
        yield* eventually(() =>
          expect(processesGiven(tmp).map(argumentsOf).join("\n")).toMatch(/^curl\0-q\0/m),
        )
        if (how === "streamed") yield* eventually(() => expect(printed.stdout).toContain(`"event":"run"`))
        yield* eventually(() => expect(readdirSync(mine)).toContain("body"))
        for (const pid of processesGiven(tmp)) expect(argumentsOf(pid)).not.toContain(system().token)
        expect(statSync(mine).mode & 0o777).toBe(0o700)
        for (const name of readdirSync(mine)) {
          const path = join(mine, name)
          expect(statSync(path).mode & 0o077).toBe(0)
          if (statSync(path).isFile()) expect(readFileSync(path, "utf8")).not.toContain(system().token)
        }
        child.kill("SIGTERM")
        expect((yield* Effect.promise(() => ended)).code).toBe(143)
        expect(readdirSync(tmp)).toEqual([])
        yield* eventually(() => expect(processesGiven(tmp)).toEqual([]))
      }))
  }

  test("come from a file that is read, and never run, after the environment", () =>
    Effect.gen(function* () {
      const { dir, tmp } = yield* home
      const file = join(dir, ".config", "clawdforge", "cf.env")
      mkdirSync(join(dir, ".config", "clawdforge"), { recursive: true })
      const bad = `touch ${dir}/sourced\nCLAWDFORGE_OTHER=$(touch ${dir}/sourced)\nPATH=/nowhere\n# a comment\n`
      const url = `CLAWDFORGE_URL="${system().server.url}"\r\n`
      writeFileSync(file, `${bad}${url}CLAWDFORGE_TOKEN=${system().token}`, { mode: 0o600 })
      const none = { CLAWDFORGE_URL: "", CLAWDFORGE_TOKEN: "", CLAWDFORGE_ADMIN_TOKEN: "" }
      const env = { ...none, HOME: dir, TMPDIR: tmp }
      const answered = yield* cf(["run", "SAY hi"], env)
      expect([answered.code, answered.stderr, answered.json.result]).toEqual([
        0,
        `cf: ${file}: CLAWDFORGE_OTHER is not a setting of cf, and is ignored\n`,
        "hi",
      ])
      expect(readdirSync(dir).sort()).toEqual([".config", "tmp"])
      expect((yield* cf(["run", "SAY hi"], { ...env, CLAWDFORGE_TOKEN: "cf_unknown" })).code).toBe(3)
      const missing = yield* cf(["admin", "token-list"], env)
      expect([missing.code, missing.stdout]).toEqual([3, ""])
      chmodSync(file, 0o644)
      expect((yield* cf(["healthz"], env)).stderr).toContain("can be read by others")
    }))

  test("may come from a file with a byte order mark, but not from UTF-16", () =>
    Effect.gen(function* () {
      const { dir, tmp } = yield* home
      const file = join(dir, ".config", "clawdforge", "cf.env")
      mkdirSync(join(dir, ".config", "clawdforge"), { recursive: true })
      const text = `\uFEFFCLAWDFORGE_URL=${system().server.url}\n`
      const env = { CLAWDFORGE_URL: "", HOME: dir, TMPDIR: tmp }
      writeFileSync(file, text, { mode: 0o600 })
      expect((yield* cf(["run", "SAY hi"], env)).json.result).toBe("hi")
      const bare = { CLAWDFORGE_URL: new URL(system().server.url).host }
      expect((yield* cf(["healthz"], bare)).code).toBe(0)
      writeFileSync(file, text, "utf16le")
      const refused = yield* cf(["run", "SAY hi"], env)
      expect([refused.code, refused.stderr]).toEqual([
        2,
        `cf: ${file} is UTF-16: save it as UTF-8 (see cf --help)\n`,
      ])
    }))

  test("go to nobody that a proxy or curl's own settings name", () =>
    Effect.gen(function* () {
      const { dir, tmp } = yield* home
      writeFileSync(join(dir, ".curlrc"), `proxy = "http://127.0.0.1:1"\nverbose\n`)
      const proxies = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
      const env = Object.fromEntries(proxies.map((name) => [name, "http://127.0.0.1:1"]))
      const answered = yield* cf(["run", "SAY hi"], { ...env, HOME: dir, TMPDIR: tmp })
      expect([answered.code, answered.stderr, answered.json.result]).toEqual([0, "", "hi"])
      const proxied = yield* cf(["healthz"], { CLAWDFORGE_PROXY: "http://127.0.0.1:1" })
      expect(proxied.code).toBe(1)
    }))
})
