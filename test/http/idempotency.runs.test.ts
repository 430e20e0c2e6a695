import { describe, expect, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import { Effect, Fiber, Option } from "effect"
import { openEvents } from "../support/EventSource.ts"
import { appOf, reached, said, scriptedServer, shared, type ScriptedServer } from "../support/Sessions.ts"
import { type Answer, eventually, scriptedClaude } from "../support/TestServer.ts"

/** `Idempotency-Key` of prompts: one run, however often it is asked for, and one answer, in whichever form. */

const server = shared(scriptedServer({ claudeBin: Option.some(scriptedClaude), maxConcurrentRuns: 8 }))

let names = 0
/** A new app, so that no test knows the keys of another. */
const newNamedApp = Effect.suspend(() => {
  const name = `app-${++names}`
  return Effect.map(server().mint(name), (token) => ({ name, token }))
})
const newApp = Effect.map(newNamedApp, ({ token }) => token)

const keyed = (on: ScriptedServer, token: string, path: string, key: string, body: object, headers = {}) =>
  on.request("POST", path, { token, body, headers: { "idempotency-key": key, ...headers } })

const run = (token: string, key: string, body: object, query = "", headers = {}) =>
  keyed(server(), token, `/run${query}`, key, body, headers)

const isReplayed = ({ headers }: Pick<Answer, "headers">) => headers.get("idempotent-replayed")
const runIdOf = ({ headers }: Pick<Answer, "headers">) => headers.get("x-run-id")

const expectConflict = (answer: Answer) => {
  expect([answer.status, answer.json.code]).toEqual([409, "idempotency_conflict"])
  expect([isReplayed(answer), runIdOf(answer)]).toEqual([null, null])
}

/** It is the first one's answer, told as such. */
const expectAgain = (again: Answer, first: Answer) => {
  expect([again.status, again.text]).toEqual([first.status, first.text])
  expect([isReplayed(again), runIdOf(again)]).toEqual(["true", runIdOf(first)])
}

const many = <A>(count: number, one: Effect.Effect<A>) =>
  Effect.all(
    Array.from({ length: count }, () => one),
    { concurrency: "unbounded" },
  )

const withDatabase = <A>(on: ScriptedServer, use: (db: Sqlite.Database) => A): A => {
  const db = new Sqlite(on.config.dbPath)
  try {
    return use(db)
  } finally {
    db.close()
  }
}

/** The runs of an app, oldest first. */
const runsOf = (name: string, on = server()): ReadonlyArray<{ id: string; status: string }> =>
  withDatabase(on, (db) =>
    db
      .prepare(
        "SELECT id, status FROM runs WHERE token_id = (SELECT id FROM tokens WHERE name = ?) ORDER BY id",
      )
      .all(name),
  ) as never

const statuses = (name: string, on = server()) => runsOf(name, on).map(({ status }) => status)

describe.concurrent("POST /run with a key", () => {
  it.live("runs once, and gives the first answer again, byte for byte", () =>
    Effect.gen(function* () {
      const { name, token } = yield* newNamedApp
      const first = yield* run(token, "k", { prompt: 'SAY {"qty":2}', model: null })
      expect([first.status, first.json.result, isReplayed(first)]).toEqual([200, { qty: 2 }, null])
      expectAgain(yield* run(token, "k", { prompt: 'SAY {"qty":2}' }), first)
      expect(statuses(name)).toEqual(["completed"])
    }),
  )

  it.live("runs once for fifty that come at once, and all have its answer", () =>
    Effect.gen(function* () {
      const { name, token } = yield* newNamedApp
      const answers = yield* many(50, run(token, "k", { prompt: "SLOW 500" }))
      expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).toBe(1)
      expect(answers[0]?.json.result).toBe("slow")
      expect(new Set(answers.map(runIdOf)).size).toBe(1)
      expect(answers.filter((answer) => isReplayed(answer) === null)).toHaveLength(1)
      expect(statuses(name)).toEqual(["completed"])
    }),
  )

  it.live("waits for the answer of a run that is still at work", () =>
    Effect.gen(function* () {
      const { name, token } = yield* newNamedApp
      const first = yield* Effect.fork(run(token, "k", { prompt: "SLOW 1500" }))
      yield* eventually(() => expect(statuses(name)).toEqual(["running"]))
      expectConflict(yield* run(token, "k", { prompt: "SLOW 1501" }))
      const again = yield* run(token, "k", { prompt: "SLOW 1500" })
      expectAgain(again, yield* Fiber.join(first))
    }),
  )

  it.live("goes on when its client hangs up, who may come again for the answer", () =>
    Effect.gen(function* () {
      const { name, token } = yield* newNamedApp
      const first = yield* Effect.fork(run(token, "k", { prompt: "SLOW 1000" }))
      yield* eventually(() => expect(statuses(name)).toEqual(["running"]))
      yield* Fiber.interrupt(first)
      const again = yield* run(token, "k", { prompt: "SLOW 1000" })
      expect([again.status, again.json.result, isReplayed(again)]).toEqual([200, "slow", "true"])
      expect(statuses(name)).toEqual(["completed"])
    }),
  )

  it.live("is not disturbed by one of those who wait, whatever its request says of hanging up", () =>
    Effect.gen(function* () {
      const { name, token } = yield* newNamedApp
      const body = { prompt: "SLOW 1500", on_disconnect: "cancel" }
      const first = yield* Effect.fork(run(token, "k", body))
      yield* eventually(() => expect(statuses(name)).toEqual(["running"]))
      const other = yield* Effect.fork(run(token, "k", body))
      yield* Effect.sleep("300 millis")
      yield* Fiber.interrupt(other)
      expect((yield* Fiber.join(first)).json).toMatchObject({ result: "slow", stop_reason: "end_turn" })
    }),
  )

  it.live("is cancelled with the first client, where that is what it asked for, and says so again", () =>
    Effect.gen(function* () {
      const { name, token } = yield* newNamedApp
      const body = { prompt: "HOLD", on_disconnect: "cancel" }
      const first = yield* Effect.fork(run(token, "k", body))
      yield* eventually(() => expect(statuses(name)).toEqual(["running"]))
      yield* Fiber.interrupt(first)
      yield* eventually(() => expect(statuses(name)).toEqual(["cancelled"]))
      const again = yield* run(token, "k", body)
      expect([again.status, again.json.stop_reason, isReplayed(again)]).toEqual([200, "cancelled", "true"])
    }),
  )

  it.live("shows each reader what it asks for: usage or none", () =>
    Effect.gen(function* () {
      const token = yield* newApp
      const first = yield* run(token, "k", { prompt: "SAY hello" })
      const more = yield* run(token, "k", { prompt: "SAY hello" }, "?include=usage")
      expect(Object.keys(more.json)).toEqual([
        ...Object.keys(first.json),
        "usage",
        "cost_usd",
        "model",
        "session_id",
      ])
      expect([more.json.result, isReplayed(more)]).toEqual(["hello", "true"])
      expectAgain(yield* run(token, "k", { prompt: "SAY hello" }), first)
    }),
  )

  it.live.each<[string, object]>([
    ["prompt", { prompt: "SAY hello!" }],
    ["timeout", { prompt: "SAY hello", timeout_secs: 9 }],
    ["model", { prompt: "SAY hello", model: "sonnet" }],
    ["schema", { prompt: "SAY hello", output_schema: {} }],
  ])("refuses another %s under the same key, and runs nothing", ([, body]) =>
    Effect.gen(function* () {
      const { name, token } = yield* newNamedApp
      yield* run(token, "k", { prompt: "SAY hello" })
      expectConflict(yield* run(token, "k", body))
      expect(runsOf(name)).toHaveLength(1)
    }),
  )

  it.live.each([
    ["EXIT 3", 30, 502, "run_failed"],
    ["GARBAGE", 30, 502, "run_failed"],
    ["HOLD", 1, 504, "timeout"],
  ] as const)("fails once (%s), and tells the same failure again", ([prompt, timeout_secs, status, code]) =>
    Effect.gen(function* () {
      const { name, token } = yield* newNamedApp
      const first = yield* run(token, "k", { prompt, timeout_secs })
      const again = yield* run(token, "k", { prompt, timeout_secs }, "", { "x-request-id": "another" })
      expect([first.status, first.json.code, isReplayed(first)]).toEqual([status, code, null])
      expect(again.json).toEqual({ ...first.json, request_id: "another" })
      expect([again.status, isReplayed(again), runIdOf(again)]).toEqual([status, "true", runIdOf(first)])
      expect(again.headers.get("content-type")).toBe("application/problem+json")
      expect(runsOf(name)).toHaveLength(1)
    }),
  )

  it.live.each<[string, object, number]>([
    ["a file that is not there", { prompt: "SAY x", files: ["ff_none"] }, 404],
    ["a schema that is none", { prompt: "SAY x", output_schema: { type: "no" } }, 400],
    ["a bad field", { prompt: "SAY x", timeout_secs: 0 }, 400],
  ])("leaves its key free when it is refused for %s", ([, body, status]) =>
    Effect.gen(function* () {
      const token = yield* newApp
      const refused = yield* run(token, "k", body)
      expect([refused.status, isReplayed(refused)]).toEqual([status, null])
      const first = yield* run(token, "k", { prompt: "SAY x" })
      expect([first.status, isReplayed(first)]).toEqual([200, null])
    }),
  )

  it.live("leaves its key free when it never comes to its turn", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const busy = yield* scriptedServer({
          claudeBin: Option.some(scriptedClaude),
          maxConcurrentRuns: 1,
          maxQueueWaitSecs: 1,
        })
        const token = yield* busy.mint("recipes")
        const other = yield* Effect.fork(busy.run(token, { prompt: "HOLD" }))
        yield* eventually(() => expect(statuses("recipes", busy)).toEqual(["running"]))
        const refused = yield* keyed(busy, token, "/run", "k", { prompt: "SAY x" })
        expect([refused.status, refused.json.code]).toEqual([503, "overloaded"])
        yield* Fiber.interrupt(other)
        yield* eventually(() => expect(statuses("recipes", busy)[0]).toBe("cancelled"))
        const first = yield* keyed(busy, token, "/run", "k", { prompt: "SAY y" })
        expect([first.status, first.json.result, isReplayed(first)]).toEqual([200, "y", null])
      }),
    ),
  )

  it.live("is another run for another app, and on another route", () =>
    Effect.gen(function* () {
      const mine = yield* newApp
      const theirs = yield* newApp
      const first = yield* run(mine, "k", { prompt: "SAY mine" })
      const other = yield* run(theirs, "k", { prompt: "SAY theirs" })
      expect([other.json.result, isReplayed(other)]).toEqual(["theirs", null])
      const session = yield* keyed(server(), mine, "/sessions", "k", { agent: "scripted" })
      expect([session.status, isReplayed(session)]).toEqual([200, null])
      expect(runIdOf(other)).not.toBe(runIdOf(first))
    }),
  )

  it.live("says that its answer is gone, once it is", () =>
    Effect.gen(function* () {
      const { name, token } = yield* newNamedApp
      const first = yield* run(token, "k", { prompt: "SAY hello" })
      withDatabase(server(), (db) => {
        const id = runIdOf(first)
        db.prepare("UPDATE runs SET trimmed_to = (SELECT max(seq) FROM stream_events) WHERE id = ?").run(id)
        db.prepare("DELETE FROM stream_events WHERE run_id = ?").run(id)
      })
      const again = yield* run(token, "k", { prompt: "SAY hello" })
      expect([again.status, again.json.code, isReplayed(again)]).toEqual([410, "gone", "true"])
      expect(runsOf(name)).toHaveLength(1)
    }),
  )

  it.live("is read as an object or as a stream, whichever form it had first", () =>
    Effect.gen(function* () {
      const { name, token } = yield* newNamedApp
      for (const [key, order] of [
        ["object first", ["object", "stream"]],
        ["stream first", ["stream", "object"]],
      ] as const) {
        const ids: Array<string | null> = []
        const results: Array<unknown> = []
        for (const [n, form] of order.entries()) {
          const headers = { "idempotency-key": key }
          if (form === "object") {
            const answer = yield* run(token, key, { prompt: "SAY hello" })
            expect(isReplayed(answer)).toBe(n === 0 ? null : "true")
            ids.push(runIdOf(answer))
            results.push(answer.json)
          } else {
            const opened = yield* Effect.promise(() =>
              openEvents(`${server().url}/run`, {
                method: "POST",
                token,
                body: { prompt: "SAY hello" },
                headers,
              }),
            )
            expect(yield* Effect.promise(() => opened.ended)).toBe("ended")
            expect([opened.status, isReplayed(opened)]).toEqual([200, n === 0 ? null : "true"])
            expect(opened.events[0]?.event).toBe("run")
            expect(opened.events.at(-1)?.event).toBe("result")
            ids.push(runIdOf(opened))
            results.push(JSON.parse(opened.events.at(-1)?.data ?? ""))
          }
        }
        expect(results[1]).toEqual(results[0])
        expect(ids[1]).toBe(ids[0])
      }
      expect(runsOf(name)).toHaveLength(2)
    }),
  )
})

const turn = (token: string, session: string, key: string, prompt: string, more = {}) =>
  keyed(server(), token, `/sessions/${session}/turn`, key, { prompt, ...more })

describe.concurrent("a turn with a key", () => {
  const newSession = Effect.gen(function* () {
    const token = yield* newApp
    const app = appOf(server(), token, "scripted")
    return { token, app, session: yield* app.opened() }
  })

  it.live("is taken once, and gives the first answer again, byte for byte", () =>
    Effect.gen(function* () {
      const { token, app, session } = yield* newSession
      const first = yield* turn(token, session, "k", "SAY hello")
      expect([said(first), first.json.turn_index, isReplayed(first)]).toEqual(["hello", 1, null])
      expectAgain(yield* turn(token, session, "k", "SAY hello", { files: null }), first)
      expectConflict(yield* turn(token, session, "k", "SAY hello!"))
      expect((yield* app.read(session)).json.turn_count).toBe(1)
      const next = yield* turn(token, session, "l", "RECALL")
      expect([next.json.turn_index, JSON.parse(said(next))]).toEqual([2, ["SAY hello"]])
      expectAgain(yield* turn(token, session, "k", "SAY hello"), first)
    }),
  )

  it.live("is taken once of twenty that come at once", () =>
    Effect.gen(function* () {
      const { token, app, session } = yield* newSession
      const answers = yield* many(20, turn(token, session, "k", "SLOW 300"))
      expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).toBe(1)
      expect(answers[0]?.status).toBe(200)
      expect(answers.filter((answer) => isReplayed(answer) === null)).toHaveLength(1)
      expect((yield* app.read(session)).json.turn_count).toBe(1)
    }),
  )

  it.live("is another turn in another session", () =>
    Effect.gen(function* () {
      const { token, app, session } = yield* newSession
      const other = yield* app.opened()
      yield* turn(token, session, "k", "SAY one")
      const second = yield* turn(token, other, "k", "SAY two")
      expect([said(second), isReplayed(second)]).toEqual(["two", null])
    }),
  )

  it.live("tells again what a session said that is closed now, to its own app only", () =>
    Effect.gen(function* () {
      const { token, app, session } = yield* newSession
      const first = yield* turn(token, session, "k", "SAY hello")
      yield* app.close(session)
      expectAgain(yield* turn(token, session, "k", "SAY hello"), first)
      const stranger = yield* turn(yield* newApp, session, "k", "SAY hello")
      expect([stranger.status, stranger.json.code]).toEqual([404, "not_found"])
      expect((yield* turn(token, session, "l", "SAY hello")).json.code).toBe("session_closed")
    }),
  )

  it.live("fails once, and tells the same failure again", () =>
    Effect.gen(function* () {
      const { token, session } = yield* newSession
      const first = yield* turn(token, session, "k", "ERR")
      const again = yield* turn(token, session, "k", "ERR")
      expect([first.status, first.json.code]).toEqual([502, "turn_failed"])
      expect(again.json).toEqual({ ...first.json, request_id: again.json.request_id })
      expect([again.status, isReplayed(again), runIdOf(again)]).toEqual([502, "true", runIdOf(first)])
    }),
  )

  it.live("goes on when its client hangs up, who may come again for the answer", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const own = yield* scriptedServer({})
        const app = yield* own.app("recipes")
        const session = yield* app.opened()
        const ask = keyed(own, app.token, `/sessions/${session}/turn`, "k", { prompt: "SLOW 1000" })
        const first = yield* Effect.fork(ask)
        yield* reached(own, 1)
        yield* Fiber.interrupt(first)
        const again = yield* ask
        expect([again.status, again.json.turn_index, isReplayed(again)]).toEqual([200, 1, "true"])
        yield* reached(own, 1)
      }),
    ),
  )

  it.live("is read as a stream, too", () =>
    Effect.gen(function* () {
      const { token, session } = yield* newSession
      const first = yield* turn(token, session, "k", "BIG 5")
      const opened = yield* Effect.promise(() =>
        openEvents(`${server().url}/sessions/${session}/turn`, {
          method: "POST",
          token,
          body: { prompt: "BIG 5" },
          headers: { "idempotency-key": "k" },
        }),
      )
      expect(yield* Effect.promise(() => opened.ended)).toBe("ended")
      expect([opened.status, isReplayed(opened), runIdOf(opened)]).toEqual([200, "true", runIdOf(first)])
      const messages = opened.events
        .filter(({ event }) => event === "message")
        .map(({ data }) => JSON.parse(data))
      expect(messages).toEqual(first.json.events)
      const { events: _, ...rest } = first.json
      expect(JSON.parse(opened.events.at(-1)?.data ?? "")).toEqual(rest)
    }),
  )
})
