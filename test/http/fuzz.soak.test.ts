import { readdirSync } from "node:fs"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { describe, expect, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import { Option, Effect, FastCheck as fc } from "effect"
import { acpxClient, claudeAnswer, claudeRunner } from "../../src/testing.ts"
import { complaints } from "../support/fuzz/Judge.ts"
import { type FuzzRequest, fuzzRequest } from "../support/fuzz/Requests.ts"
import { send, type Target } from "../support/fuzz/Send.ts"
import { SOME_SESSIONS } from "../support/fuzz/Values.ts"
import { scale } from "../support/Scale.ts"
import {
  ADMIN_TOKEN,
  eventually,
  fileForm,
  scriptedClaude,
  startServer,
  type TestServer,
} from "../support/TestServer.ts"

/**
 * Generated requests, good ones and hostile ones, on the whole service but for the agent. The same requests every time,
 * unless told otherwise: FUZZ_SEED=7 FUZZ_RUNS=100000 npx vitest run test/http/fuzz
 */
const SEED = Number(process.env["FUZZ_SEED"] ?? 20_260_101)
const RUNS = Number(process.env["FUZZ_RUNS"] ?? scale.fuzzRequests)
const AT_ONCE = 8

const MEBIBYTE = 1024 * 1024
/** What the heap may have grown by, once all garbage is gone. */
const GROWTH_MAX_BYTES = 64 * MEBIBYTE

setFlagsFromString("--expose-gc")
const collectGarbage = runInNewContext("gc") as () => void

const heap = () => {
  collectGarbage()
  return process.memoryUsage().heapUsed
}
const handles = () => readdirSync("/proc/self/fd").length

/** What is wrong with the answer to a request, in a line; `undefined` when nothing is. */
const trial = async (request: FuzzRequest, target: Target, dataDir: string): Promise<string | undefined> => {
  try {
    const answer = await send(request, target)
    if (answer === "cut") return undefined
    const found = complaints(request, answer, dataDir)
    if (found.length === 0) return undefined
    return `${found.join("; ")}: ${answer.status} ${answer.body.slice(0, 1000)}`
  } catch (error) {
    return String((error as Error).cause ?? error)
  }
}

const SHOWN_MAX_CHARS = 4000

const shown = (request: FuzzRequest): string => JSON.stringify(request).slice(0, SHOWN_MAX_CHARS)

/** The smallest request that goes wrong as the one of that number does. */
const explain = async (
  index: number,
  request: FuzzRequest,
  complaint: string,
  target: Target,
  dir: string,
) => {
  const alone = fc.asyncProperty(fuzzRequest, async (request) => {
    const complaint = await trial(request, target, dir)
    if (complaint !== undefined) throw new Error(complaint)
  })
  const { counterexample, errorInstance } = await fc.check(alone, {
    seed: SEED,
    path: String(index),
    numRuns: 1,
  })
  return counterexample === null
    ? `request ${index}, not alone: ${shown(request)}\n  ${complaint}`
    : `request ${index}, at its smallest: ${shown(counterexample[0])}\n  ${String(errorInstance)}`
}

/** Sends all of them, some at once; says what went wrong with the first few. */
const bombard = async (requests: ReadonlyArray<FuzzRequest>, target: Target, dataDir: string) => {
  const failed: Array<[number, string]> = []
  const queue = requests.entries()
  const worker = async () => {
    for (const [index, request] of queue) {
      const complaint = await trial(request, target, dataDir)
      if (complaint !== undefined) failed.push([index, complaint])
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  return Promise.all(
    failed
      .toSorted(([left], [right]) => left - right)
      .slice(0, 5)
      .map(([index, complaint]) =>
        explain(index, requests[index] as FuzzRequest, complaint, target, dataDir),
      ),
  )
}

const query = (server: TestServer, sql: string) => {
  const db = new Sqlite(server.config.dbPath, { readonly: true })
  const rows = db.prepare(sql).all()
  db.close()
  return rows
}

const openSession = (server: TestServer, token: string) =>
  Effect.map(
    server.request("POST", "/sessions", { token, body: {} }),
    ({ json }) => json.session_id as string,
  )

/** Closes all that the app has open. */
const closeSessions = (server: TestServer, token: string) =>
  Effect.flatMap(server.request("GET", "/sessions?include_closed=false", { token }), ({ json }) =>
    Effect.forEach(
      json.sessions as ReadonlyArray<{ readonly session_id: string }>,
      ({ session_id }) => server.request("DELETE", `/sessions/${session_id}`, { token }),
      { concurrency: AT_ONCE },
    ),
  )

/** Everything that was taken on the way was given back, and every record is closed. */
const expectTidy = (server: TestServer) => {
  expect(readdirSync(server.config.runsDir)).toEqual([])
  expect(readdirSync(server.config.sessionsDir)).toEqual([])
  expect(readdirSync(server.config.filesDir).toSorted()).toEqual(
    query(server, "SELECT id FROM files ORDER BY id").map((row) => (row as { id: string }).id),
  )
  expect(query(server, "SELECT id FROM runs WHERE status IN ('queued', 'running')")).toEqual([])
  expect(
    query(
      server,
      "SELECT run_id FROM events WHERE type LIKE 'run.%' AND type NOT IN ('run.queued', 'run.started') GROUP BY run_id HAVING count(*) <> 1",
    ),
  ).toEqual([])
}

describe(`${RUNS} requests of every kind (FUZZ_SEED=${SEED})`, () => {
  it.live(
    "are each answered, as the contract says, and leave the service as it was",
    () =>
      Effect.gen(function* () {
        const agent = claudeRunner(() => Effect.succeed(claudeAnswer("an answer")))
        const limits = {
          maxBodyBytes: 200_000,
          maxFilesBytesPerToken: 64 * MEBIBYTE,
          maxLiveSessions: 100_000,
        }
        const server = yield* startServer(
          { ...limits, claudeBin: Option.some(scriptedClaude) },
          undefined,
          agent,
          acpxClient(({ prompt }) => Effect.succeed(`you said ${prompt}`)),
        )
        const app = yield* server.mint("the-app")
        const { json } = yield* server.upload(app, fileForm("two cups", "a.txt", 86_400))
        const sessions = yield* Effect.forEach(SOME_SESSIONS, () => openSession(server, app))
        const target = { url: server.url, app, admin: ADMIN_TOKEN, file: json.file_token as string, sessions }
        const requests = fc.sample(fuzzRequest, { seed: SEED, numRuns: RUNS })
        const dir = server.config.dataDir
        expect(yield* Effect.promise(() => bombard(requests.slice(0, 200), target, dir))).toEqual([])
        const before = { heap: heap(), handles: handles() }

        expect(yield* Effect.promise(() => bombard(requests, target, dir))).toEqual([])

        expect((yield* server.request("GET", "/healthz")).status).toBe(200)
        const session = yield* openSession(server, app)
        const turn = { token: app, body: { prompt: "hello" } }
        expect((yield* server.request("POST", `/sessions/${session}/turn`, turn)).json.turn_index).toBe(1)
        expect((yield* server.run(app, { prompt: "hello", files: [target.file] })).json.result).toBe(
          "an answer",
        )
        expect((yield* server.upload(app, fileForm("x"))).status).toBe(200)
        yield* closeSessions(server, app)
        expect((yield* server.request("GET", "/healthz")).json.open_sessions).toBe(0)
        yield* eventually(() => expectTidy(server))
        yield* eventually(() => expect(handles()).toBeLessThan(before.handles + 16))
        expect(heap() - before.heap).toBeLessThan(GROWTH_MAX_BYTES)
      }).pipe(Effect.scoped),
    60_000 + RUNS * 50,
  )
})
