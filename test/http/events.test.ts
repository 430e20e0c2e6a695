import { describe, expect, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import { Effect, Option } from "effect"
import type { AppConfig } from "../../src/infra/Config.ts"
import { type Opened, openEvents } from "../support/EventSource.ts"
import {
  ADMIN_TOKEN,
  type Answer,
  scriptedClaude,
  startServer,
  temporaryDirectory,
  type TestServer,
} from "../support/TestServer.ts"

/** The events API, on a server whose agent does as it is told. */

interface Apps {
  readonly server: TestServer
  /** Two apps' tokens. */
  readonly recipes: string
  readonly garden: string
  readonly get: (path: string, token: string) => Effect.Effect<Answer>
  /** A run of an app, and its id. */
  readonly run: (token: string, prompt?: string) => Effect.Effect<string>
  /** A stream that is closed with the test. */
  readonly follow: (query: string, token: string, lastId?: string) => Effect.Effect<Opened>
}

const withApps = <A>(
  test: (apps: Apps) => Effect.Effect<A>,
  overrides: Partial<AppConfig> = {},
  dataDir?: string,
) =>
  Effect.scoped(
    Effect.gen(function* () {
      const server = yield* startServer({ claudeBin: Option.some(scriptedClaude), ...overrides }, dataDir)
      const open: Array<Opened> = []
      yield* Effect.addFinalizer(() => Effect.sync(() => open.forEach(({ close }) => close())))
      const follow: Apps["follow"] = (query, token, lastId) =>
        Effect.promise(async () => {
          const headers = lastId === undefined ? {} : { "last-event-id": lastId }
          const opened = await openEvents(`${server.url}/events/stream${query}`, { token, headers })
          open.push(opened)
          return opened
        })
      return yield* test({
        server,
        recipes: yield* server.mint("recipes"),
        garden: yield* server.mint("garden"),
        get: (path, token) => server.request("GET", path, { token }),
        run: (token, prompt = "SAY hello") =>
          Effect.map(server.run(token, { prompt }), ({ headers }) => headers.get("x-run-id") ?? "none"),
        follow,
      })
    }),
  )

const until = (opened: Opened, count: number) =>
  Effect.promise(async () => {
    expect(await opened.until((events) => events.length >= count)).toBe("held")
    return opened.events.slice(0, count)
  })

const typesIn = ({ json }: Answer): ReadonlyArray<string> => json.events.map(({ type }: any) => type)
const seqsIn = ({ json }: Answer): ReadonlyArray<number> => json.events.map(({ seq }: any) => seq)

const OF_A_RUN = ["run.queued", "run.started", "run.completed"]

describe.concurrent("GET /events", () => {
  it.live("lists an app's own, the newest first, each as the contract says; the operator sees all", () =>
    withApps(({ recipes, garden, get, run }) =>
      Effect.gen(function* () {
        const id = yield* run(recipes, "SAY canary-91")
        const mine = yield* get("/events", recipes)
        expect([mine.status, mine.json.ok, typesIn(mine)]).toEqual([
          200,
          true,
          ["token.mint", ...OF_A_RUN].toReversed(),
        ])
        const [newest] = mine.json.events
        expect(Object.keys(newest)).toEqual(["seq", "type", "at", "run_id", "session_id", "token", "data"])
        expect(newest).toMatchObject({
          type: "run.completed",
          run_id: id,
          session_id: null,
          token: "recipes",
        })
        expect(Number.isInteger(newest.at) && Math.abs(newest.at - Date.now() / 1000) < 60).toBe(true)
        expect(mine.text).not.toContain("canary")

        expect(typesIn(yield* get("/events", garden))).toEqual(["token.mint"])
        const all = yield* get("/events", ADMIN_TOKEN)
        expect(typesIn(all).toSorted()).toEqual(["token.mint", "token.mint", ...OF_A_RUN].toSorted())
        expect(seqsIn(all)).toEqual(seqsIn(all).toSorted((a, b) => b - a))
      }),
    ),
  )

  it.live("goes up from a place, page by page", () =>
    withApps(({ recipes, get, run }) =>
      Effect.gen(function* () {
        yield* run(recipes)
        yield* run(recipes)
        const all = seqsIn(yield* get("/events", recipes)).toReversed()
        const one = yield* get("/events?after=0&limit=4", recipes)
        const two = yield* get(`/events?after=${seqsIn(one).at(-1)}&limit=4`, recipes)
        expect([one, two].flatMap(seqsIn)).toEqual(all)
        expect(seqsIn(yield* get(`/events?after=${all.at(-1)}`, recipes))).toEqual([])
      }),
    ),
  )

  it.live("lists those of a type, a run or a session only, if asked", () =>
    withApps(({ recipes, garden, get, run }) =>
      Effect.gen(function* () {
        const id = yield* run(recipes)
        yield* run(recipes, "EXIT 3")
        const failed = yield* get("/events?type=run.failed", recipes)
        expect(failed.json.events.map(({ data }: any) => data)).toEqual([{ code: "run_failed" }])
        for (const token of [recipes, ADMIN_TOKEN]) {
          expect(typesIn(yield* get(`/events?run_id=${id}&after=0`, token))).toEqual(OF_A_RUN)
          const both = yield* get(`/events?run_id=${id}&type=run.started`, token)
          expect(typesIn(both)).toEqual(["run.started"])
        }
        expect(seqsIn(yield* get(`/events?run_id=${id}`, garden))).toEqual([])
        const session = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"
        expect(seqsIn(yield* get(`/events?session_id=${session}`, recipes))).toEqual([])
      }),
    ),
  )

  it.live("is 400 for what it does not know, and says what is wrong", () =>
    withApps(({ recipes, get }) =>
      Effect.forEach(
        [
          ["/events?limit=501", "limit must be a whole number from 1 to 500"],
          ["/events?after=-1", "after must be the id of an event, a whole number from 0"],
          ["/events?type=run.done", "type must be an event's type, such as run.completed"],
          ["/events?run_id=mine", "run_id must be a run's id"],
          ["/events?session_id=mine", "session_id must be a session's id"],
          ["/events?since=1", "since is not a known field"],
          ["/events/stream?after=x", "after must be the id of an event, a whole number from 0"],
          ["/events/stream?limit=3", "limit is not a known field"],
        ] as const,
        ([path, sentence]) =>
          Effect.map(get(path, recipes), ({ status, json }) =>
            expect([status, json.code, json.error]).toEqual([400, "invalid_request", sentence]),
          ),
      ),
    ),
  )

  it.live("needs a token, and its upkeep the operator's", () =>
    withApps(({ server, recipes }) =>
      Effect.gen(function* () {
        for (const path of ["/events", "/events/stats", "/events/stream"]) {
          expect((yield* server.request("GET", path)).json.code).toBe("unauthorized")
        }
        const asked = { token: recipes, body: {} }
        expect((yield* server.request("POST", "/events/maintenance", asked)).status).toBe(401)
      }),
    ),
  )
})

describe.concurrent("GET /events/stats", () => {
  it.live("counts an app's own; tells sizes to the operator only", () =>
    withApps(({ recipes, garden, get, run }) =>
      Effect.gen(function* () {
        yield* run(recipes)
        yield* run(recipes)
        const listed = seqsIn(yield* get("/events", recipes))
        const { json } = yield* get("/events/stats", recipes)
        expect(json).toEqual({
          ok: true,
          events: {
            count: 7,
            by_type: { "run.completed": 2, "run.queued": 2, "run.started": 2, "token.mint": 1 },
            oldest: { seq: listed.at(-1), at: expect.any(Number) },
            newest: { seq: listed[0], at: expect.any(Number) },
          },
          stream_events: null,
          database: null,
          retention: {
            stream_retention_secs: 3600,
            event_retention_days: 14,
            event_max_rows: 200_000,
            audit_retention_days: 365,
          },
        })
        expect((yield* get("/events/stats", garden)).json.events.by_type).toEqual({ "token.mint": 1 })
        const all = (yield* get("/events/stats", ADMIN_TOKEN)).json
        expect([all.events.count, all.events.by_type["token.mint"]]).toEqual([8, 2])
        expect(all.stream_events.rows).toBeGreaterThanOrEqual(4)
        expect(all.stream_events.bytes).toBeGreaterThan(0)
        expect(all.database.bytes).toBeGreaterThan(all.database.free_bytes)
      }),
    ),
  )
})

const maintain = ({ request }: TestServer, body: unknown) =>
  request("POST", "/events/maintenance", { token: ADMIN_TOKEN, body })

describe.concurrent("POST /events/maintenance", () => {
  it.live("removes what is due, gives space back if asked, and says what came of it", () =>
    withApps(
      ({ server, recipes, run, get }) =>
        Effect.gen(function* () {
          const id = yield* run(recipes, `SAY ${"x".repeat(2_000_000)}`)
          const before = yield* get(`/runs/${id}`, recipes)
          // Whoever waits for a run has a second to read what it said.
          yield* Effect.sleep("1100 millis")
          const kept = yield* maintain(server, {})
          expect(Object.keys(kept.json)).toEqual(["ok", "removed", "before", "after", "duration_ms"])
          expect(kept.json.removed.texts).toBeGreaterThanOrEqual(2)
          expect(kept.json.before.stream_bytes).toBeGreaterThan(2_000_000)
          expect(kept.json.after.stream_bytes).toBe(0)
          expect(kept.json.after.stream_rows).toBe(kept.json.before.stream_rows)
          expect(kept.json.after.free_bytes).toBeGreaterThan(1_000_000)

          const { json } = yield* maintain(server, { vacuum: true })
          expect(json.removed).toEqual({ texts: 0, stream_events: 0, events: 0, idempotency_keys: 0 })
          expect(json.before).toEqual(kept.json.after)
          expect([json.after.free_bytes, json.after.database_bytes < json.before.database_bytes]).toEqual([
            0,
            true,
          ])
          // The run is still known; it has no text any more.
          expect((yield* get(`/runs/${id}`, recipes)).json).toEqual(before.json)
          const stream = yield* Effect.promise(() =>
            openEvents(`${server.url}/runs/${id}/events`, { token: recipes }),
          )
          yield* until(stream, 1)
          expect(stream.events.map(({ event, data }) => [event, data])).toEqual([
            ["resync", '{"oldest_id":null}'],
          ])
          stream.close()
        }),
      // Removes nothing by itself meanwhile.
      { streamRetentionSecs: 0, sweepIntervalSecs: 3600 },
    ),
  )

  it.live("is 400 for what it does not know", () =>
    withApps(({ server }) =>
      Effect.gen(function* () {
        for (const body of [{ vacuum: "yes" }, { vaccum: true }, []]) {
          const { status } = yield* server.request("POST", "/events/maintenance", {
            token: ADMIN_TOKEN,
            body,
          })
          expect(status).toBe(400)
        }
      }),
    ),
  )
})

describe.concurrent("GET /events/stream", () => {
  it.live("tells what comes from now on: named by type, with the list's id and object", () =>
    withApps(({ recipes, garden, get, run, follow }) =>
      Effect.gen(function* () {
        yield* run(recipes)
        const stream = yield* follow("", recipes)
        expect([stream.status, stream.headers.get("content-type")]).toEqual([
          200,
          "text/event-stream; charset=utf-8",
        ])
        expect(stream.headers.get("cache-control")).toBe("no-store, no-transform")
        expect(stream.headers.get("x-accel-buffering")).toBe("no")
        yield* run(garden)
        const id = yield* run(recipes)
        const told = yield* until(stream, 3)
        const { json } = yield* get(`/events?run_id=${id}&after=0`, recipes)
        expect(told).toEqual(
          json.events.map((event: any) => ({
            id: String(event.seq),
            event: event.type,
            data: JSON.stringify(event),
          })),
        )
      }),
    ),
  )

  it.live("goes on after the last event that a client has, also in another life of the server", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const dir = yield* temporaryDirectory
        let token = ""
        const seen: Array<string> = []
        yield* withApps(
          ({ recipes, run, follow }) =>
            Effect.gen(function* () {
              token = recipes
              const stream = yield* follow("?after=0", recipes)
              yield* run(recipes)
              seen.push(...(yield* until(stream, 2)).map(({ id }) => id))
            }),
          {},
          dir,
        )
        const server = yield* startServer({ claudeBin: Option.some(scriptedClaude) }, dir)
        const stream = yield* Effect.promise(() =>
          // The header goes before the parameter.
          openEvents(`${server.url}/events/stream?after=0`, {
            token,
            headers: { "last-event-id": seen.at(-1) ?? "" },
          }),
        )
        yield* server.run(token, { prompt: "SAY hello" })
        seen.push(...(yield* until(stream, 5)).map(({ id }) => id))
        stream.close()
        const { json } = yield* server.request("GET", "/events?after=0", { token })
        expect(seen).toEqual(json.events.map(({ seq }: any) => String(seq)))
      }),
    ),
  )

  it.live("tells only what is asked for: a type, a run; the operator is told of everybody", () =>
    withApps(({ recipes, garden, run, follow }) =>
      Effect.gen(function* () {
        const id = yield* run(recipes)
        const ofRun = yield* follow(`?after=0&run_id=${id}`, recipes)
        const ofType = yield* follow("?after=0&type=run.completed", ADMIN_TOKEN)
        const foreign = yield* follow(`?after=0&run_id=${id}`, garden)
        const other = yield* run(garden)
        expect((yield* until(ofRun, 3)).map(({ event }) => event)).toEqual(OF_A_RUN)
        expect((yield* until(ofType, 2)).map(({ data }) => JSON.parse(data).run_id)).toEqual([id, other])
        expect(foreign.events).toEqual([])
      }),
    ),
  )

  it.live("says once what is kept no more, and goes on from there", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const dir = yield* temporaryDirectory
        const seqs: Array<number> = []
        yield* withApps(
          ({ server, run, recipes, get }) =>
            Effect.gen(function* () {
              yield* run(recipes)
              seqs.push(...seqsIn(yield* get("/events?after=0", ADMIN_TOKEN)))
              // Two tokens and a run: all but the run's last two were long ago.
              const db = new Sqlite(server.config.dbPath)
              db.exec("DROP TRIGGER events_are_append_only")
              db.prepare("UPDATE events SET at = 1000 WHERE seq < ?").run(seqs.at(-2))
              db.close()
            }),
          {},
          dir,
        )
        const server = yield* startServer({ claudeBin: Option.some(scriptedClaude) }, dir)
        const swept = yield* maintain(server, {})
        expect(swept.json.after.events).toBe(2)
        const follow = (query: string) =>
          Effect.promise(() => openEvents(`${server.url}/events/stream${query}`, { token: ADMIN_TOKEN }))
        const late = yield* follow("?after=0")
        const [gone, next] = [seqs.at(-3), seqs.at(-2)]
        expect(yield* until(late, 3)).toMatchObject([
          { id: String(gone), event: "resync", data: JSON.stringify({ oldest_id: String(next) }) },
          { id: String(next), event: "run.started" },
          { event: "run.completed" },
        ])
        const inTime = yield* follow(`?after=${gone}`)
        expect((yield* until(inTime, 2)).map(({ event }) => event)).toEqual(["run.started", "run.completed"])
        late.close()
        inTime.close()
        const { json } = yield* server.request("GET", "/events/stats", { token: ADMIN_TOKEN })
        expect([json.events.count, json.events.oldest.seq]).toEqual([2, next])
      }),
    ),
  )

  it.live("ends when its app's token is revoked", () =>
    withApps(({ server, recipes, garden, follow }) =>
      Effect.gen(function* () {
        const stream = yield* follow("", recipes)
        const other = yield* follow("", garden)
        yield* server.request("DELETE", "/admin/tokens/recipes", { token: ADMIN_TOKEN })
        expect(yield* Effect.promise(() => stream.ended)).toBe("ended")
        expect(JSON.parse(stream.events.at(-1)?.data ?? "{}")).toMatchObject({ code: "unauthorized" })
        yield* server.run(garden, { prompt: "SAY hello" })
        expect((yield* until(other, 3)).map(({ event }) => event)).toEqual(OF_A_RUN)
      }),
    ),
  )
})
