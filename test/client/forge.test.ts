import { openAsBlob, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { inspect } from "node:util"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import {
  ConnectionError,
  Forge,
  ForgeError,
  type ForgeOptions,
  InvalidRequestError,
  NotFoundError,
  PoolFullError,
  QuotaExceededError,
  type RunEvent,
  SessionClosedError,
  SettingsError,
  textOf,
  UnauthorizedError,
} from "../../src/client.ts"
import { cuttingProxy } from "../support/CuttingProxy.ts"
import { scriptedServer, shared } from "../support/Sessions.ts"
import { answerProblem, stubServer } from "../support/StubServer.ts"
import { ADMIN_TOKEN, scriptedClaude } from "../support/TestServer.ts"

/** The client for Promises, against the service on a real socket. */

const server = shared(scriptedServer({ claudeBin: Option.some(scriptedClaude), maxLiveSessions: 2 }))

let apps = 0
const setUp = (options: Partial<ForgeOptions> = {}) =>
  Effect.map(
    Effect.suspend(() => server().mint(`forge-${apps++}`)),
    (token) => ({
      token,
      forge: new Forge({ baseUrl: server().url, token, ...options }),
    }),
  )

/** A test of a `Forge` client with a fresh app, written with Promises as its users write. */
const written = (
  name: string,
  test: (made: { readonly forge: Forge; readonly token: string }) => Promise<void>,
) => it.live(name, () => Effect.flatMap(setUp(), (made) => Effect.promise(() => test(made))))

const rejected = async (promise: Promise<unknown>): Promise<unknown> => {
  try {
    await promise
  } catch (error) {
    return error
  }
  throw new Error("it was not rejected")
}

const gathered = async <A>(events: AsyncIterable<A>): Promise<ReadonlyArray<A>> => {
  const all: Array<A> = []
  for await (const event of events) all.push(event)
  return all
}

/** Waits until the app's newest run has that status. */
const becomes = async (forge: Forge, status: string): Promise<void> => {
  for (let tries = 0; tries < 200; tries++) {
    if ((await forge.runs.list({ limit: 1 })).runs[0]?.status === status) return
    await sleep(50)
  }
  throw new Error(`the run is not ${status}`)
}

const runOf = (events: ReadonlyArray<RunEvent<unknown>>): string => {
  const [begun] = events
  return begun?.type === "run" ? begun.data.run_id : ""
}

describe("Forge", () => {
  written("runs one prompt", async ({ forge }) => {
    const answer = await forge.run('SAY {"qty":2}')
    expect(answer).toEqual({
      ok: true,
      result: { qty: 2 },
      duration_ms: expect.any(Number),
      stop_reason: "end_turn",
      run_id: expect.any(String),
      replayed: false,
    })
    expect(await forge.runs.get(answer.run_id)).toMatchObject({ status: "completed", kind: "run" })
    expect((await forge.runs.list({ limit: 5 })).runs).toHaveLength(1)
    expect(await forge.runs.cancel(answer.run_id)).toEqual({ ok: true, cancelled: false })
    expect((await forge.healthz()).claude_present).toBe(true)
  })

  written("returns the first answer again for the same key", async ({ forge }) => {
    const ask = () => forge.run({ prompt: "SAY once" }, { idempotencyKey: "k", usage: true })
    const [first, second] = [await ask(), await ask()]
    expect(second).toEqual({ ...first, replayed: true })
    expect(first.cost_usd).toBe(0)
  })

  written("uploads bytes, a Blob, a File and a Node file", async ({ forge }) => {
    const path = join(server().dir, "on-disk.txt")
    writeFileSync(path, "four")
    const uploads = [
      await forge.uploadFile(new TextEncoder().encode("one"), { name: "one.txt", ttlSecs: 60 }),
      await forge.uploadFile(new Blob(["two"])),
      await forge.uploadFile(new File(["three"], "three.md"), { idempotencyKey: "three" }),
      await forge.uploadFile(await openAsBlob(path), { name: "four.txt" }),
    ]
    expect(uploads.map(({ size, ttl_secs }) => [size, ttl_secs])).toEqual([
      [3, 60],
      [3, 3600],
      [5, 3600],
      [4, 3600],
    ])
    const files = uploads.map(({ file_token }) => file_token)
    expect((await forge.run({ prompt: "CAT", files })).result).toBe("one,two,three,four")
    expect((await forge.run({ prompt: "LIST", files })).result).toMatchObject({
      files: [/\.txt$/, /file-2[^/]*$/, /\.md$/, /\.txt$/].map((name) => expect.stringMatching(name)),
    })
  })

  written("opens a session, and closes it also after an error", async ({ forge }) => {
    let id = ""
    const leave = async () => {
      await using session = await forge.session({ agent: "scripted", meta: { user: "ada" } })
      id = session.id
      expect((await session.turn("SAY two cups")).text()).toBe("two cups")
      const second = await session.turn({ prompt: "RECALL", timeout_secs: 20 })
      expect(second).toMatchObject({ turn_index: 2, stop_reason: "end_turn", replayed: false })
      expect(JSON.parse(second.text())).toContain("SAY two cups")
      expect(await session.cancel()).toEqual({ ok: true, cancelled: false })
      const told = await gathered(session.stream("SAY three"))
      expect(told.map(({ type }) => type)).toEqual(["run", "message", "delta", "message", "result"])
      expect(await gathered(session.events(3))).toEqual(told)
      throw new Error("left")
    }
    expect(await rejected(leave())).toMatchObject({ message: "left" })
    expect(await forge.sessions.get(id)).toMatchObject({
      status: "closed",
      turn_count: 3,
      meta: { user: "ada" },
    })
    const again = forge.sessions.at(id)
    expect(await again.close()).toMatchObject({ already_closed: true })
    const refused = await rejected(again.turn("SAY more"))
    expect(refused).toBeInstanceOf(SessionClosedError)
    expect((await forge.sessions.list({ includeClosed: false })).sessions).toEqual([])
  })

  written("follows what its agent says between turns, until it is closed", async ({ forge }) => {
    const session = await forge.session({ agent: "scripted" })
    const followed = session.follow()
    const next = async () => (await followed.next()).value
    expect(await next()).toMatchObject({ type: "session.create", data: { session_id: session.id } })
    expect((await session.turn("LATE 20 SAY on time")).text()).toBe("on time")
    const told = [await next(), await next()]
    expect(told.map(({ type }) => type).toSorted()).toEqual(["session.message", "session.turn"])
    const message = told.find(({ type }) => type === "session.message")
    expect(message.data).toMatchObject({ session_id: session.id, run_id: null })
    expect(textOf([message.data.data.message])).toBe("too late")
    await session.close()
    const closed = await gathered(followed)
    expect(closed.map(({ type }) => type)).toEqual(["session.close"])
    const all = await gathered(session.follow())
    expect(all.slice(1, 3)).toEqual(told)
    expect(all.slice(3)).toEqual(closed)
    expect(await gathered(session.follow({ after: all.at(-1)!.id }))).toEqual([])
  })

  written("says what a turn took, and leaves its messages out", async ({ forge }) => {
    await using session = await forge.session({ agent: "scripted" })
    const plain = await session.turn("SAY hello")
    expect([plain.usage, plain.cost_usd, plain.model]).toEqual([undefined, undefined, undefined])
    const usage = { output_tokens: 5 }
    for (const timeout_secs of [60, 3600]) {
      const lean = await session.turn(
        { prompt: "USAGE SAY hello", timeout_secs },
        { usage: true, events: false },
      )
      expect([lean.text(), lean.events]).toEqual(["hello", []])
      expect(lean).toMatchObject({ usage, cost_usd: null })
      const run = await forge.runs.get(lean.run_id)
      expect(run).toMatchObject({ usage, cost_usd: null })
    }
    const events = await gathered(session.stream("USAGE SAY hello", { usage: true }))
    expect(events.at(-1)).toMatchObject({ type: "result", data: { usage } })
    expect((await gathered(session.events(4, { usage: true }))).at(-1)).toEqual(events.at(-1))
  })

  written("streams events, and resumes after a lost connection", async ({ forge, token }) => {
    const events = await gathered(forge.stream("STREAM 3 5"))
    expect(events.at(-1)).toMatchObject({ type: "result", data: { ok: true, stop_reason: "end_turn" } })
    expect(await gathered(forge.runs.events(runOf(events)))).toEqual(events)
    await Effect.runPromise(
      Effect.scoped(
        Effect.gen(function* () {
          const proxy = yield* cuttingProxy(() => server().url)
          proxy.cuts.push(1000, 1000)
          const cut = new Forge({ baseUrl: proxy.url, token })
          const told = yield* Effect.promise(() => gathered(cut.stream("STREAM 5 5")))
          expect(proxy.requests).toHaveLength(3)
          expect(told).toEqual(yield* Effect.promise(() => gathered(forge.runs.events(runOf(told)))))
        }),
      ),
    )
  })

  written("stops reading a stream with `break`, and the run goes on", async ({ forge }) => {
    let run = ""
    for await (const event of forge.stream("STREAM 8 50")) {
      if (event.type === "run") run = event.data.run_id
      if (event.type === "message") break
    }
    const rest = await gathered(forge.runs.events(run))
    expect(rest.at(-1)).toMatchObject({ type: "result", data: { stop_reason: "end_turn" } })
  })

  written("rejects a stream with the problem of its error event", async ({ forge }) => {
    const told: Array<string> = []
    const reading = (async () => {
      for await (const { type } of forge.stream("EXIT 3")) told.push(type)
    })()
    expect(await rejected(reading)).toMatchObject({ code: "run_failed", status: 502, exitCode: 3 })
    expect(told).toEqual(["run"])
  })

  written("streams the log after an event, until a `break`", async ({ forge }) => {
    const { run_id } = await forge.run("SAY a")
    const types: Array<string> = []
    const following = forge.events.stream({ run_id, after: "0" })
    for await (const { type } of following) {
      types.push(type)
      if (type === "run.completed") break
    }
    expect(types).toEqual(["run.queued", "run.started", "run.completed"])
    expect(await following.next()).toEqual({ done: true, value: undefined })
    const listed = await forge.events.list({ run_id })
    expect(listed.events.map(({ type }) => type)).toEqual(types.toReversed())
    expect((await forge.events.stats()).events.count).toBeGreaterThan(2)
  })

  it.live("has the operator's calls", () =>
    Effect.promise(async () => {
      const admin = new Forge({ baseUrl: server().url, adminToken: ADMIN_TOKEN })
      const { token } = await admin.admin.mintToken({ name: "minted", ip_cidrs: ["127.0.0.0/8"] })
      const forge = new Forge({ baseUrl: server().url, token })
      const { run_id } = await forge.run("SAY a")
      expect((await admin.runs.get(run_id)).status).toBe("completed")
      expect((await admin.admin.listTokens()).tokens.map(({ name }) => name)).toContain("minted")
      expect(await admin.admin.revokeToken("minted")).toMatchObject({ already_revoked: false })
      expect(await rejected(forge.run("SAY a"))).toBeInstanceOf(UnauthorizedError)
      expect(await rejected(admin.admin.revokeToken("../x"))).toBeInstanceOf(NotFoundError)
      expect((await admin.admin.maintainEvents()).ok).toBe(true)
    }),
  )

  written("rejects with a class for each code", async ({ forge }) => {
    expect(await rejected(forge.run(" "))).toBeInstanceOf(InvalidRequestError)
    expect(await rejected(forge.runs.get("nothing"))).toBeInstanceOf(NotFoundError)
    const [first, second] = [
      await forge.session({ agent: "scripted" }),
      await forge.session({ agent: "scripted" }),
    ]
    const full = await rejected(forge.session({ agent: "scripted" }))
    expect(full).toBeInstanceOf(PoolFullError)
    expect(full).toMatchObject({ status: 503, retryAfterSecs: 30, retryable: true })
    await Promise.all([first.close(), second.close()])
    const large = await Promise.all(
      Array.from({ length: 5 }, () =>
        forge.uploadFile(new Blob([new Uint8Array(1024 * 1024)])).catch((e) => e),
      ),
    )
    expect(large.filter((one) => one instanceof QuotaExceededError).length).toBeGreaterThan(0)
  })
})

describe("an AbortSignal", () => {
  written("rejects a call with its reason, and cancels the run", async ({ forge }) => {
    const controller = new AbortController()
    const why = new Error("enough")
    const asking = rejected(forge.run("HOLD", { signal: controller.signal }))
    await becomes(forge, "running")
    controller.abort(why)
    expect(await asking).toBe(why)
    await becomes(forge, "cancelled")
    // A signal that is already aborted: the call sends no request.
    expect(await rejected(forge.run("SAY a", { signal: controller.signal }))).toBe(why)
    expect(await rejected(forge.stream("SAY a", { signal: controller.signal }).next())).toBe(why)
    expect((await forge.runs.list()).runs).toHaveLength(1)
  })

  written("ends a stream with its reason, during a pending next and between two", async ({ forge }) => {
    for (const waits of [true, false]) {
      const controller = new AbortController()
      const events = forge.stream("HOLD", { signal: controller.signal })
      const { value } = await events.next()
      expect(value.type).toBe("run")
      const next = waits ? rejected(events.next()) : undefined
      controller.abort("enough")
      expect(await (next ?? rejected(events.next()))).toBe("enough")
      expect(await events.next()).toEqual({ done: true, value: undefined })
      expect(await forge.runs.cancel(value.data.run_id)).toEqual({ ok: true, cancelled: true })
    }
  })

  written("works with every call", async ({ forge }) => {
    const signal = AbortSignal.abort("before")
    const calls = [
      forge.healthz({ signal }),
      forge.uploadFile(new Blob(["a"]), { signal }),
      forge.session({ agent: "scripted" }, { signal }),
      forge.runs.get("a", { signal }),
      forge.runs.list({}, { signal }),
      forge.runs.cancel("a", { signal }),
      forge.runs.events("a", { signal }).next(),
      forge.events.list({}, { signal }),
      forge.events.stats({ signal }),
      forge.events.stream({}, { signal }).next(),
      forge.sessions.at("a").turn("SAY a", { signal }),
      forge.sessions.at("a").stream("SAY a", { signal }).next(),
      forge.sessions.at("a").cancel({ signal }),
      forge.sessions.at("a").close({ signal }),
      forge.sessions.list({}, { signal }),
      forge.admin.listTokens({ signal }),
      forge.admin.mintToken({ name: "a" }, { signal }),
      forge.admin.revokeToken("a", { signal }),
    ]
    for (const call of calls) expect(await rejected(call)).toBe("before")
  })
})

describe("an answer that may take longer than fetch waits", () => {
  written("is read as a stream, with the same result", async ({ forge }) => {
    const short = await forge.run("SAY a")
    const long = await forge.run({ prompt: "SAY a", timeout_secs: 3600 }, { idempotencyKey: "long" })
    expect(Object.keys(long)).toEqual(Object.keys(short))
    expect(long).toMatchObject({ result: "a", replayed: false })
    expect(await forge.run({ prompt: "SAY a", timeout_secs: 3600 }, { idempotencyKey: "long" })).toEqual({
      ...long,
      replayed: true,
    })
    await using session = await forge.session({ agent: "scripted" })
    const [first, second] = [
      await session.turn("SAY a"),
      await session.turn({ prompt: "SAY a", timeout_secs: 3600 }),
    ]
    expect(second.text()).toBe("a")
    expect(Object.keys(second).sort()).toEqual(Object.keys(first).sort())
    expect(second.events.map((event) => Object.keys(event))).toEqual(
      first.events.map((event) => Object.keys(event)),
    )
    expect(await rejected(forge.run({ prompt: "EXIT 3", timeout_secs: 3600 }))).toMatchObject({ exitCode: 3 })
  })

  written("is cancelled when the call is aborted", async ({ forge }) => {
    const controller = new AbortController()
    const asking = rejected(forge.run({ prompt: "HOLD", timeout_secs: 3600 }, { signal: controller.signal }))
    await becomes(forge, "running")
    controller.abort("enough")
    expect(await asking).toBe("enough")
    await becomes(forge, "cancelled")
  })
})

/** All texts that a program could print of a value. */
const shown = (value: unknown): string =>
  [String(value), JSON.stringify(value), inspect(value, { depth: 99, showHidden: true, getters: true })].join(
    "\n",
  )

describe("a token", () => {
  const SECRET = "cf_hunter2-hunter2-hunter2"
  it("does not appear in the client, its sessions or its streams", () => {
    const forge = new Forge({ baseUrl: "http://127.0.0.1:1", token: SECRET, adminToken: SECRET })
    const session = forge.sessions.at("1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed")
    for (const value of [forge, session, forge.stream("a"), session.stream("a"), { forge }]) {
      expect(shown(value)).not.toContain("hunter2")
    }
  })

  it.scopedLive("does not appear in any error, nor in an error's causes", () =>
    Effect.gen(function* () {
      const stub = yield* stubServer((request, response) => {
        const path = request.url ?? ""
        if (path.startsWith("/runs/html"))
          response.writeHead(418, { "content-type": "text/html" }).end("<p>no")
        else if (path.startsWith("/runs/json"))
          response.writeHead(200, { "content-type": "application/json" }).end("{}")
        else if (path.startsWith("/runs/half")) response.writeHead(200, { "content-length": "10" }).write("{")
        else answerProblem(response, 401, "unauthorized")
        if (path.startsWith("/runs/half")) setTimeout(() => response.destroy(), 10)
      })
      const tokens = { token: SECRET, adminToken: SECRET }
      const forge = new Forge({ baseUrl: stub.url, ...tokens })
      const gone = yield* Effect.scoped(stubServer(() => {}))
      const nobody = new Forge({ baseUrl: gone.url, ...tokens })
      const throwing = new Forge({
        baseUrl: stub.url,
        ...tokens,
        fetch: (_, init) =>
          Promise.reject(new TypeError(`no: ${JSON.stringify(init?.headers)}`, { cause: init })),
      })
      const errors = yield* Effect.promise(() =>
        Promise.all(
          [
            forge.runs.get("html"),
            forge.runs.get("json"),
            forge.runs.get("half"),
            forge.runs.get("problem"),
            forge.runs.get(".."),
            forge.run(" "),
            forge.run("a"),
            forge.stream("a").next(),
            forge.runs.events("html").next(),
            forge.admin.listTokens(),
            forge.uploadFile(new Blob(["a"])),
            nobody.run("a"),
            nobody.stream("a").next(),
            throwing.run("a"),
            throwing.stream("a").next(),
            forge.run("a", { signal: AbortSignal.timeout(0) }),
          ].map(rejected),
        ),
      )
      const settings = yield* Effect.try({
        try: () => new Forge({ baseUrl: "http://127.0.0.1", token: `${SECRET} \n` }),
        catch: (error) => error,
      }).pipe(Effect.flip)
      expect(settings).toBeInstanceOf(SettingsError)
      for (const error of [...errors.slice(0, -1), settings]) expect(error).toBeInstanceOf(ForgeError)
      for (const error of [...errors, settings]) expect(shown(error)).not.toContain("hunter2")
      expect(errors.filter((error) => error instanceof ConnectionError).map(String)).toEqual([
        expect.stringContaining(`ConnectionError: the connection to ${stub.url} was lost`),
        `ConnectionError: ${gone.url} cannot be reached: ECONNREFUSED`,
        `ConnectionError: ${gone.url} cannot be reached: ECONNREFUSED`,
        `ConnectionError: ${stub.url} cannot be reached`,
        `ConnectionError: ${stub.url} cannot be reached`,
      ])
    }),
  )
})
