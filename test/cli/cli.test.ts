import { once } from "node:events"
import { spawnSync } from "node:child_process"
import { mkdirSync, writeFileSync } from "node:fs"
import type { ServerResponse } from "node:http"
import { join } from "node:path"
import { describe, expect, it, vi } from "@effect/vitest"
import { Effect, Option } from "effect"
import { openApiDocument } from "../../src/http/OpenApiDocument.ts"
import { begin, cli, cliProcess, LAUNCHER, startCli } from "../support/Cli.ts"
import { AgentName } from "../../src/domain/Session.ts"
import { stubServer } from "../support/StubServer.ts"
import { scriptedAgent, shared } from "../support/Sessions.ts"
import {
  ADMIN_TOKEN,
  eventually,
  scriptedClaude,
  startServer,
  temporaryDirectory,
  type TestServer,
} from "../support/TestServer.ts"

const startService = Effect.gen(function* () {
  const command = scriptedAgent(yield* temporaryDirectory, "--models sonnet")
  const agents = new Map([[AgentName.make("claude"), Option.some(command)]])
  return yield* startServer({ claudeBin: Option.some(scriptedClaude), agents })
})

/** Sends these events, each an id, a name and data, as the service sends a stream. */
const eventStream = (
  response: ServerResponse,
  events: ReadonlyArray<readonly [id: string, event: string, data: object]>,
) =>
  response
    .writeHead(200, { "content-type": "text/event-stream" })
    .end(
      events
        .map(([id, event, data]) => `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
        .join(""),
    )

/** A new app of that service, and the environment that names both to the command. */
const appOf = (server: TestServer, name: string) =>
  Effect.map(server.mint(name), (token) => ({
    server,
    token,
    env: { CLAWDFORGE_URL: server.url, CLAWDFORGE_TOKEN: token, CLAWDFORGE_ADMIN_TOKEN: ADMIN_TOKEN },
  }))

const common = shared(startService)
let apps = 0

/** The service that the tests share, and a new app. */
const service = Effect.suspend(() => appOf(common(), `app-${(apps += 1)}`))

describe("clawdforge run", () => {
  it.scopedLive("prints only the answer", () =>
    Effect.gen(function* () {
      const { env } = yield* service
      expect(yield* cli(["run", "SAY hello"], env)).toMatchObject({
        code: 0,
        stdout: "hello\n",
        stderr: "",
      })
    }),
  )

  it.scopedLive("prints the text while it is written, each piece once", () =>
    Effect.gen(function* () {
      const { env } = yield* service
      const dir = yield* temporaryDirectory
      const run = yield* begin(["run", `STEP ${dir} 3`], env, true)
      for (const piece of [0, 1, 2]) {
        // The agent writes a piece only after its file exists, which is after the piece before was printed.
        writeFileSync(join(dir, String(piece)), "")
        yield* eventually(() => expect(run.shown()).toContain(`${piece} 😀`))
      }
      expect((yield* run.end).code).toBe(0)
      expect(run.shown().match(/\d 😀/g)).toEqual(["0 😀", "1 😀", "2 😀"])
    }),
  )

  it.scopedLive("prints the whole answer, also when the agent began it anew", () =>
    Effect.gen(function* () {
      const { env } = yield* service
      const words = ["run", "ANEW half of it | all of it"]
      const read = yield* Effect.flatMap(begin(words, env, true), ({ end }) => end)
      expect(read).toMatchObject({ code: 0, stdout: "half of it\nall of it\n", stderr: "" })
      expect(yield* cli(words, env)).toMatchObject({ code: 0, stdout: "all of it\n" })
      const goesOn = ["run", "ANEW half | half and half"]
      const whole = yield* Effect.flatMap(begin(goesOn, env, true), ({ end }) => end)
      expect(whole).toMatchObject({ code: 0, stdout: "half and half\n" })
    }),
  )

  it.scopedLive("prints the whole answer when a part of its stream is no longer stored", () =>
    Effect.gen(function* () {
      const { url } = yield* stubServer((_, response) =>
        eventStream(response, [
          ["1", "run", { run_id: "01M" }],
          ["2.1", "delta", { text: "the first " }],
          ["5", "resync", { oldest_id: "6" }],
          ["6.1", "delta", { text: "the last" }],
          ["7", "result", { ok: true, result: "all of it", duration_ms: 1, stop_reason: "end_turn" }],
        ]),
      )
      const env = { CLAWDFORGE_URL: url, CLAWDFORGE_TOKEN: "cf_some" }
      const read = yield* Effect.flatMap(begin(["run", "hi"], env, true), ({ end }) => end)
      expect(read).toMatchObject({ code: 0, stdout: "the first the last\nall of it\n" })
    }),
  )

  it.scopedLive("prints the whole answer with --json, and with --usage also its tokens", () =>
    Effect.gen(function* () {
      const { env } = yield* service
      const { code, json } = yield* cli(["run", "--json", "--usage", 'SAY {"qty":2}'], env)
      expect(code).toBe(0)
      expect(json).toMatchObject({ ok: true, result: { qty: 2 }, stop_reason: "end_turn" })
      expect(Object.keys(json)).toContain("usage")
    }),
  )

  it.scopedLive("prints the value that fits a schema", () =>
    Effect.gen(function* () {
      const { env } = yield* service
      const schema = join(yield* temporaryDirectory, "schema.json")
      writeFileSync(schema, JSON.stringify({ type: "object", required: ["qty"] }))
      const asked = yield* cli(["run", "--schema", schema, 'SAY {"qty":2}'], env)
      expect(asked).toMatchObject({ code: 0, stdout: '{"qty":2}\n' })
    }),
  )

  it.scopedLive("uploads files", () =>
    Effect.gen(function* () {
      const { env } = yield* service
      const file = join(yield* temporaryDirectory, "a b.txt")
      writeFileSync(file, "two cups")
      const { code, stdout } = yield* cli(["run", "--file", file, "CAT"], env)
      expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining("two cups") })
    }),
  )

  it.scopedLive("runs once with a key", () =>
    Effect.gen(function* () {
      const { env, server, token } = yield* service
      for (const _ of [1, 2]) {
        expect((yield* cli(["run", "--key", "order-17", "SAY once"], env)).stdout).toBe("once\n")
      }
      expect((yield* server.request("GET", "/runs", { token })).json.runs).toHaveLength(1)
    }),
  )

  it.scopedLive("cancels its run when it is interrupted", () =>
    Effect.gen(function* () {
      const { env, server, token } = yield* service
      const dir = yield* temporaryDirectory
      writeFileSync(join(dir, "0"), "")
      const run = yield* begin(["run", `STEP ${dir} 2`], env, true)
      const runs = Effect.map(server.request("GET", "/runs", { token }), ({ json }) => json.runs)
      yield* eventually(() => expect(run.shown()).toContain("0 😀"))
      expect((yield* run.interrupt).code).toBe(130)
      expect(yield* runs).toMatchObject([{ status: "cancelled" }])
    }),
  )

  it.scopedLive("does not cancel a run with a key when it is interrupted", () =>
    Effect.gen(function* () {
      const { env, server, token } = yield* service
      const dir = yield* temporaryDirectory
      writeFileSync(join(dir, "0"), "")
      const words = ["run", "--key", "order-17", `STEP ${dir} 2`]
      const run = yield* begin(words, env, true)
      yield* eventually(() => expect(run.shown()).toContain("0 😀"))
      yield* run.interrupt
      writeFileSync(join(dir, "1"), "")
      const again = yield* cli(words, env)
      expect([again.code, again.stdout.match(/\d 😀/g)]).toEqual([0, ["0 😀", "1 😀"]])
      expect((yield* server.request("GET", "/runs", { token })).json.runs).toHaveLength(1)
    }),
  )

  it.scopedLive("exits as interrupted if another client cancels its run", () =>
    Effect.gen(function* () {
      const { env, server, token } = yield* service
      const dir = yield* temporaryDirectory
      const run = yield* begin(["run", "--json", `STEP ${dir} 2`], env)
      const runs = Effect.map(server.request("GET", "/runs", { token }), ({ json }) => json.runs)
      const [{ run_id }] = yield* Effect.repeat(runs, { until: (runs) => runs[0]?.status === "running" })
      yield* server.request("POST", `/runs/${run_id}/cancel`, { token })
      expect(yield* run.end).toMatchObject({ code: 130, json: { stop_reason: "cancelled" } })
    }),
  )
})

describe("a failure", () => {
  it.scopedLive("of a request is printed once, and nothing is sent", () =>
    Effect.gen(function* () {
      const { env, server, token } = yield* service
      const dir = yield* temporaryDirectory
      const broken = join(dir, "broken.json")
      writeFileSync(broken, "{")
      const refused = yield* cli(["run", " "], env)
      expect([refused.code, refused.stderr.trim().split("\n")]).toEqual([
        2,
        [expect.stringContaining("prompt")],
      ])
      expect(yield* cli(["run", "--schema", broken, "hi"], env)).toMatchObject({
        code: 2,
        stderr: `clawdforge: ${broken} is not valid JSON\n`,
      })
      expect((yield* cli(["run", "--key", "k", "--file", broken, "hi"], env)).code).toBe(2)
      expect((yield* server.request("GET", "/runs", { token })).json.runs).toEqual([])
    }),
  )

  it.scopedLive("is printed to stderr, with --json also to stdout, and sets the exit code", () =>
    Effect.gen(function* () {
      const { env } = yield* service
      const wrong = { ...env, CLAWDFORGE_TOKEN: "cf_wrong" }
      const unknown = yield* cli(["run", "--json", "hi"], wrong)
      expect(unknown).toMatchObject({
        code: 3,
        json: { ok: false, code: "unauthorized" },
        stderr: expect.stringContaining("bearer token"),
      })
      const nowhere = { ...env, CLAWDFORGE_URL: "http://127.0.0.1:1" }
      expect((yield* cli(["run", "hi"], nowhere)).code).toBe(1)
      expect((yield* cli(["session", "show", "nobody"], env)).code).toBe(4)
      const failed = yield* cli(["run", "--json", "EXIT 3"], env)
      expect(failed.code).toBe(5)
      expect(failed.json).toMatchObject({ ok: false, code: "run_failed", status: 502 })
      expect((yield* cli(["run"], env)).code).toBe(2)
      expect((yield* cli(["run", "--timeout", "soon", "hi"], env)).code).toBe(2)
      expect((yield* cli(["frobnicate"], env)).code).toBe(2)
      expect((yield* cli(["token", "mint", "No Name"], env)).code).toBe(2)
      for (const { stdout, stderr } of [failed, unknown]) {
        expect(stdout + stderr).not.toMatch(/cf_/)
        expect(stdout + stderr).not.toContain(ADMIN_TOKEN)
      }
    }),
  )

  it.scopedLive("of CLAWDFORGE_URL names the variable; without a scheme it is http", () =>
    Effect.gen(function* () {
      const { env } = yield* service
      const bare = { ...env, CLAWDFORGE_URL: new URL(env.CLAWDFORGE_URL).host }
      expect((yield* cli(["session", "list"], bare)).code).toBe(0)
      for (const words of [["session", "list"], ["doctor"]]) {
        const { code, stderr } = yield* cli(words, { ...env, CLAWDFORGE_URL: "ftp://forge.lan" })
        expect([code, stderr]).toEqual([2, "clawdforge: CLAWDFORGE_URL is no http(s) URL\n"])
      }
    }),
  )

  it.scopedLive("tells when to try again", () =>
    Effect.gen(function* () {
      const server = yield* startServer({ maxLiveSessions: 0 })
      const env = { CLAWDFORGE_URL: server.url, CLAWDFORGE_TOKEN: yield* server.mint("the-app") }
      expect(yield* cli(["session", "open"], env)).toMatchObject({
        code: 5,
        stderr: expect.stringMatching(/Try again in \d+ s/),
      })
    }),
  )
})

describe("clawdforge session", () => {
  it.scopedLive("has a conversation", () =>
    Effect.gen(function* () {
      const { env } = yield* service
      const id = (yield* cli(["session", "open", "--meta", '{"user":"ada"}'], env)).stdout.trim()
      // The option's name in the first versions.
      for (const option of ["--permission-mode", "--permissions"]) {
        const other = yield* cli(["session", "open", option, "deny-all"], env)
        expect([other.code, other.stderr]).toEqual([0, ""])
        expect((yield* cli(["session", "close", other.stdout.trim()], env)).stdout).toBe("closed\n")
      }
      const first = yield* cli(["session", "turn", id, "SAY eggs"], env)
      expect(first).toMatchObject({ code: 0, stdout: "eggs\n" })
      const second = yield* cli(["session", "turn", "--json", id, "SAY flour"], env)
      expect(second.json).toMatchObject({ ok: true, turn_index: 2, stop_reason: "end_turn" })
      const words = ["session", "turn", "--json", "--usage", "--no-events", id, "USAGE SAY milk"]
      const third = yield* cli(words, env)
      expect(third.json).toMatchObject({ text: "milk", usage: { output_tokens: 5 }, cost_usd: null })
      expect(Object.keys(third.json)).not.toContain("events")
      expect((yield* cli(["session", "show", "--json", id], env)).json).toMatchObject({
        status: "open",
        turn_count: 3,
        meta: { user: "ada" },
      })
      expect((yield* cli(["session", "list", "--open"], env)).stdout).toContain(id)
      expect((yield* cli(["session", "cancel", id], env)).stdout).toBe("nothing was at work\n")
      expect((yield* cli(["session", "close", id], env)).stdout).toBe("closed\n")
      expect((yield* cli(["session", "close", id], env)).stdout).toBe("was closed already\n")
      expect((yield* cli(["session", "turn", id, "SAY milk"], env)).code).toBe(4)
    }),
  )
})

describe("clawdforge session events", () => {
  it.scopedLive("prints what the agent says between turns, until the session is closed", () =>
    Effect.gen(function* () {
      const { env } = yield* service
      const id = (yield* cli(["session", "open"], env)).stdout.trim()
      const read = yield* begin(["session", "events", id], env, true)
      yield* eventually(() => expect(read.shown()).toContain("session.create"))
      yield* cli(["session", "turn", id, "LATE 20 SAY on time"], env)
      yield* eventually(() => expect(read.shown()).toMatch(/session\.message +too late\n/))
      yield* cli(["session", "close", id], env)
      const { code, stdout } = yield* read.end
      expect([code, stdout.trimEnd().split("\n")]).toEqual([0, expect.any(Array)])
      expect(stdout.trimEnd().split("\n").at(-1)).toContain("session.close")
      const all = yield* cli(["session", "events", "--json", "--after", "0", id], env)
      const types = all.stdout
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line).type)
      expect([all.code, types.length, types.at(-1)]).toEqual([0, 4, "session.close"])
    }),
  )
})

describe("clawdforge session turn", () => {
  it.scopedLive("fails when a part of the answer is no longer stored", () =>
    Effect.gen(function* () {
      const { url } = yield* stubServer((_, response) =>
        eventStream(response, [
          ["1", "run", { run_id: "01M", session_id: "s", turn_index: 1 }],
          ["5", "resync", { oldest_id: "6" }],
          ["6.1", "delta", { text: "the last" }],
          [
            "7",
            "result",
            { ok: true, session_id: "s", turn_index: 1, stop_reason: "end_turn", duration_ms: 1 },
          ],
        ]),
      )
      const env = { CLAWDFORGE_URL: url, CLAWDFORGE_TOKEN: "cf_some" }
      for (const isRead of [true, false]) {
        const words = ["session", "turn", "s", "hi"]
        const ended = yield* Effect.flatMap(begin(words, env, isRead), ({ end }) => end)
        expect(ended).toMatchObject({ code: 1, stdout: "the last\n" })
        expect(ended.stderr).toContain("no longer stored")
      }
    }),
  )
})

describe("clawdforge token", () => {
  it.scopedLive("mints, lists and revokes, with the operator's token that the service generated", () =>
    Effect.gen(function* () {
      const dataDir = yield* temporaryDirectory
      const server = yield* startServer({ adminToken: Option.none() }, dataDir)
      const env = { BIND_PORT: new URL(server.url).port, DATA_DIR: dataDir }
      const minted = yield* cli(["token", "mint", "recipes", "--cidr", "127.0.0.0/8"], env)
      expect(minted).toMatchObject({ code: 0, stdout: expect.stringMatching(/^cf_\S+\n$/) })
      const app = { ...env, CLAWDFORGE_TOKEN: minted.stdout.trim() }
      expect((yield* cli(["session", "list", "--json"], app)).json).toEqual({
        ok: true,
        sessions: [],
      })
      const listed = yield* cli(["admin", "token-list"], env)
      expect(listed.stdout).toMatch(/^recipes +127\.0\.0\.0\/8 /m)
      expect(listed.stdout).not.toContain(minted.stdout.trim())
      expect((yield* cli(["token", "revoke", "recipes"], env)).stdout).toBe("revoked\n")
      expect((yield* cli(["session", "list"], app)).code).toBe(3)
    }),
  )
})

describe("clawdforge upload", () => {
  it.scopedLive("prints a token for the files of a prompt", () =>
    Effect.gen(function* () {
      const { env, server, token } = yield* service
      const file = join(yield* temporaryDirectory, "a.txt")
      writeFileSync(file, "three eggs")
      const { stdout } = yield* cli(["upload", "--ttl", "60", file], env)
      const { json } = yield* server.run(token, { prompt: "CAT", files: [stdout.trim()] })
      expect(JSON.stringify(json.result)).toContain("three eggs")
      const again = yield* cli(["run", "--file-token", stdout.trim(), "CAT"], env)
      expect(again.stdout).toContain("three eggs")
    }),
  )
})

describe("clawdforge runs", () => {
  it.scopedLive("lists runs, shows one, and cancels one", () =>
    Effect.gen(function* () {
      const { env, server, token } = yield* service
      yield* server.run(token, { prompt: "SAY hi" })
      const dir = yield* temporaryDirectory
      const held = yield* begin(["run", "--json", `STEP ${dir} 2`], env)
      const running = ["runs", "--json", "--status", "running", "--limit", "5"]
      const listed = yield* Effect.repeat(cli(running, env), { until: ({ json }) => json.runs.length > 0 })
      const [{ run_id }] = listed.json.runs
      expect((yield* cli(["runs", run_id], env)).stdout).toMatch(new RegExp(`^${run_id} +run +running `, "m"))
      expect((yield* cli(["cancel", run_id], env)).stdout).toBe("cancelled\n")
      expect((yield* held.end).code).toBe(130)
      expect((yield* cli(["cancel", run_id], env)).stdout).toBe("nothing was at work\n")
      const all = (yield* cli(["runs"], env)).stdout
      expect(all.match(/^\S+ +run +(completed|cancelled) /gm)).toHaveLength(2)
      expect((yield* cli(["runs", "nobody"], env)).code).toBe(4)
    }),
  )

  it.scopedLive("goes on after its command if it is told so", () =>
    Effect.gen(function* () {
      const { env } = yield* service
      const dir = yield* temporaryDirectory
      writeFileSync(join(dir, "0"), "")
      const run = yield* begin(["run", "--on-disconnect", "continue", `STEP ${dir} 2`], env, true)
      yield* eventually(() => expect(run.shown()).toContain("0 😀"))
      yield* run.interrupt
      writeFileSync(join(dir, "1"), "")
      yield* Effect.repeat(cli(["runs", "--json"], env), {
        until: ({ json }) => json.runs[0].status === "completed",
      })
    }),
  )
})

describe("clawdforge events", () => {
  it.scopedLive("lists what happened, with its old name and without", () =>
    Effect.gen(function* () {
      const { env, server, token } = yield* service
      yield* server.run(token, { prompt: "SAY hi" })
      const words = ["--type", "run.completed", "--limit", "1"]
      for (const command of [["events"], ["events", "list"]])
        expect((yield* cli([...command, ...words], env)).stdout).toMatch(/^\S+ {2}run\.completed .*\n$/)
      const { json } = yield* cli(["events", "--json", "--after", "0"], env)
      expect(json.events.map(({ type }: { type: string }) => type)).toContain("run.queued")
    }),
  )
})

describe("clawdforge events tail", () => {
  it.scopedLive("prints past events, then new ones", () =>
    Effect.gen(function* () {
      const { env, server, token } = yield* appOf(yield* startService, "the-app")
      yield* server.run(token, { prompt: "SAY before" })
      const words = ["events", "tail", "--json", "--after", "0", "--type", "run.completed"]
      const tail = yield* begin(words, env)
      const events = () =>
        tail
          .shown()
          .split("\n")
          .filter(Boolean)
          .map((line) => JSON.parse(line))
      yield* eventually(() => expect(events()).toHaveLength(1))
      yield* server.run(token, { prompt: "SAY after" })
      yield* eventually(() => expect(events()).toHaveLength(2))
      expect(events()).toMatchObject([
        { type: "run.completed", token: "the-app" },
        { type: "run.completed", token: "the-app" },
      ])
    }),
  )
})

describe("a text of the user's", () => {
  it.scopedLive("may begin with a byte order mark, and is refused in another encoding", () =>
    Effect.gen(function* () {
      const { env } = yield* service
      const schema = join(yield* temporaryDirectory, "schema.json")
      const text = `\uFEFF${JSON.stringify({ type: "object", required: ["qty"] })}`
      writeFileSync(schema, text)
      expect((yield* cli(["run", "--schema", schema, 'SAY {"qty":2}'], env)).stdout).toBe('{"qty":2}\n')
      writeFileSync(schema, text, "utf16le")
      expect(yield* cli(["run", "--schema", schema, "SAY hi"], env)).toMatchObject({
        code: 2,
        stderr: `clawdforge: ${schema} is UTF-16: save it as UTF-8\n`,
      })
      const stdin = Buffer.from("SAY one\nKäse", "latin1")
      expect(yield* cliProcess(["run", "-"], { env, stdin })).toMatchObject({
        code: 2,
        stderr: "clawdforge: standard input is not UTF-8 in line 2: save it as UTF-8\n",
      })
    }),
  )
})

describe("a .env", () => {
  it.scopedLive(
    "is read if no client variable is set, and never decides where a token of the environment is sent",
    () =>
      Effect.gen(function* () {
        const { env } = yield* service
        const dir = yield* temporaryDirectory
        writeFileSync(
          join(dir, ".env"),
          `CLAWDFORGE_URL=${env.CLAWDFORGE_URL}\nCLAWDFORGE_TOKEN=${env.CLAWDFORGE_TOKEN}`,
        )
        expect(yield* cliProcess(["run", "SAY hello"], { cwd: dir })).toMatchObject({
          code: 0,
          stdout: "hello\n",
        })
        writeFileSync(join(dir, ".env"), `CLAWDFORGE_URL=${env.CLAWDFORGE_URL}`)
        const set = { CLAWDFORGE_TOKEN: env.CLAWDFORGE_TOKEN, BIND_PORT: "1" }
        expect(yield* cliProcess(["run", "SAY hello"], { cwd: dir, env: set })).toMatchObject({
          code: 1,
          stdout: "",
        })
      }),
  )

  it.scopedLive(
    "may begin with a byte order mark; another encoding is refused with one line, for every command",
    () =>
      Effect.gen(function* () {
        const { env } = yield* service
        const dir = yield* temporaryDirectory
        const text = `\uFEFFCLAWDFORGE_URL=${env.CLAWDFORGE_URL}\nCLAWDFORGE_TOKEN=${env.CLAWDFORGE_TOKEN}\n`
        writeFileSync(join(dir, ".env"), text)
        expect(yield* cliProcess(["run", "SAY hello"], { cwd: dir })).toMatchObject({
          code: 0,
          stdout: "hello\n",
        })
        writeFileSync(join(dir, ".env"), text, "utf16le")
        for (const words of [["run", "SAY hello"], ["serve"], []])
          expect(yield* cliProcess(words, { cwd: dir })).toMatchObject({
            code: 2,
            stdout: "",
            stderr: ".env is UTF-16: save it as UTF-8\n",
          })
      }),
  )

  it.scopedLive("that is a directory is ignored; a prompt of any size is read from standard input", () =>
    Effect.gen(function* () {
      const { env } = yield* service
      const dir = yield* temporaryDirectory
      mkdirSync(join(dir, ".env"))
      const said = "word ".repeat(60_000).trim()
      expect(yield* cliProcess(["run", "-"], { env, cwd: dir, stdin: `SAY ${said}` })).toMatchObject({
        code: 0,
        stdout: `${said}\n`,
      })
    }),
  )
})

describe("the command line itself", () => {
  it.each(["openapi", "--help"])("reports that its result cannot be written: %s", (command) => {
    const words = ["-c", '"$0" "$1" "$2" > /dev/full', process.execPath, LAUNCHER, command]
    const { status, stderr } = spawnSync("sh", words, { encoding: "utf8" })
    expect([status, stderr]).toEqual([1, expect.stringContaining("cannot be written")])
  })

  it("ends quietly when its reader closes the pipe", () => {
    const script = '"$0" "$1" openapi | head -c 10; echo " ${PIPESTATUS[0]}"'
    const { stdout, stderr } = spawnSync("bash", ["-c", script, process.execPath, LAUNCHER], {
      encoding: "utf8",
    })
    expect([stdout.split(" ").at(-1), stderr]).toEqual(["141\n", ""])
  })

  it.live("has help, completions, its version and the API's document", () =>
    Effect.gen(function* () {
      const help = yield* cli(["--help"])
      for (const command of [
        "serve",
        "run",
        "session turn",
        "upload",
        "runs",
        "cancel",
        "token mint",
        "events list",
        "events tail",
        "backup",
        "restore",
        "doctor",
        "openapi",
      ]) {
        expect(help.stdout).toContain(`- ${command}`)
      }
      expect((yield* cli(["run", "--help"])).stdout).toContain("--schema")
      expect((yield* cli(["--version"])).stdout).toMatch(/^\d+\.\d+\.\d+/)
      expect((yield* cli(["--completions", "bash"])).stdout).toContain("complete")
      expect((yield* cli(["openapi"])).json).toEqual(JSON.parse(JSON.stringify(openApiDocument)))
    }),
  )

  it.scopedLive("starts the service", () =>
    Effect.gen(function* () {
      const dataDir = yield* temporaryDirectory
      const env = { DATA_DIR: dataDir, BIND_PORT: "0", CLAUDE_BIN: scriptedClaude }
      const child = yield* startCli(["serve", "--log-level", "info"], { env })
      let printed = ""
      child.stdout.setEncoding("utf8").on("data", (text: string) => (printed += text))
      yield* Effect.promise(() =>
        vi.waitFor(() => expect(printed).toContain('"message":"listening"'), { timeout: 120_000 }),
      )
      child.kill("SIGTERM")
      yield* Effect.promise(() => once(child, "exit"))
      expect(child.exitCode).toBe(0)
    }),
  )
})
