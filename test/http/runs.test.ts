import { describe, expect, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import { Effect, Option } from "effect"
import { ProcessFailed } from "../../src/domain/Failure.ts"
import { ClaudeScript } from "../../src/testing.ts"
import { appOf } from "../support/Sessions.ts"
import {
  ADMIN_TOKEN,
  type Answer,
  scriptedClaude,
  startForge,
  startServer,
  type TestClient,
} from "../support/TestServer.ts"

/** `GET /runs` and `GET /runs/{id}`. */

interface Apps {
  readonly server: TestClient
  /** What `claude` does; without a word, it says what it is told to. */
  readonly claude: ClaudeScript
  /** Two apps' tokens. */
  readonly recipes: string
  readonly garden: string
  readonly get: (path: string, token: string) => Effect.Effect<Answer>
}

const withApps = <A>(test: (apps: Apps) => Effect.Effect<A>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const claude = new ClaudeScript(({ prompt }) => prompt.replace(/^SAY /, ""))
      const server = yield* startForge({ claude })
      const get: Apps["get"] = (path, token) => server.request("GET", path, { token })
      const recipes = yield* server.mint("recipes")
      return yield* test({ server, claude, recipes, garden: yield* server.mint("garden"), get })
    }),
  )

const FIELDS = [
  "run_id",
  "kind",
  "status",
  "session_id",
  "turn_index",
  "model",
  "created_at",
  "started_at",
  "finished_at",
  "duration_ms",
  "stop_reason",
  "code",
  "usage",
  "cost_usd",
  "prompt_chars",
  "response_chars",
]

/** The id of a run that says that. */
const runs = ({ server }: Apps, token: string, prompt: string) =>
  Effect.map(server.run(token, { prompt }), ({ headers }) => headers.get("x-run-id") ?? "none")

const idsIn = ({ json }: Answer): ReadonlyArray<string> => json.runs.map(({ run_id }: any) => run_id)

const UNKNOWN = "01J00000000000000000000000"

describe("GET /runs/{id}", () => {
  it.live("tells of a run that went well: every field, whole seconds, nothing of the text", () =>
    withApps((apps) =>
      Effect.gen(function* () {
        const before = Math.floor(Date.now() / 1000)
        const id = yield* runs(apps, apps.recipes, "SAY canary-77")
        const { status, json, text } = yield* apps.get(`/runs/${id}`, apps.recipes)
        expect([status, Object.keys(json)]).toEqual([200, ["ok", ...FIELDS]])
        expect(json).toMatchObject({
          ok: true,
          run_id: id,
          kind: "run",
          status: "completed",
          session_id: null,
          turn_index: null,
          model: "sonnet",
          stop_reason: "end_turn",
          code: null,
          prompt_chars: 13,
          response_chars: 9,
        })
        for (const time of [json.created_at, json.started_at, json.finished_at]) {
          expect(Number.isInteger(time) && time >= before && time <= before + 60).toBe(true)
        }
        expect(Number.isInteger(json.duration_ms)).toBe(true)
        expect(text).not.toContain("canary")
      }),
    ),
  )

  it.live("tells of a run that failed, with the code that its client was answered", () =>
    withApps((apps) =>
      Effect.gen(function* () {
        apps.claude.nextFailure(new ProcessFailed({ reason: "it exited with code 3", exitCode: 3 }))
        yield* apps.server.run(apps.recipes, { prompt: "hello" })
        const [id] = idsIn(yield* apps.get("/runs", apps.recipes))
        const { json } = yield* apps.get(`/runs/${id}`, apps.recipes)
        expect(json).toMatchObject({ status: "failed", code: "run_failed", stop_reason: null, usage: null })
      }),
    ),
  )

  it.live("tells of a turn, which is a run of its session", () =>
    withApps((apps) =>
      Effect.gen(function* () {
        const app = appOf(apps.server, apps.recipes)
        const session = yield* app.opened()
        yield* app.turn(session, "one")
        const { headers } = yield* app.turn(session, "two")
        const { json } = yield* apps.get(`/runs/${headers.get("x-run-id")}`, apps.recipes)
        expect(json).toMatchObject({ kind: "turn", status: "completed", session_id: session, turn_index: 2 })
        const listed = yield* apps.get(`/runs?session_id=${session}`, apps.recipes)
        expect(listed.json.runs.map(({ turn_index }: any) => turn_index)).toEqual([2, 1])
        expect((yield* apps.get(`/runs?session_id=${session}`, apps.garden)).json.runs).toEqual([])
      }),
    ),
  )

  it.live("is the same 404 for another app's run, an unknown one and what no run could be called", () =>
    withApps((apps) =>
      Effect.gen(function* () {
        const id = yield* runs(apps, apps.recipes, "SAY hello")
        const headers = { "x-request-id": "the-same" }
        const answers = yield* Effect.forEach([id, UNKNOWN, "x", id.toLowerCase(), `${id}0`], (name) =>
          apps.server.request("GET", `/runs/${name}`, { token: apps.garden, headers }),
        )
        expect(answers.map(({ status, json }) => [status, json.code])).toEqual(
          answers.map(() => [404, "not_found"]),
        )
        expect(new Set(answers.map(({ text }) => text)).size).toBe(1)
        expect((yield* apps.get(`/runs/${id}`, ADMIN_TOKEN)).json.run_id).toBe(id)
      }),
    ),
  )
})

describe("GET /runs", () => {
  it.live("lists an app's own, the newest first; the operator sees everybody's", () =>
    withApps((apps) =>
      Effect.gen(function* () {
        const first = yield* runs(apps, apps.recipes, "SAY 1")
        const foreign = yield* runs(apps, apps.garden, "SAY 2")
        const second = yield* runs(apps, apps.recipes, "SAY 3")
        const mine = yield* apps.get("/runs", apps.recipes)
        expect([Object.keys(mine.json), mine.json.next_cursor]).toEqual([["ok", "runs", "next_cursor"], null])
        expect(Object.keys(mine.json.runs[0])).toEqual(FIELDS)
        expect(idsIn(mine)).toEqual([second, first])
        expect(idsIn(yield* apps.get("/runs", apps.garden))).toEqual([foreign])
        expect(idsIn(yield* apps.get("/runs", ADMIN_TOKEN))).toEqual([second, foreign, first])
      }),
    ),
  )

  it.live("goes on from a cursor, each run once, also while new ones come", () =>
    withApps((apps) =>
      Effect.gen(function* () {
        const made = yield* Effect.forEach([1, 2, 3, 4, 5], (n) => runs(apps, apps.recipes, `SAY ${n}`))
        const one = yield* apps.get("/runs?limit=2", apps.recipes)
        yield* runs(apps, apps.recipes, "SAY later")
        const two = yield* apps.get(`/runs?limit=2&cursor=${one.json.next_cursor}`, apps.recipes)
        const three = yield* apps.get(`/runs?limit=2&cursor=${two.json.next_cursor}`, apps.recipes)
        expect([one, two, three].flatMap(idsIn)).toEqual(made.toReversed())
        expect(three.json.next_cursor).toBeNull()
        expect(one.json.next_cursor).toMatch(/^[\w-]+$/)
      }),
    ),
  )

  it.live("lists those in one state only, if asked", () =>
    withApps((apps) =>
      Effect.gen(function* () {
        const good = yield* runs(apps, apps.recipes, "SAY hello")
        apps.claude.nextFailure(new ProcessFailed({ reason: "it exited with code 3", exitCode: 3 }))
        yield* apps.server.run(apps.recipes, { prompt: "hello" })
        expect(idsIn(yield* apps.get("/runs?status=completed", apps.recipes))).toEqual([good])
        const failed = yield* apps.get("/runs?status=failed", ADMIN_TOKEN)
        expect(failed.json.runs.map(({ code }: any) => code)).toEqual(["run_failed"])
        expect((yield* apps.get("/runs?status=lost", ADMIN_TOKEN)).json.runs).toEqual([])
      }),
    ),
  )

  it.live.each([
    ["limit=0", "limit must be a whole number from 1 to 500"],
    ["limit=501", "limit must be a whole number from 1 to 500"],
    ["limit=", "limit must be a whole number from 1 to 500"],
    ["limit=1e2", "limit must be a whole number from 1 to 500"],
    ["limit=1&limit=2", "limit is there twice"],
    ["cursor=", "cursor must be the next_cursor of a list"],
    ["cursor=garbage", "cursor must be the next_cursor of a list"],
    ["cursor=%F0%9F%98%80", "cursor must be the next_cursor of a list"],
    ["status=done", "status must be one of queued, running, completed, failed, cancelled, timed_out, lost"],
    ["session_id=mine", "session_id must be a session's id"],
    ["stauts=lost", "stauts is not a known field"],
    ["owner=x&limit=0", "limit must be a whole number from 1 to 500; owner is not a known field"],
  ])("is 400 for ?%s, and says what is wrong", ([query, sentence]) =>
    withApps((apps) =>
      Effect.gen(function* () {
        const { status, json } = yield* apps.get(`/runs?${query}`, apps.recipes)
        expect([status, json.code, json.error.split("; ").toSorted().join("; ")]).toEqual([
          400,
          "invalid_request",
          sentence,
        ])
      }),
    ),
  )

  it.live("needs a token: an app's or the operator's", () =>
    withApps((apps) =>
      Effect.gen(function* () {
        for (const path of ["/runs", `/runs/${UNKNOWN}`]) {
          const { status, json } = yield* apps.server.request("GET", path)
          expect([status, json.code]).toEqual([401, "unauthorized"])
          expect((yield* apps.get(path, "cf_unknown")).status).toBe(401)
        }
      }),
    ),
  )

  it.live("finds a rare state among many runs without a look at the others", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { config } = yield* startServer({ claudeBin: Option.some(scriptedClaude) })
        const db = new Sqlite(config.dbPath, { readonly: true })
        for (const [where, index] of [
          ["token_id = ? AND status = ?", "runs_of_token_by_status"],
          ["status = ?", "runs_of_status"],
          ["token_id = ?", "runs_of_token"],
        ] as const) {
          const [plan] = db
            .prepare<Array<null>, { detail: string }>(
              `EXPLAIN QUERY PLAN SELECT * FROM runs WHERE ${where} ORDER BY id DESC LIMIT 9`,
            )
            .all(...Array.from(where.matchAll(/\?/g), () => null))
          expect(plan?.detail).toContain(`USING INDEX ${index} (`)
        }
        db.close()
      }),
    ),
  )
})
