import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { beforeAll, describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { realClaude } from "../support/RealClaude.ts"
import { appOf, backends, shared } from "../support/Sessions.ts"
import { isSoak } from "../support/Scale.ts"
import { ADMIN_TOKEN, startServer } from "../support/TestServer.ts"

/**
 * A service on the real `claude` with the login of a subscription, whose provider refuses it: for runs, and for turns by
 * way of the real adapter.
 */

const real = realClaude()

/** Logs in anew, as `claude /login` does. */
const logIn = (token: string) => {
  const login = { accessToken: token, expiresAt: Date.now() + 100 * 3_600_000, scopes: ["user:inference"] }
  mkdirSync(join(real.home, ".claude"), { recursive: true })
  writeFileSync(join(real.home, ".claude", ".credentials.json"), JSON.stringify({ claudeAiOauth: login }))
}

beforeAll(() => {
  delete process.env["ANTHROPIC_API_KEY"]
  process.env["CLAUDE_CODE_MAX_RETRIES"] = "0"
})

/** By way of acpx, the times of limits come from its words only. */
const BACKENDS = isSoak ? (["direct", "acpx"] as const) : backends

describe.each(BACKENDS)("the login of the real claude by way of %s", (agentBackend) => {
  const world = shared(
    Effect.gen(function* () {
      // First: the service asks for the login when it starts.
      logIn(`sk-ant-oat01-first-${agentBackend}`)
      const server = yield* startServer({ agentBackend, acpxBin: Option.none() })
      const token = yield* server.mint("recipes")
      return { server, token, app: appOf(server, token) }
    }),
  )

  it.live(
    "is asked again for a refused turn with the same key; what turns cost is recorded, also of one that failed",
    () =>
      Effect.gen(function* () {
        const { server, token, app } = world()
        const session = yield* app.opened({ model: "sonnet" })
        const turn = (prompt: string, key: string) =>
          server.request("POST", `/sessions/${session}/turn?include=usage`, {
            token,
            body: { prompt },
            headers: { "idempotency-key": key },
          })
        const told = {
          usage: { input_tokens: 12, output_tokens: 3 },
          cost_usd: expect.toSatisfy((usd: number) => usd > 0),
          model: expect.stringMatching(/^claude-sonnet-/),
        }
        expect((yield* turn("SAY hello", "hello")).json).toMatchObject({ ok: true, ...told })

        // The adapter says the provider's words like an answer, and then fails: they are none.
        for (const nth of ["first", "second"]) {
          real.api.reset()
          const refused = yield* turn("REFUSE minute", "minute")
          expect([nth, refused.status, refused.json.code]).toEqual([nth, 429, "rate_limited"])
          expect(refused.headers.get("idempotent-replayed")).toBe(null)
          expect(real.api.requests.filter(({ prompt }) => prompt === "REFUSE minute")).not.toEqual([])
        }

        // The agent shortens the conversation first, which costs something.
        expect((yield* turn("REFUSE tokens", "tokens")).status).toBe(400)
        const { json } = yield* server.request("GET", `/runs?session_id=${session}`, { token })
        expect(json.runs[0]).toMatchObject({ status: "failed", cost_usd: told.cost_usd })
        yield* app.close(session)

        real.api.reset()
        const opened = yield* app.open({ model: "no-such-model" })
        const answer = opened.status === 200 ? yield* app.turn(opened.json.session_id, "SAY hello") : opened
        expect(answer.json).toMatchObject({ status: 400, code: "model_not_found" })
        expect(real.api.requests.filter(({ model }) => model !== "no-such-model")).toEqual([])
      }),
  )

  it.live(
    "is missing once the provider refuses it, and is tried when it changes; limits hold for their models",
    () =>
      Effect.gen(function* () {
        const { server, token, app } = world()
        const run = (prompt: string, model = "sonnet") => server.run(token, { prompt, model })
        /** Asks, and expects to be refused without a request to the provider. */
        const refusedAtOnce = (ask: ReturnType<typeof run>) =>
          Effect.gen(function* () {
            real.api.reset()
            const answer = yield* ask
            expect(real.api.requests).toEqual([])
            return answer
          })
        const login = Effect.gen(function* () {
          const { json } = yield* server.request("GET", "/healthz")
          const { text, status } = yield* server.request("GET", "/readyz")
          return [json.login, status, /^(\w+) login: .*$/m.exec(text)?.[0]]
        })
        const session = yield* app.opened({ model: "sonnet" })
        expect((yield* run("SAY hello")).json.result).toBe("hello")

        // Whichever refusal comes first, both routes know it.
        expect((yield* run("REFUSE expired")).json).toMatchObject({ status: 503, code: "not_logged_in" })
        const dead = yield* refusedAtOnce(app.turn(session, "SAY hello"))
        expect(dead.json).toMatchObject({ status: 503, code: "not_logged_in" })
        expect(dead.json.error).toContain("OAuth token has expired")
        expect(Number(dead.headers.get("retry-after"))).toBeLessThanOrEqual(30)
        expect((yield* refusedAtOnce(run("SAY hello", "opus"))).json.code).toBe("not_logged_in")
        expect(yield* login).toEqual([
          "missing",
          503,
          expect.stringMatching(/^fail login: the provider does not/),
        ])

        logIn(`sk-ant-oat01-another-${agentBackend}`)
        expect((yield* run("SAY back again")).json.result).toBe("back again")
        expect(yield* login).toEqual(["ok", 200, "ok login: present"])

        // A limit of some models, told by a turn, holds for runs too.
        const limited = yield* app.turn(session, "REFUSE sonnet_week")
        expect(limited.json).toMatchObject({ status: 429, code: "rate_limited", retryable: true })
        const secs = Number(limited.headers.get("retry-after"))
        expect(secs).toBeGreaterThan(172_000)
        expect(secs).toBeLessThanOrEqual(172_860)
        expect(limited.json.resets_at).toBeGreaterThan(Date.now() / 1000 + 172_000)
        const again = yield* refusedAtOnce(run("SAY hello"))
        expect(again.json).toMatchObject({
          status: 429,
          code: "rate_limited",
          resets_at: limited.json.resets_at,
        })
        expect((yield* run("SAY hello", "opus")).json.result).toBe("hello")
        expect(yield* login).toEqual([
          "ok",
          200,
          expect.stringMatching(/^ok login: present; sonnet is limited until/),
        ])

        expect((yield* run("REFUSE five_hours", "opus")).json).toMatchObject({
          status: 429,
          code: "rate_limited",
        })
        expect((yield* refusedAtOnce(app.turn(session, "SAY hello"))).json.code).toBe("rate_limited")
        expect(yield* login).toEqual(["limited", 503, expect.stringMatching(/^fail login: limited until/)])

        // The newest first.
        const events = yield* server.request("GET", "/events?type=login.changed", { token: ADMIN_TOKEN })
        expect(events.json.events.map(({ data }: any) => data.state)).toEqual(["limited", "ok", "missing"])
      }),
  )
})
