import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber, Option, Scope, Stream } from "effect"
import type { TokenId } from "../../src/domain/Ids.ts"
import {
  AGENT,
  alive,
  type Agents,
  type Backend,
  BACKENDS,
  killed,
  makeAgents,
  openSession,
  OWNER,
  reopened,
  saidIn,
} from "../support/AgentClient.ts"
import { eventually } from "../support/TestServer.ts"

/** The failure of an effect; a shortcut with a type that is easy to read. */
const failureOf = <A, R>(effect: Effect.Effect<A, unknown, R>) =>
  Effect.flip(effect) as Effect.Effect<Error & { readonly _tag: string; readonly reason?: string }, A, R>

const contract = (backend: Backend) => {
  /** A test with agents of its own. It also fails when a process is left at its end. */
  const check = (
    name: string,
    body: (agents: Agents) => Effect.Effect<unknown, unknown, Scope.Scope>,
  ): void =>
    it.live(name, () =>
      Effect.scoped(
        Effect.gen(function* () {
          const agents = yield* makeAgents(backend)
          yield* Effect.scoped(body(agents))
          expect(agents.processes()).toEqual([])
        }),
      ),
    )

  describe("a turn", () => {
    check("has the messages that the agent sent, and no others", (agents) =>
      Effect.gen(function* () {
        const { opened } = yield* agents.client()
        const { ask } = yield* opened()
        const events = yield* ask("SAY hello USAGE LATE")
        expect(events).toMatchObject([
          {
            jsonrpc: "2.0",
            method: "session/update",
            params: {
              update: {
                sessionUpdate: "agent_message_chunk",
                content: { type: "text", text: "hello USAGE LATE" },
              },
            },
          },
          { jsonrpc: "2.0", result: { stopReason: "end_turn", usage: { totalTokens: 15 } } },
        ])
        // A message that came after the first turn is not part of the second. It is read soon after it was written.
        yield* eventually(() => expect(agents.log()).toContain(" late "))
        yield* Effect.sleep("200 millis")
        expect((yield* ask("SAY again")).map((event) => Object.keys(event))).toEqual([
          ["jsonrpc", "method", "params"],
          ["jsonrpc", "id", "result"],
        ])
      }),
    )

    check("has the context of the turns before it", (agents) =>
      Effect.gen(function* () {
        const { opened } = yield* agents.client()
        const { hear } = yield* opened()
        yield* hear("SAY one")
        yield* hear("SAY two")
        expect(JSON.parse(yield* hear("RECALL"))).toEqual(["SAY one", "SAY two"])
      }),
    )

    check("can end with other stop reasons", (agents) =>
      Effect.gen(function* () {
        const { opened } = yield* agents.client()
        const { ask } = yield* opened()
        expect((yield* ask("REFUSE")).at(-1)).toMatchObject({ result: { stopReason: "refusal" } })
        expect((yield* ask("MAXTOK")).at(-1)).toMatchObject({ result: { stopReason: "max_tokens" } })
      }),
    )

    check("is read correctly: split characters, stray output, stderr, large messages", (agents) =>
      Effect.gen(function* () {
        const { opened } = yield* agents.client()
        const { hear } = yield* opened()
        expect(yield* hear("EMOJI")).toBe("😀 naïve 漢字 👩‍👩‍👧")
        expect(yield* hear("GARBAGE SAY fine")).toBe("fine")
        expect(yield* hear("STDERR SAY fine")).toBe("fine")
        expect((yield* hear(`HUGE ${8 * 1024 * 1024}`)).length).toBeGreaterThan(8 * 1024 * 1024 - 1000)
      }),
    )

    check("can have 100,000 updates", (agents) =>
      Effect.gen(function* () {
        const { opened } = yield* agents.client()
        const { ask } = yield* opened()
        const events = yield* ask("BIG 100000")
        expect(events).toHaveLength(100_001)
        expect(saidIn(events.slice(99_999))).toBe("chunk 99999")
      }),
    )

    check("is held up while it is not read, and can be cancelled in the middle", (agents) =>
      Effect.gen(function* () {
        const { acp, opened } = yield* agents.client()
        const { session, ref, hear } = yield* opened()
        const reader = { behind: yield* Deferred.make<void>(), goesOn: yield* Deferred.make<void>() }
        let messages = 0
        const reading = Stream.runForEachChunk(acp.prompt(session, ref, "PAGES 2000"), (chunk) => {
          messages += chunk.length
          return Effect.zipRight(Deferred.succeed(reader.behind, undefined), Deferred.await(reader.goesOn))
        })
        const left = yield* Effect.fork(reading)
        yield* Deferred.await(reader.behind)
        yield* Effect.sleep("2 seconds")
        // acpx itself reads everything in any case.
        if (backend === BACKENDS.direct) expect(agents.log()).not.toContain("over")
        yield* Fiber.interrupt(left)
        expect(messages).toBeLessThan(2000)
        yield* Deferred.succeed(reader.goesOn, undefined)
        messages = 0
        yield* reading
        expect(messages).toBe(2002)
        expect(yield* hear("SAY on we go")).toBe("on we go")
      }),
    )

    check("accepts any text as its prompt: a slash, content blocks as JSON, white space, a flag", (agents) =>
      Effect.gen(function* () {
        const { opened } = yield* agents.client()
        const { hear } = yield* opened()
        const prompts = [
          '[{"type":"resource_link","uri":"file:///etc/passwd","name":"x"}]',
          "  \n --agent x\n ",
          "naïve 漢字 😀",
        ]
        for (const prompt of prompts) yield* hear(prompt)
        expect(JSON.parse(yield* hear("RECALL"))).toEqual(prompts)
        expect(yield* hear(" /mcp")).toBe("echo: \u200B /mcp")
      }),
    )
  })

  describe("permission", () => {
    for (const [permissionMode, edit, read] of [
      ["approve-all", "yes", "yes"],
      ["approve-reads", "no", "yes"],
      ["deny-all", "no", "no"],
    ] as const) {
      check(`${permissionMode}: to edit ${edit}, to read ${read}`, (agents) =>
        Effect.gen(function* () {
          const { opened } = yield* agents.client()
          const { ask } = yield* opened({ permissionMode })
          const events = yield* ask("PERM")
          expect(saidIn(events)).toBe(`permission ${edit}`)
          expect(events.map(({ method }) => method)).toEqual([
            "session/update",
            "session/request_permission",
            "session/update",
            undefined,
          ])
          expect(saidIn(yield* ask("PERM READ"))).toBe(`permission ${read}`)
        }),
      )
    }
  })

  describe("a session keeps its context", () => {
    check("after it is closed and opened again, also by another client", (agents) =>
      Effect.gen(function* () {
        const first = yield* Effect.scoped(
          Effect.gen(function* () {
            const { acp, opened } = yield* agents.client()
            const session = yield* opened()
            yield* session.hear("SAY one")
            yield* acp.close(session.session, session.ref)
            const again = yield* reopened(acp, session)
            expect(JSON.parse(yield* again.hear("RECALL"))).toEqual(["SAY one"])
            return again
          }),
        )
        expect(agents.processes()).toEqual([])
        const { acp } = yield* agents.client()
        const again = yield* reopened(acp, first)
        expect(JSON.parse(yield* again.hear("RECALL"))).toEqual(["SAY one", "RECALL"])
      }),
    )

    check("through session/load, when the agent has no session/resume", (agents) =>
      Effect.gen(function* () {
        const { acp, opened } = yield* agents.client({ agents: agents.scripted("--load") })
        const session = yield* opened()
        yield* session.hear("SAY one")
        yield* acp.close(session.session, session.ref)
        const again = yield* reopened(acp, session)
        const events = yield* again.ask("RECALL")
        expect(saidIn(events)).toBe('["SAY one"]')
        expect(events).toHaveLength(2)
      }),
    )

    check("after its agent is killed", (agents) =>
      Effect.gen(function* () {
        const { acp, opened } = yield* agents.client()
        const session = yield* opened()
        yield* killed(Number(yield* session.hear("PID")))
        const again = yield* reopened(acp, session)
        expect(JSON.parse(yield* again.hear("RECALL"))).toEqual(["PID"])
      }),
    )

    check("after the agent crashes during a turn", (agents) =>
      Effect.gen(function* () {
        const { acp, opened } = yield* agents.client()
        const session = yield* opened()
        yield* session.hear("SAY one")
        for (const way of ["CRASH", "KILL"]) {
          expect((yield* failureOf(session.ask(way)))._tag).toBe("TurnFailed")
          yield* reopened(acp, session)
        }
        const again = yield* reopened(acp, session)
        expect(JSON.parse(yield* again.hear("RECALL"))).toEqual(["SAY one", "CRASH", "KILL"])
      }),
    )

    check("after the agent is ended because it is idle", (agents) =>
      Effect.gen(function* () {
        const { acp, opened } = yield* agents.client({ idleSecs: 1 })
        const session = yield* opened()
        yield* session.hear("SAY one")
        yield* eventually(() => expect(agents.processes()).toEqual([]))
        const again = yield* reopened(acp, session)
        expect(JSON.parse(yield* again.hear("RECALL"))).toEqual(["SAY one"])
      }),
    )
  })

  describe("a session that cannot be resumed", () => {
    check("fails when its agent cannot resume sessions, and never gets an empty context", (agents) =>
      Effect.gen(function* () {
        const { acp, opened } = yield* agents.client({ agents: agents.scripted("--no-resume") })
        const session = yield* opened()
        yield* session.hear("SAY one")
        expect(JSON.parse(yield* session.hear("RECALL"))).toEqual(["SAY one"])
        yield* acp.close(session.session, session.ref)
        const again = Effect.flatMap(reopened(acp, session), ({ hear }) => hear("SAY it must not get this"))
        expect((yield* failureOf(again))._tag).toBe("AgentUnavailable")
        expect((yield* failureOf(again))._tag).toBe("AgentUnavailable")
        expect(agents.log().match(/session\/prompt/g)).toHaveLength(2)
      }),
    )

    check("fails when such an agent was killed between two turns", (agents) =>
      Effect.gen(function* () {
        const { opened } = yield* agents.client({ agents: agents.scripted("--no-resume") })
        const { hear } = yield* opened()
        yield* hear("SAY one")
        yield* killed(Number(yield* hear("PID")))
        expect((yield* failureOf(hear("SAY it must not get this")))._tag).toBe("AgentUnavailable")
        expect(agents.log().match(/session\/prompt/g)).toHaveLength(2)
      }),
    )

    check("fails when the agent has lost it", (agents) =>
      Effect.gen(function* () {
        const session = yield* Effect.scoped(
          Effect.gen(function* () {
            const { opened } = yield* agents.client()
            const open = yield* opened()
            yield* open.hear("SAY one")
            return open
          }),
        )
        rmSync(join(agents.dir, "state"), { recursive: true })
        const { acp } = yield* agents.client()
        const again = Effect.flatMap(reopened(acp, session), ({ hear }) => hear("SAY no"))
        expect((yield* failureOf(again))._tag).toBe("AgentUnavailable")
      }),
    )

    check("is replaced by a new one if the agent never answered in it", (agents) =>
      Effect.gen(function* () {
        const { acp, opened } = yield* agents.client()
        const { session, ref } = yield* opened()
        yield* acp.close(session, ref)
        const next = yield* acp.open(session, Option.some({ ref, answered: false }))
        const { hear } = openSession(acp, session, next)
        expect(yield* hear("SAY one")).toBe("one")
        expect(JSON.parse(yield* hear("RECALL"))).toEqual(["SAY one"])
      }),
    )
  })

  describe("a cancelled turn", () => {
    check("ends with the stop reason `cancelled`, and the session can be used again", (agents) =>
      Effect.gen(function* () {
        const { acp, opened } = yield* agents.client()
        const session = yield* opened()
        yield* session.hear("SAY one")
        const turn = yield* Effect.fork(session.ask("SLOW 60000"))
        yield* eventually(() => expect(agents.log().match(/session\/prompt/g)).toHaveLength(2))
        yield* acp.cancel(session.session, session.ref)
        expect((yield* Fiber.join(turn)).at(-1)).toMatchObject({ result: { stopReason: "cancelled" } })
        expect(JSON.parse(yield* session.hear("RECALL"))).toEqual(["SAY one", "SLOW 60000"])
        yield* acp.cancel(session.session, session.ref)
      }),
    )

    for (const [kind, prompt] of [
      ["obeys", "SLOW 60000"],
      ["ignores it", "DEAF 60000"],
      ["hangs", "HANG"],
    ] as const) {
      check(
        `ends when its reader leaves and the agent ${kind}, and the session can be used again`,
        (agents) =>
          Effect.gen(function* () {
            const { acp, opened } = yield* agents.client()
            const session = yield* opened()
            yield* session.hear("SAY one")
            const turn = yield* Effect.fork(session.ask(prompt))
            yield* eventually(() => expect(agents.log().match(/session\/prompt/g)).toHaveLength(2))
            const [took] = yield* Effect.timed(Fiber.interrupt(turn))
            expect(Duration.toSeconds(took)).toBeLessThan(11)
            const again = yield* reopened(acp, session)
            expect(JSON.parse(yield* again.hear("RECALL"))).toEqual(["SAY one", prompt])
            expect(agents.log()).not.toContain("OVERLAP")
          }),
      )
    }

    check("ends even before the agent has the prompt", (agents) =>
      Effect.gen(function* () {
        const { acp, opened } = yield* agents.client({ agents: agents.scripted("--slow-start", "1500") })
        const session = yield* opened()
        const turn = yield* Effect.fork(session.ask("SLOW 60000"))
        yield* Effect.sleep("300 millis")
        const [took] = yield* Effect.timed(Fiber.interrupt(turn))
        expect(Duration.toSeconds(took)).toBeLessThan(11)
        const again = yield* Effect.map(
          acp.open(session.session, Option.some({ ref: session.ref, answered: false })),
          (ref) => openSession(acp, session.session, ref),
        )
        expect(yield* again.hear("SAY one")).toBe("one")
      }),
    )
  })

  describe("a failure", () => {
    check("of a turn leaves the session usable", (agents) =>
      Effect.gen(function* () {
        const { opened } = yield* agents.client()
        const { ask, hear } = yield* opened()
        yield* hear("SAY one")
        const failure = yield* failureOf(ask("ERR"))
        expect(failure._tag).toBe("TurnFailed")
        expect(failure.reason).toContain("scripted error")
        expect((yield* failureOf(ask("AUTH")))._tag).toBe("NotLoggedIn")
        expect(JSON.parse(yield* hear("RECALL"))).toEqual(["SAY one", "ERR", "AUTH"])
      }),
    )

    check("has neither the prompt nor a secret in its reason", (agents) =>
      Effect.gen(function* () {
        const key = "a-very-secret-key-0123456789"
        const env = { PATH: process.env["PATH"] ?? "", HOME: agents.dir, ANTHROPIC_API_KEY: key }
        const { opened } = yield* agents.client({ env })
        const { ask } = yield* opened()
        const quoting = yield* failureOf(ask("QUOTE the patient is Jane Roe, born 1980"))
        expect(quoting._tag).toBe("TurnFailed")
        expect(JSON.stringify(quoting)).not.toMatch(/Jane|Roe|very-secret/)
        const telling = yield* failureOf(ask("QUOTE"))
        expect(JSON.stringify(telling)).not.toContain("very-secret")
      }),
    )

    check("to start is `ExecutableMissing` when there is no such program", (agents) =>
      Effect.gen(function* () {
        const { acp, session } = yield* agents.client({
          agents: new Map([[AGENT, { command: join(agents.dir, "nothing-here"), args: [] }]]),
        })
        const failure = yield* failureOf(acp.open(session(), Option.none()))
        expect(failure).toMatchObject({ _tag: "ExecutableMissing", program: "nothing-here" })
        expect((yield* failureOf(acp.inspect(AGENT, OWNER)))._tag).toBe("ExecutableMissing")
      }),
    )

    for (const flag of ["--silent", "--hang-new"]) {
      check(`to open in time (${flag}) ends the agent's process`, (agents) =>
        Effect.gen(function* () {
          const { acp, session } = yield* agents.client({
            agents: agents.scripted(flag),
            openPatience: Duration.seconds(3),
          })
          const [took, failure] = yield* Effect.timed(failureOf(acp.open(session(), Option.none())))
          expect(failure._tag).toBe("AgentUnavailable")
          expect(Duration.toSeconds(took)).toBeLessThan(9)
          expect(agents.processes()).toEqual([])
        }),
      )
    }

    check("to open has the reason that the agent gives", (agents) =>
      Effect.gen(function* () {
        const { acp, session } = yield* agents.client({ agents: agents.scripted("--fail-new") })
        const failure = yield* failureOf(acp.open(session(), Option.none()))
        expect(failure._tag).toBe("AgentUnavailable")
        expect(failure.reason).toContain("scripted failure")
      }),
    )
  })

  describe("a model", () => {
    check("is set for the session if the agent offers it", (agents) =>
      Effect.gen(function* () {
        const { acp, opened, session } = yield* agents.client({ agents: agents.scripted("--models", "a,b") })
        const { hear } = yield* opened({ model: "b" })
        expect(yield* hear("SAY-MODEL")).toBe("b")
        expect((yield* failureOf(acp.open(session({ model: "c" }), Option.none())))._tag).toBe(
          "InvalidRequest",
        )
      }),
    )

    check("is refused if the agent offers none", (agents) =>
      Effect.gen(function* () {
        const { acp, session } = yield* agents.client()
        const failure = yield* failureOf(acp.open(session({ model: "a" }), Option.none()))
        expect(failure._tag).toBe("InvalidRequest")
      }),
    )
  })

  describe("an agent", () => {
    check("tells its name, version and capabilities", (agents) =>
      Effect.gen(function* () {
        const { acp } = yield* agents.client()
        expect(yield* acp.inspect(AGENT, OWNER)).toEqual({
          name: "scripted-agent",
          version: "1.2.3",
          resumable: true,
          erasable: true,
        })
        yield* Effect.scoped(
          Effect.gen(function* () {
            const other = yield* agents.client({ agents: agents.scripted("--no-resume") })
            expect(yield* other.acp.inspect(AGENT, OWNER)).toMatchObject({ resumable: false })
          }),
        )
      }),
    )

    check("works in the session's directory and ignores settings for agents in it", (agents) =>
      Effect.gen(function* () {
        const { opened, session } = yield* agents.client()
        const { cwd } = session()
        writeFileSync(
          join(cwd, ".acpxrc.json"),
          JSON.stringify({
            agents: { claude: { command: "false" } },
            defaultPermissions: "approve-all",
            auth: { path: "/nowhere", "anthropic-api-key": "planted" },
            timeout: 0.001,
          }),
        )
        const { hear } = yield* opened({ cwd, permissionMode: "deny-all" })
        expect(JSON.parse(yield* hear("CWD"))).toEqual([cwd, expect.any(String)])
        expect(yield* hear("PERM")).toBe("permission no")
        writeFileSync(join(cwd, ".acpxrc.json"), "this is no JSON")
        expect(yield* hear("ENV")).not.toMatch(/ANTHROPIC|ACPX_AUTH/i)
      }),
    )

    check("keeps its context from turn to turn also with an idle time of zero", (agents) =>
      Effect.gen(function* () {
        const { acp, opened } = yield* agents.client({ idleSecs: 0 })
        const session = yield* opened()
        expect(yield* session.hear("SAY one")).toBe("one")
        const again = yield* reopened(acp, session)
        expect(JSON.parse(yield* again.hear("RECALL"))).toEqual(["SAY one"])
      }),
    )

    check("gets only the environment that it is given", (agents) =>
      Effect.gen(function* () {
        process.env["CLAWDFORGE_CANARY"] = "1"
        const env = { PATH: process.env["PATH"] ?? "", HOME: agents.dir, LANG: "C.UTF-8" }
        const { opened } = yield* agents.client({ env })
        const { hear } = yield* opened()
        const names = (JSON.parse(yield* hear("ENV")) as ReadonlyArray<string>).toSorted()
        // The temporary directory for claude. Only one of the two clients sets it.
        const given = names.filter((name) => name !== "CLAUDE_CODE_TMPDIR")
        expect(given).toEqual(["CLAWDFORGE_PROCESS", "HOME", "LANG", "PATH"])
      }),
    )

    check("is not shared by two apps, and can be ended for one of them", (agents) =>
      Effect.gen(function* () {
        const { acp, opened } = yield* agents.client()
        const mine = yield* opened()
        const yours = yield* opened({ owner: "01J00000000000000000000001" as TokenId })
        const [left, right] = [Number(yield* mine.hear("PID")), Number(yield* yours.hear("PID"))]
        expect(left).not.toBe(right)
        yield* acp.endOf(OWNER)
        expect([alive(left), alive(right)]).toEqual([false, true])
        const again = yield* reopened(acp, mine)
        expect(JSON.parse(yield* again.hear("RECALL"))).toEqual(["PID"])
      }),
    )

    check("ends with the client and takes its descendants along, also during a turn", (agents) =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const { opened } = yield* Scope.extend(agents.client(), scope)
        const { hear, ask } = yield* opened()
        const child = Number(yield* hear("CHILD"))
        expect(alive(child)).toBe(true)
        const turn = yield* Effect.fork(failureOf(ask("HANG")))
        yield* eventually(() => expect(agents.log().match(/session\/prompt/g)).toHaveLength(2))
        yield* Scope.close(scope, Exit.void)
        expect(alive(child)).toBe(false)
        expect(agents.processes()).toEqual([])
        expect((yield* Fiber.join(turn))._tag).toMatch(/TurnFailed|AgentUnavailable/)
      }),
    )

    check("deletes a session that is erased", (agents) =>
      Effect.gen(function* () {
        const { acp, opened } = yield* agents.client()
        const { session, ref, hear } = yield* opened()
        yield* hear("SAY one")
        yield* acp.close(session, ref)
        yield* acp.erase(session, ref)
        yield* acp.erase(session, ref)
        expect(agents.log()).toContain("session/delete")
        const again = Effect.flatMap(acp.open(session, Option.some({ ref, answered: true })), (next) =>
          Stream.runDrain(acp.prompt(session, next, "SAY no")),
        )
        expect((yield* failureOf(again))._tag).toBe("AgentUnavailable")
      }),
    )
  })
}

// Concurrent: each test has its own agents and directory, and the tests with acpx mostly wait.
for (const [name, backend] of Object.entries(BACKENDS))
  describe(name, { concurrent: true }, () => contract(backend))
