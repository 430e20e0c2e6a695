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
  type Client,
  killed,
  makeAgents,
  type OpenSession,
  openSession,
  OWNER,
  reopened,
  saidIn,
} from "../support/AgentClient.ts"
import { expectWithin, turnsOfLoop } from "../support/Pace.ts"
import { isSoak, scale } from "../support/Scale.ts"
import { shared } from "../support/Sessions.ts"
import { eventually } from "../support/TestServer.ts"

/** The failure of an effect; a shortcut with a type that is easy to read. */
const failureOf = <A, R>(effect: Effect.Effect<A, unknown, R>) =>
  Effect.flip(effect) as Effect.Effect<Error & { readonly _tag: string; readonly reason?: string }, A, R>

/** The last prompts of the session, as its agent recalls them. */
const recalled = ({ hear }: OpenSession, last: number) =>
  Effect.map(hear("RECALL"), (said) => (JSON.parse(said) as ReadonlyArray<string>).slice(-last))

/** A test that has agents of this backend to itself, and leaves no process. */
const checkOf =
  (backend: Backend) =>
  (name: string, body: (agents: Agents) => Effect.Effect<unknown, unknown, Scope.Scope>) =>
    it.live(name, () =>
      Effect.scoped(
        Effect.gen(function* () {
          const agents = yield* makeAgents(backend)
          yield* Effect.scoped(body(agents))
          expect(agents.processes()).toEqual([])
        }),
      ),
    )

const contract = (backend: Backend) => {
  const check = checkOf(backend)
  const common = shared(
    Effect.gen(function* () {
      const agents = yield* makeAgents(backend)
      yield* Effect.addFinalizer(() => Effect.sync(() => expect(agents.processes()).toEqual([])))
      const client = yield* agents.client()
      const idle: Array<OpenSession> = []
      return { agents, client, idle }
    }),
  )

  /** A test that needs a session only. Tests share sessions; a session serves one test at a time. */
  const checkSession = (
    name: string,
    body: (
      session: OpenSession,
      client: Client,
      agents: Agents,
    ) => Effect.Effect<unknown, unknown, Scope.Scope>,
  ): void =>
    it.live(name, () =>
      Effect.gen(function* () {
        const { agents, client, idle } = common()
        const session = idle.pop() ?? (yield* client.opened())
        yield* Effect.scoped(body(session, client, agents))
        idle.push(session)
      }),
    )

  /** A test with sessions of its own on the client that tests share. */
  const checkClient = (
    name: string,
    body: (client: Client, agents: Agents) => Effect.Effect<unknown, unknown, Scope.Scope>,
  ): void => it.live(name, () => Effect.scoped(Effect.suspend(() => body(common().client, common().agents))))

  describe("a turn", () => {
    checkSession("has the messages that the agent sent, and no others", ({ ask }, _, agents) =>
      Effect.gen(function* () {
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
        // A message that came after the first turn is not part of the second. It is in the pipe once it is in the log.
        yield* eventually(() => expect(agents.log()).toContain(" late "))
        yield* Effect.promise(() => turnsOfLoop(50))
        expect((yield* ask("SAY again")).map((event) => Object.keys(event))).toEqual([
          ["jsonrpc", "method", "params"],
          ["jsonrpc", "id", "result"],
        ])
      }),
    )

    checkSession("has the context of the turns before it", (session) =>
      Effect.gen(function* () {
        yield* session.hear("SAY one")
        yield* session.hear("SAY two")
        expect(yield* recalled(session, 2)).toEqual(["SAY one", "SAY two"])
      }),
    )

    checkSession("can end with other stop reasons", ({ ask }) =>
      Effect.gen(function* () {
        expect((yield* ask("REFUSE")).at(-1)).toMatchObject({ result: { stopReason: "refusal" } })
        expect((yield* ask("MAXTOK")).at(-1)).toMatchObject({ result: { stopReason: "max_tokens" } })
      }),
    )

    // Large turns have a session of their own: acpx reads all earlier messages before each turn.
    check("is read correctly: split characters, stray output, stderr, large messages", (agents) =>
      Effect.gen(function* () {
        const { opened } = yield* agents.client()
        const { hear } = yield* opened()
        expect(yield* hear("EMOJI")).toBe("😀 naïve 漢字 👩‍👩‍👧")
        expect(yield* hear("GARBAGE SAY fine")).toBe("fine")
        expect(yield* hear("STDERR SAY fine")).toBe("fine")
        expect((yield* hear(`HUGE ${scale.updateBytes}`)).length).toBeGreaterThan(scale.updateBytes - 1000)
      }),
    )

    check(`may have ${scale.updates} updates`, (agents) =>
      Effect.gen(function* () {
        const { opened } = yield* agents.client()
        const { ask } = yield* opened()
        const events = yield* ask(`BIG ${scale.updates}`)
        expect(events).toHaveLength(scale.updates + 1)
        expect(saidIn(events.slice(scale.updates - 1))).toBe(`chunk ${scale.updates - 1}`)
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
        // acpx takes it in any case.
        if (backend === BACKENDS.direct) {
          yield* Effect.sleep("2 seconds")
          expect(agents.log()).not.toContain("over")
        }
        yield* Fiber.interrupt(left)
        expect(messages).toBeLessThan(2000)
        yield* Deferred.succeed(reader.goesOn, undefined)
        messages = 0
        yield* reading
        expect(messages).toBe(2002)
        expect(yield* hear("SAY on we go")).toBe("on we go")
      }),
    )

    checkSession(
      "accepts any text as its prompt: a slash, content blocks as JSON, white space, a flag",
      (session) =>
        Effect.gen(function* () {
          const prompts = [
            '[{"type":"resource_link","uri":"file:///etc/passwd","name":"x"}]',
            "  \n --agent x\n ",
            "naïve 漢字 😀",
          ]
          for (const prompt of prompts) yield* session.hear(prompt)
          expect(yield* recalled(session, 3)).toEqual(prompts)
          expect(yield* session.hear(" /mcp")).toBe("echo: \u200B /mcp")
        }),
    )

    checkSession("that fails leaves the session as it is", (session) =>
      Effect.gen(function* () {
        const { ask, hear } = session
        yield* hear("SAY one")
        const failure = yield* failureOf(ask("ERR"))
        expect(failure._tag).toBe("TurnFailed")
        expect(failure.reason).toContain("scripted error")
        expect((yield* failureOf(ask("AUTH")))._tag).toBe("NotLoggedIn")
        expect(yield* recalled(session, 3)).toEqual(["SAY one", "ERR", "AUTH"])
      }),
    )
  })

  describe("permission", () => {
    for (const [permissionMode, edit, read] of [
      ["approve-all", "yes", "yes"],
      ["approve-reads", "no", "yes"],
      ["deny-all", "no", "no"],
    ] as const) {
      checkClient(`${permissionMode}: to edit ${edit}, to read ${read}`, ({ opened }) =>
        Effect.gen(function* () {
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

  describe("a session goes on with its context", () => {
    check("after it is closed and opened again, also by another client", (agents) =>
      Effect.gen(function* () {
        const last = yield* Effect.scoped(
          Effect.gen(function* () {
            const { acp, opened } = yield* agents.client()
            const first = yield* opened()
            yield* first.hear("SAY one")
            yield* acp.close(first.session, first.ref)
            const second = yield* reopened(acp, first)
            expect(JSON.parse(yield* second.hear("RECALL"))).toEqual(["SAY one"])
            yield* killed(Number(yield* second.hear("PID")))
            const third = yield* reopened(acp, second)
            expect(JSON.parse(yield* third.hear("RECALL"))).toEqual(["SAY one", "RECALL", "PID"])
            for (const way of ["CRASH", "KILL"]) {
              expect((yield* failureOf(third.ask(way)))._tag).toBe("TurnFailed")
              yield* reopened(acp, third)
            }
            const fourth = yield* reopened(acp, third)
            expect(yield* recalled(fourth, 3)).toEqual(["RECALL", "CRASH", "KILL"])
            return fourth
          }),
        )
        expect(agents.processes()).toEqual([])
        const { acp } = yield* agents.client()
        const again = yield* reopened(acp, last)
        expect(yield* recalled(again, 3)).toEqual(["CRASH", "KILL", "RECALL"])
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

    check("after the agent ended for being idle", (agents) =>
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

    checkClient("is replaced by a new one if the agent never answered in it", ({ acp, opened }) =>
      Effect.gen(function* () {
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
            yield* Effect.promise(() => expectWithin(Duration.toMillis(took), 11_000))
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
        yield* Effect.promise(() => expectWithin(Duration.toMillis(took), 11_000))
        const again = yield* Effect.map(
          acp.open(session.session, Option.some({ ref: session.ref, answered: false })),
          (ref) => openSession(acp, session.session, ref),
        )
        expect(yield* again.hear("SAY one")).toBe("one")
      }),
    )
  })

  describe("a failure", () => {
    check("says neither the prompt nor a secret", (agents) =>
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
            openTimeout: Duration.seconds(3),
          })
          const [took, failure] = yield* Effect.timed(failureOf(acp.open(session(), Option.none())))
          expect(failure._tag).toBe("AgentUnavailable")
          yield* Effect.promise(() => expectWithin(Duration.toMillis(took), 9000))
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
    for (const how of ["option", "option-without-category", "set_model"])
      check(
        `is set for the session if the agent offers it by ${how}, and again after the agent was ended`,
        (agents) =>
          Effect.gen(function* () {
            const flags = ["--models", "a,b", "--models-by", how]
            const { acp, opened, session } = yield* agents.client({ agents: agents.scripted(...flags) })
            const open = yield* opened({ model: "b" })
            expect(yield* open.hear("SAY-MODEL")).toBe("b")
            yield* killed(Number(yield* open.hear("PID")))
            const again = yield* reopened(acp, open)
            expect(yield* again.hear("SAY-MODEL")).toBe("b")
            expect((yield* failureOf(acp.open(session({ model: "c" }), Option.none())))._tag).toBe(
              "ModelNotFound",
            )
          }),
      )

    checkClient("is refused if the agent offers none", ({ acp, session }) =>
      Effect.gen(function* () {
        const failure = yield* failureOf(acp.open(session({ model: "a" }), Option.none()))
        expect(failure._tag).toBe("ModelNotFound")
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

    checkClient("works in the session's directory and ignores settings for agents in it", (client) =>
      Effect.gen(function* () {
        const { opened, session } = client
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

    checkClient("deletes a session that is erased", ({ acp, opened }, agents) =>
      Effect.gen(function* () {
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

/** The main promises of the contract, in two sessions. */
const inShort = (backend: Backend) => {
  checkOf(backend)("a session has its turns, its permissions and its context, and leaves nothing", (agents) =>
    Effect.gen(function* () {
      const first = yield* Effect.scoped(
        Effect.gen(function* () {
          const { acp, opened } = yield* agents.client({ agents: agents.scripted("--no-resume") })
          const session = yield* opened({ permissionMode: "deny-all" })
          expect(yield* session.ask("SAY one")).toMatchObject([
            { method: "session/update", params: { update: { content: { type: "text", text: "one" } } } },
            { jsonrpc: "2.0", result: { stopReason: "end_turn" } },
          ])
          expect(yield* session.hear("PERM")).toBe("permission no")
          expect((yield* failureOf(session.ask("ERR"))).reason).toContain("scripted error")
          const turn = yield* Effect.fork(session.ask("SLOW 60000"))
          yield* eventually(() => expect(agents.log().match(/session\/prompt/g)).toHaveLength(4))
          yield* acp.cancel(session.session, session.ref)
          expect((yield* Fiber.join(turn)).at(-1)).toMatchObject({ result: { stopReason: "cancelled" } })
          expect(yield* recalled(session, 9)).toEqual(["SAY one", "PERM", "ERR", "SLOW 60000"])
          return session
        }),
      )
      expect(agents.processes()).toEqual([])
      // An agent that cannot take it up again is no agent any more: there is never an empty context.
      const { acp } = yield* agents.client({ agents: agents.scripted("--no-resume") })
      const again = Effect.flatMap(reopened(acp, first), ({ hear }) => hear("SAY it must not get this"))
      expect((yield* failureOf(again))._tag).toBe("AgentUnavailable")
      expect(agents.log().match(/session\/prompt/g)).toHaveLength(5)
    }),
  )

  checkOf(backend)("a session goes on with its context, by another client too", (agents) =>
    Effect.gen(function* () {
      const session = yield* Effect.scoped(
        Effect.gen(function* () {
          const { opened } = yield* agents.client()
          const open = yield* opened()
          yield* open.hear("SAY one")
          return open
        }),
      )
      const { acp } = yield* agents.client()
      const again = yield* reopened(acp, session)
      expect(yield* recalled(again, 9)).toEqual(["SAY one"])
    }),
  )
}

describe("direct", { concurrent: true }, () => contract(BACKENDS.direct))

// With acpx, a session costs a second of processor time, and a turn a second of waiting: only the soak runs the whole
// contract.
describe("acpx", { concurrent: true }, () => (isSoak ? contract : inShort)(BACKENDS.acpx))
