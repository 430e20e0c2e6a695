import { readdirSync } from "node:fs"
import { request as httpRequest } from "node:http"
import { describe, expect, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import { Effect, Option } from "effect"
import { scriptedServer, shared } from "../support/Sessions.ts"
import { type Answer, eventually, fileForm, overSocket, scriptedClaude } from "../support/TestServer.ts"

/** `Idempotency-Key` on real sockets: what is asked for twice is done once. */

/** No sweep removes a file while they are counted. */
const limits = { maxLiveSessions: 1000, sweepIntervalSecs: 3600 }
const server = shared(scriptedServer({ claudeBin: Option.some(scriptedClaude), ...limits }))

let names = 0
/** A new app, so that no test knows the keys of another. */
const newApp = Effect.suspend(() => server().mint(`app-${++names}`))

const post = (token: string, path: string, key: string | undefined, body: object, headers = {}) =>
  server().request("POST", path, {
    token,
    body,
    headers: { ...(key === undefined ? {} : { "idempotency-key": key }), ...headers },
  })

const upload = (token: string, key: string | undefined, form: FormData) =>
  server().request("POST", "/files", {
    token,
    form,
    headers: key === undefined ? {} : { "idempotency-key": key },
  })

const isReplayed = ({ headers }: Answer) => headers.get("idempotent-replayed")

const expectConflict = (answer: Answer) => {
  expect([answer.status, answer.json.code, answer.json.retryable]).toEqual([
    409,
    "idempotency_conflict",
    false,
  ])
  expect(isReplayed(answer)).toBeNull()
}

const many = <A>(count: number, one: Effect.Effect<A>) =>
  Effect.all(
    Array.from({ length: count }, () => one),
    { concurrency: "unbounded" },
  )

const rows = (query: string): ReadonlyArray<any> => {
  const db = new Sqlite(server().config.dbPath, { readonly: true })
  try {
    return db.prepare(query).all()
  } finally {
    db.close()
  }
}

/** A file as large as may be, and one that is larger. */
const full = (n: number) => fileForm(`${n}`.repeat(1024 * 1024 - 1), "a")
const large = () => fileForm("x".repeat(1024 * 1024 + 1), "a")

const SCRIPTED = { agent: "scripted" }

describe("a key", () => {
  it.live.each<[string, string]>([
    ["empty", ""],
    ["blank", "   "],
    ["too long", "k".repeat(256)],
    ["with a tab inside", "a\tb"],
    ["of Latin-1", "clé"],
  ])("that is %s is refused, in words that do not repeat it", ([, key]) =>
    Effect.gen(function* () {
      const token = yield* newApp
      const received = yield* overSocket(
        server().url,
        [
          `POST /sessions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: 20\r\nIdempotency-Key: `,
          Buffer.from(key, "latin1"),
          `\r\n\r\n{"agent":"scripted"}`,
        ],
        /"issues":.*\}/,
      )
      expect(received).toMatch(/^HTTP\/1\.1 400 /)
      const { code, error, issues } = JSON.parse(received.slice(received.indexOf("{")))
      expect([code, issues]).toEqual([
        "invalid_request",
        [{ path: ["idempotency-key"], message: "must be 1 to 255 printable ASCII characters" }],
      ])
      expect(error).toBe("idempotency-key must be 1 to 255 printable ASCII characters")
    }),
  )

  it.live("may be any 255 printable characters", () =>
    Effect.gen(function* () {
      const token = yield* newApp
      const printable = Array.from({ length: 95 }, (_, n) => String.fromCharCode(0x20 + n)).join("")
      for (const key of ["k", "k".repeat(255), `~${printable}~`]) {
        const first = yield* post(token, "/sessions", key, SCRIPTED)
        const again = yield* post(token, "/sessions", ` ${key} `, SCRIPTED)
        expect([first.status, isReplayed(first), isReplayed(again)]).toEqual([200, null, "true"])
      }
    }),
  )

  it.live("that comes twice in a request is no key that comes once", () =>
    Effect.gen(function* () {
      const token = yield* newApp
      const first = yield* post(token, "/sessions", "one", SCRIPTED)
      const both = yield* Effect.promise(
        () =>
          new Promise<string>((resolve, reject) => {
            const request = httpRequest(`${server().url}/sessions`, {
              method: "POST",
              headers: {
                authorization: `Bearer ${token}`,
                "content-type": "application/json",
                "idempotency-key": ["one", "two"],
              },
            })
            request.on("error", reject).on("response", (response) => {
              let text = ""
              response.on("data", (data) => (text += String(data))).on("end", () => resolve(text))
            })
            request.end(JSON.stringify(SCRIPTED))
          }),
      )
      expect(JSON.parse(both)).toMatchObject({ ok: true })
      expect(JSON.parse(both).session_id).not.toBe(first.json.session_id)
    }),
  )
})

describe("POST /sessions with a key", () => {
  it.live("opens one session, and gives the first answer again, byte for byte", () =>
    Effect.gen(function* () {
      const token = yield* newApp
      const body = { ...SCRIPTED, meta: { user: "ada", "": [null] } }
      const first = yield* post(token, "/sessions", "k", body)
      const again = yield* post(token, "/sessions", "k", { meta: body.meta, model: null, agent: "scripted" })
      expect([first.status, isReplayed(first)]).toEqual([200, null])
      expect([again.status, isReplayed(again), again.text]).toEqual([200, "true", first.text])
      expect(again.headers.get("x-request-id")).not.toBe(first.headers.get("x-request-id"))
      const { json } = yield* server().request("GET", "/sessions", { token })
      expect(json.sessions).toHaveLength(1)
    }),
  )

  it.live("opens one session for fifty that come at once", () =>
    Effect.gen(function* () {
      const token = yield* newApp
      const answers = yield* many(50, post(token, "/sessions", "k", SCRIPTED))
      expect(new Set(answers.map(({ text }) => text)).size).toBe(1)
      expect(answers.filter((answer) => isReplayed(answer) === null)).toHaveLength(1)
      const { json } = yield* server().request("GET", "/sessions", { token })
      expect(json.sessions).toHaveLength(1)
    }),
  )

  it.live("gives the first answer again also when the session is closed", () =>
    Effect.gen(function* () {
      const token = yield* newApp
      const first = yield* post(token, "/sessions", "k", SCRIPTED)
      yield* server().request("DELETE", `/sessions/${first.json.session_id}`, { token })
      expect((yield* post(token, "/sessions", "k", SCRIPTED)).text).toBe(first.text)
    }),
  )

  it.live("refuses another request under the same key", () =>
    Effect.gen(function* () {
      const token = yield* newApp
      const first = yield* post(token, "/sessions", "k", SCRIPTED)
      for (const other of [
        { ...SCRIPTED, meta: {} },
        { ...SCRIPTED, model: "opus" },
        { ...SCRIPTED, permission_mode: "approve-all" },
      ])
        expectConflict(yield* post(token, "/sessions", "k", other))
      expect((yield* post(token, "/sessions", "k", SCRIPTED)).text).toBe(first.text)
    }),
  )

  it.live("knows no key of another app or another route", () =>
    Effect.gen(function* () {
      const [mine, theirs] = [yield* newApp, yield* newApp]
      const first = yield* post(mine, "/sessions", "k", SCRIPTED)
      const other = yield* post(theirs, "/sessions", "k", { ...SCRIPTED, meta: { not: "theirs" } })
      expect([other.status, isReplayed(other)]).toEqual([200, null])
      expect(other.json.session_id).not.toBe(first.json.session_id)
      expect(isReplayed(yield* upload(mine, "k", fileForm("x")))).toBeNull()
    }),
  )

  it.live("leaves the key of a refused request free", () =>
    Effect.gen(function* () {
      const token = yield* newApp
      const refused = yield* post(token, "/sessions", "k", { agent: "unknown" })
      expect([refused.status, isReplayed(refused)]).toEqual([400, null])
      const opened = yield* post(token, "/sessions", "k", SCRIPTED)
      expect([opened.status, isReplayed(opened)]).toEqual([200, null])
    }),
  )

  it.live("leaves the key free while the pool is full", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const small = yield* scriptedServer({ maxLiveSessions: 1 })
        const app = yield* small.app("recipes")
        const open = small.request("POST", "/sessions", {
          token: app.token,
          body: SCRIPTED,
          headers: { "idempotency-key": "k" },
        })
        const only = yield* app.opened()
        expect((yield* open).json.code).toBe("pool_full")
        yield* app.close(only)
        const opened = yield* open
        expect([opened.status, isReplayed(opened)]).toEqual([200, null])
        // What is there already needs no place.
        expect([(yield* open).status, isReplayed(yield* open)]).toEqual([200, "true"])
      }),
    ),
  )

  it.live("leaves the key free when the agent does not open a session", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const failing = yield* scriptedServer({ flags: "--fail-new" })
        const token = yield* failing.mint("recipes")
        const headers = { "idempotency-key": "k" }
        const open = (body: object) => failing.request("POST", "/sessions", { token, body, headers })
        const answers = [...(yield* many(3, open(SCRIPTED))), yield* open({ ...SCRIPTED, meta: {} })]
        expect(answers.map(({ json }) => json.code)).toEqual(Array(4).fill("agent_unavailable"))
        expect(answers.map(isReplayed)).toEqual([null, null, null, null])
      }),
    ),
  )
})

describe("POST /files with a key", () => {
  it.live("takes one file, and gives the first answer again, byte for byte", () =>
    Effect.gen(function* () {
      const token = yield* newApp
      const before = readdirSync(server().config.filesDir).length
      const first = yield* upload(token, "k", fileForm("two cups", "a.txt", 120))
      const again = yield* upload(token, "k", fileForm("two cups", "a.txt", 120))
      expect([first.status, isReplayed(first)]).toEqual([200, null])
      expect([again.status, isReplayed(again), again.text]).toEqual([200, "true", first.text])
      expect(readdirSync(server().config.filesDir)).toHaveLength(before + 1)
      const answer = yield* server().run(token, { prompt: "CAT", files: [again.json.file_token] })
      expect(answer.json.result).toBe("two cups")
    }),
  )

  it.live("takes an hour for the time that nobody names", () =>
    Effect.gen(function* () {
      const token = yield* newApp
      const first = yield* upload(token, "k", fileForm("x", "a"))
      expect((yield* upload(token, "k", fileForm("x", "a", 3600))).text).toBe(first.text)
    }),
  )

  it.live.each<[string, FormData]>([
    ["content", fileForm("three cups", "a.txt", 120)],
    ["content of the same length", fileForm("two cupz", "a.txt", 120)],
    ["name", fileForm("two cups", "b.txt", 120)],
    ["time", fileForm("two cups", "a.txt", 121)],
  ])("refuses another %s under the same key, and keeps nothing of it", ([, form]) =>
    Effect.gen(function* () {
      const token = yield* newApp
      yield* upload(token, "k", fileForm("two cups", "a.txt", 120))
      const before = readdirSync(server().config.filesDir)
      expectConflict(yield* upload(token, "k", form))
      expect(readdirSync(server().config.filesDir)).toEqual(before)
    }),
  )

  it.live("takes one file of twenty that come at once", () =>
    Effect.gen(function* () {
      const token = yield* newApp
      const before = readdirSync(server().config.filesDir).length
      const answers = yield* many(20, upload(token, "k", fileForm("x".repeat(100_000))))
      expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(200))
      expect(new Set(answers.map(({ text }) => text)).size).toBe(1)
      expect(answers.filter((answer) => isReplayed(answer) === null)).toHaveLength(1)
      yield* eventually(() => expect(readdirSync(server().config.filesDir)).toHaveLength(before + 1))
    }),
  )

  it.live("answers again to an app that has no room for another", () =>
    Effect.gen(function* () {
      const token = yield* newApp
      const first = yield* upload(token, "k1", full(1))
      for (const n of [2, 3, 4]) expect((yield* upload(token, `k${n}`, full(n))).status).toBe(200)
      expect((yield* upload(token, "k5", full(5))).json.code).toBe("quota_exceeded")
      const again = yield* upload(token, "k1", full(1))
      expect([again.status, isReplayed(again), again.text]).toEqual([200, "true", first.text])
      expectConflict(yield* upload(token, "k1", full(6)))
    }),
  )

  it.live("refuses what is too large, or no form, whether the key is known or not", () =>
    Effect.gen(function* () {
      const token = yield* newApp
      expect((yield* upload(token, "k", large())).json.code).toBe("payload_too_large")
      const empty = new FormData()
      empty.set("ttl_secs", "60")
      expect((yield* upload(token, "k", empty)).json.code).toBe("invalid_request")
      const first = yield* upload(token, "k", fileForm("x"))
      expect([first.status, isReplayed(first)]).toEqual([200, null])
      expect((yield* upload(token, "k", large())).json.code).toBe("payload_too_large")
      expect((yield* upload(token, "k", empty)).json.code).toBe("invalid_request")
      expect(isReplayed(yield* upload(token, "k", fileForm("x")))).toBe("true")
    }),
  )

  it.live("keeps hashes of a request only", () =>
    Effect.gen(function* () {
      const token = yield* newApp
      yield* upload(token, "canary-key", fileForm("canary-content", "canary-name"))
      const kept = rows("SELECT * FROM idempotency_keys WHERE key = 'canary-key'")
      expect(kept).toHaveLength(1)
      expect(kept[0].fingerprint).toMatch(/^[0-9a-f]{64}$/)
      expect(JSON.stringify(kept)).not.toMatch(/canary-(content|name)/)
    }),
  )
})
