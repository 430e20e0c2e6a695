import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { makeMemoryAccount, MemoryBudget } from "../../src/services/memory/MemoryBudget.ts"
import { startForge } from "../support/TestServer.ts"

const full = { _tag: "Overloaded", because: "memory", retryAfterSecs: 5 }

describe("an account of memory", () => {
  it.effect("gives out no more than there is, and all of it again", () =>
    Effect.gen(function* () {
      const account = makeMemoryAccount(100)
      const [one, other] = [account.open(), account.open()]
      yield* one.take(60)
      expect(yield* Effect.flip(other.take(41))).toMatchObject(full)
      // What was refused takes nothing.
      yield* other.take(40)
      expect(yield* Effect.flip(one.take(1))).toMatchObject(full)
      yield* one.giveBack
      yield* one.giveBack
      yield* other.take(60)
      expect(yield* Effect.flip(other.take(1))).toMatchObject(full)
    }),
  )

  it.effect("lets one share take over from another", () =>
    Effect.gen(function* () {
      const account = makeMemoryAccount(100)
      const [request, run] = [account.open(), account.open()]
      yield* request.take(60)
      yield* run.takeFrom(request, 90)
      expect([request.taken, run.taken]).toEqual([0, 90])
      expect(yield* Effect.flip(run.takeFrom(request, 11))).toMatchObject(full)
      yield* request.giveBack
      yield* run.takeFrom(request, 10)
      yield* run.giveBack
      yield* request.take(100)
    }),
  )
})

describe("an account of memory with owners", () => {
  it.effect("leaves half to others, however many shares one owner opens", () =>
    Effect.gen(function* () {
      const account = makeMemoryAccount(100)
      const of = (owner: string) => {
        const share = account.open()
        share.assign(owner)
        return share
      }
      const [one, two, other] = [of("slow"), of("slow"), of("other")]
      yield* one.take(30)
      yield* two.take(20)
      expect(yield* Effect.flip(two.take(1))).toMatchObject(full)
      expect(yield* Effect.flip(of("slow").take(1))).toMatchObject(full)
      // What is done is answered as long as there is memory at all.
      yield* two.takeForAnswer(1)
      yield* other.take(49)
      expect(yield* Effect.flip(two.takeForAnswer(1))).toMatchObject(full)
      yield* Effect.all([one.giveBack, two.giveBack, other.giveBack])
      yield* two.take(50)
      yield* two.giveBack
      yield* one.take(100)
    }),
  )

  it.effect("lets the only text of an owner be larger, also when its run takes it over", () =>
    Effect.gen(function* () {
      const account = makeMemoryAccount(100)
      const [request, run] = [account.open(), account.open()]
      yield* request.take(10)
      request.assign("app")
      run.assign("app")
      yield* request.take(85)
      yield* run.takeFrom(request, 80)
      expect([request.taken, run.taken]).toEqual([15, 80])
      expect(yield* Effect.flip(run.take(1))).toMatchObject(full)
    }),
  )
})

/** A service whose memory suffices for one prompt of that length, and not for two. */
const LARGE = "x".repeat(300_000)
const startSmall = Effect.provideService(
  Effect.suspend(() => startForge()),
  MemoryBudget,
  makeMemoryAccount(1_000_000),
)

describe("the memory of the service", () => {
  it.live.each([
    ["run", "continue"],
    ["run", "cancel"],
    ["turn", "continue"],
  ])("is taken by the prompt of a %s until its end, whether its client waits or not (%s)", ([kind, on]) =>
    Effect.gen(function* () {
      const server = yield* startSmall
      const { token, claude, agents } = server.forge
      const opened = yield* server.request("POST", "/sessions", { token, body: {} })
      const path = kind === "run" ? "/run" : `/sessions/${opened.json.session_id}/turn`
      const ask = (prompt: string) =>
        server.request("POST", path, { token, body: { prompt, on_disconnect: on } })

      const held = kind === "run" ? claude.hold() : agents.hold()
      const first = yield* Effect.fork(ask(LARGE))
      yield* held.started
      if (on === "continue") yield* Fiber.interrupt(first)

      const refused = yield* ask(LARGE)
      expect([refused.status, refused.json.code]).toEqual([503, "overloaded"])
      expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0)
      // What is small needs none of it.
      if (kind === "run") expect((yield* ask("hello")).status).toBe(200)

      held.release()
      yield* held.ended
      const again = yield* Effect.repeat(ask(LARGE), { until: ({ status }) => status === 200 })
      expect(again.json.ok).toBe(true)
    }).pipe(Effect.scoped),
  )

  it.live("is given back by a request that is refused for another reason", () =>
    Effect.gen(function* () {
      const server = yield* startSmall
      const { token } = server.forge
      for (let n = 0; n < 10; n++) {
        expect((yield* server.run(token, { prompt: LARGE, files: ["ff_nobodys"] })).status).toBeGreaterThan(
          399,
        )
        expect((yield* server.run(token, { promt: LARGE })).status).toBe(400)
      }
      expect((yield* server.run(token, { prompt: LARGE })).status).toBe(200)
    }).pipe(Effect.scoped),
  )

  it.live("refuses a body that is larger than it while it arrives", () =>
    Effect.gen(function* () {
      const server = yield* startSmall
      const answer = yield* server.run(server.forge.token, { prompt: "x".repeat(600_000) })
      expect([answer.status, answer.json.error]).toEqual([
        503,
        "the service has as many large requests in hand as its memory allows",
      ])
    }).pipe(Effect.scoped),
  )

  it.live("is taken by the long answer of a run, which fails if there is none left, until the run ends", () =>
    Effect.gen(function* () {
      const server = yield* startSmall
      const { token, claude } = server.forge
      const say = (pieces: number) => {
        const held = claude.hold()
        for (let n = 0; n < pieces; n++) held.say("x".repeat(100_000))
        return held
      }
      // Of its prompt and its answer, each alone would fit.
      say(4).release()
      const both = yield* server.run(token, { prompt: LARGE })
      expect([both.status, both.json.code, both.json.retryable]).toEqual([503, "overloaded", true])
      const { json } = yield* server.request("GET", "/runs", { token })
      expect(json.runs).toMatchObject([{ status: "failed", code: "overloaded" }])
      for (let n = 0; n < 3; n++) {
        say(4).release()
        expect((yield* server.run(token, { prompt: "hello" })).json.result).toHaveLength(400_000)
        expect((yield* server.run(token, { prompt: LARGE })).status).toBe(200)
      }
    }).pipe(Effect.scoped),
  )

  it.live("is taken by the long answer of a turn until it is sent; its stream needs none", () =>
    Effect.gen(function* () {
      const server = yield* startSmall
      const { token, agents } = server.forge
      const { json } = yield* server.request("POST", "/sessions", { token, body: {} })
      const turn = `/sessions/${json.session_id}/turn`
      agents.nextAnswer("y".repeat(2_000_000))
      const request = { token, body: { prompt: "hello" }, headers: { "idempotency-key": "k" } }
      const answer = yield* server.request("POST", turn, request)
      expect([answer.status, answer.json.code]).toEqual([503, "overloaded"])
      expect((yield* server.request("POST", `${turn}?events=none`, request)).status).toBe(200)
      const replay = `${turn}s/1/events?include=text`
      for (let n = 0; n < 2; n++) {
        const { status, text } = yield* server.request("GET", replay, { token })
        expect([status, text.length > 4_000_000]).toEqual([200, true])
      }
      expect((yield* server.run(token, { prompt: LARGE })).status).toBe(200)
    }).pipe(Effect.scoped),
  )
})
