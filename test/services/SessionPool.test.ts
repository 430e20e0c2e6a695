import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, FiberId, Layer, Option, Stream, TestClock } from "effect"
import { AgentUnavailable, FileNotFound, ModelNotFound, StorageFailed } from "../../src/domain/Failure.ts"
import type { FileId, SessionId } from "../../src/domain/Ids.ts"
import type { AgentName, AgentSessionRef } from "../../src/domain/Session.ts"
import type { AppToken, TokenName } from "../../src/domain/Token.ts"
import type { AcpMessage, LeftOff } from "../../src/services/agents/AcpxClient.ts"
import { Files } from "../../src/services/files/Files.ts"
import { SessionPool } from "../../src/services/sessions/SessionPool.ts"
import {
  accepted,
  after,
  closed,
  Machine,
  nothing,
  obeying,
  opened,
  origin,
  owner,
  poolOn,
  type Scene,
  stranger,
  taken,
  textOf,
  wanted,
} from "../support/MockedPool.ts"

const broken = new StorageFailed({ during: "a test", cause: "a full disk" })

/** The steps of opening a session, as they fail. */
const FAILURES: ReadonlyArray<readonly [string, string, Scene]> = [
  ["there is no place", "StorageFailed", { sessions: () => ({ reserve: () => broken }) }],
  ["there is no directory", "StorageFailed", { dirs: () => ({ make: () => broken }) }],
  [
    "the agent is not there",
    "AgentUnavailable",
    { client: () => ({ open: () => new AgentUnavailable({ reason: "it does not start" }) }) },
  ],
  [
    "the agent does not offer the model",
    "ModelNotFound",
    { client: () => ({ open: () => new ModelNotFound({ reason: "none" }) }) },
  ],
  ["it cannot be recorded", "StorageFailed", { sessions: () => ({ activate: () => broken }) }],
]

/** The same steps, each with something that happens when it is done, before anything else can. */
const STEPS: ReadonlyArray<readonly [string, (then: Effect.Effect<void>) => Scene]> = [
  [
    "it has a place",
    (then) => ({ sessions: (whole) => ({ reserve: (...how) => Effect.tap(whole.reserve(...how), then) }) }),
  ],
  [
    "it has a directory",
    (then) => ({ dirs: (whole) => ({ make: (id) => Effect.tap(whole.make(id), then) }) }),
  ],
  [
    "its agent has it",
    (then) => ({ client: (whole) => ({ open: (...how) => Effect.tap(whole.open(...how), then) }) }),
  ],
]

/** Opens a session whose caller goes away as soon as the effect that is given to the scene is run. */
const openedAndLeft = (machine: Machine, scene: (leave: Effect.Effect<void>) => Scene) => {
  let opening: Fiber.RuntimeFiber<SessionId, unknown> | undefined
  const leave = Effect.sync(() => opening?.unsafeInterruptAsFork(FiberId.none))
  return Effect.gen(function* () {
    opening = yield* Effect.fork(opened())
    return yield* Fiber.await(opening)
  }).pipe(Effect.provide(poolOn(machine, scene(leave))))
}

describe("opening a session", () => {
  it.effect("gives it a place, a directory of its own and its agent", () => {
    const machine = new Machine()
    return Effect.gen(function* () {
      const pool = yield* SessionPool
      const meta = { user: "ada" }
      const session = yield* pool.open({ ...wanted, model: "opus", meta }, owner, origin)
      expect(session).toMatchObject({ agent: "claude", model: "opus", meta, status: "open", turnCount: 0 })
      expect(yield* pool.get(session.id, owner)).toMatchObject(session)
      expect(machine.left).toEqual({ rows: 1, dirs: 1, attached: 1 })
      expect(yield* pool.openSessions).toBe(1)
    }).pipe(Effect.provide(poolOn(machine)))
  })

  it.effect("refuses an agent that is not offered, before it takes a place", () => {
    const machine = new Machine()
    return Effect.gen(function* () {
      const pool = yield* SessionPool
      const request = { ...wanted, agent: "codex" as AgentName }
      expect(yield* Effect.flip(pool.open(request, owner, origin))).toMatchObject({
        _tag: "InvalidRequest",
        issues: [{ path: ["agent"] }],
      })
      expect(machine.left).toEqual(nothing)
    }).pipe(Effect.provide(poolOn(machine)))
  })

  for (const [what, tag, scene] of FAILURES) {
    it.effect(`leaves nothing when ${what}`, () => {
      const machine = new Machine()
      return Effect.gen(function* () {
        expect(yield* Effect.flip(opened())).toMatchObject({ _tag: tag })
        expect(machine.left).toEqual(nothing)
        expect(yield* (yield* SessionPool).openSessions).toBe(0)
      }).pipe(Effect.provide(poolOn(machine, scene)))
    })
  }

  for (const [when, scene] of STEPS) {
    it.effect(`leaves nothing when its caller goes away just as ${when}`, () => {
      const machine = new Machine()
      return Effect.gen(function* () {
        expect(Exit.isInterrupted(yield* openedAndLeft(machine, scene))).toBe(true)
        expect(machine.left).toEqual(nothing)
      })
    })
  }

  it.effect("leaves a session that is whole when its caller goes away just as it is open", () => {
    const machine = new Machine()
    return Effect.gen(function* () {
      yield* openedAndLeft(machine, (leave) => ({
        sessions: (whole) => ({ activate: (...how) => Effect.tap(whole.activate(...how), leave) }),
      }))
      expect(machine.left).toEqual({ rows: 1, dirs: 1, attached: 1 })
      expect([...machine.memory.sessions.values()]).toMatchObject([{ status: "open" }])
      expect(machine.asked).toEqual([])
    })
  })

  it.effect("interrupts the agent that takes its time when its caller goes away", () => {
    const machine = new Machine()
    return Effect.gen(function* () {
      const opening = yield* Effect.fork(opened())
      yield* TestClock.adjust("1 second")
      expect(machine.left).toEqual({ rows: 1, dirs: 1, attached: 0 })
      yield* Fiber.interrupt(opening)
      expect(machine.left).toEqual(nothing)
    }).pipe(Effect.provide(poolOn(machine, { client: () => ({ open: () => Effect.never }) })))
  })

  it.effect("opens none for a token that is revoked meanwhile", () => {
    const machine = new Machine()
    const token: AppToken = {
      id: owner,
      name: "recipes" as TokenName,
      ipCidrs: [],
      createdAt: 0,
      lastUsedAt: null,
      revokedAt: 1,
    }
    const revoke = Effect.sync(() => machine.memory.tokens.set("hash", token))
    return Effect.gen(function* () {
      expect(yield* Effect.flip(opened())).toMatchObject({ _tag: "Unauthorized" })
      expect(machine.left).toEqual(nothing)
    }).pipe(
      Effect.provide(
        poolOn(machine, {
          client: (whole) => ({ open: (...how) => Effect.tap(whole.open(...how), revoke) }),
        }),
      ),
    )
  })

  it.effect("never opens more than there are places, and gives each place back", () => {
    const machine = new Machine()
    const slow: Scene = {
      maxLiveSessions: 8,
      client: (whole) => ({ open: (...how) => Effect.delay(whole.open(...how), "1 second") }),
    }
    return Effect.gen(function* () {
      const all = yield* Effect.fork(
        Effect.all(
          Array.from({ length: 50 }, () => Effect.either(opened())),
          { concurrency: "unbounded" },
        ),
      )
      yield* TestClock.adjust("1 second")
      const sessions = (yield* Fiber.join(all))
        .filter((one) => one._tag === "Right")
        .map(({ right }) => right)
      expect(sessions).toHaveLength(8)
      expect(machine.left).toEqual({ rows: 8, dirs: 8, attached: 8 })
      expect(yield* Effect.flip(opened())).toMatchObject({ _tag: "PoolFull", limit: 8 })
      yield* closed(sessions[0] as SessionId)
      const next = yield* Effect.fork(opened())
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(next)
      expect(yield* (yield* SessionPool).openSessions).toBe(8)
    }).pipe(Effect.provide(poolOn(machine, slow)))
  })

  it.effect("gives back the place as soon as a ledger that failed does it", () => {
    const machine = new Machine()
    let works = false
    return Effect.gen(function* () {
      yield* Effect.flip(opened())
      yield* TestClock.adjust("1 minute")
      expect(machine.left).toEqual({ rows: 1, dirs: 0, attached: 0 })
      works = true
      yield* TestClock.adjust("5 seconds")
      expect(machine.left).toEqual(nothing)
    }).pipe(
      Effect.provide(
        poolOn(machine, {
          sessions: (whole) => ({
            activate: () => broken,
            abandon: (id) => Effect.suspend(() => (works ? whole.abandon(id) : broken)),
          }),
        }),
      ),
    )
  })

  it.effect("does not hold up a service that stops, though the ledger fails for ever", () => {
    const machine = new Machine()
    const failing: Scene = { sessions: () => ({ activate: () => broken, abandon: () => broken }) }
    return Effect.gen(function* () {
      yield* Effect.provide(Effect.flip(opened()), poolOn(machine, failing))
      expect(machine.left.rows).toBe(1)
    })
  })

  it.effect("removes what a server that died was opening", () => {
    const machine = new Machine()
    const dying: Scene = {
      sessions: () => ({ activate: () => Effect.die("killed"), abandon: () => Effect.void }),
    }
    return Effect.gen(function* () {
      yield* Effect.provide(
        Effect.exit(opened()),
        poolOn(machine, { ...dying, dirs: () => ({ remove: () => broken }) }),
      )
      expect(machine.left).toMatchObject({ rows: 1, dirs: 1 })
      yield* Effect.provide(Effect.void, poolOn(machine))
      expect(machine.left).toEqual(nothing)
    })
  })
})

const nested = (levels: number) =>
  JSON.parse(`{"params":${'{"a":'.repeat(levels)}1${"}".repeat(levels)}}`) as AcpMessage

/** An agent that sends a message of as many levels as its prompt says. */
const promptNested = (_: unknown, __: unknown, levels: string) =>
  Stream.make(nested(Number(levels)), { result: { stopReason: "end_turn" } })

describe("a session", () => {
  it.effect("is its app's alone: to another it does not exist", () => {
    const machine = new Machine()
    return Effect.gen(function* () {
      const pool = yield* SessionPool
      const [mine, theirs] = [yield* opened(), yield* opened(stranger)]
      const unknown = "00000000-0000-4000-8000-000000009999" as SessionId
      for (const id of [theirs, unknown]) {
        for (const asked of [pool.get(id, owner), pool.close(id, owner, origin), accepted(id, "hello")]) {
          expect(yield* Effect.flip(Effect.asVoid(asked as Effect.Effect<unknown>))).toMatchObject({
            _tag: "SessionNotFound",
          })
        }
      }
      expect((yield* pool.list(owner, { includeClosed: true })).map(({ id }) => id)).toEqual([mine])
      expect(yield* pool.get(theirs, stranger)).toMatchObject({ status: "open", turnCount: 0 })
    }).pipe(Effect.provide(poolOn(machine)))
  })

  it.effect("takes its turns one at a time, in the order of their indexes, and keeps its context", () => {
    const machine = new Machine()
    let [atWork, most] = [0, 0]
    const heard: Array<string> = []
    const reply: Scene["reply"] = ({ prompt, earlier }) =>
      Effect.acquireUseRelease(
        Effect.sync(() => {
          most = Math.max(most, (atWork += 1))
          heard.push(prompt)
        }),
        () => Effect.delay(Effect.succeed(String(earlier.length)), "1 second"),
        () => Effect.sync(() => (atWork -= 1)),
      )
    return Effect.gen(function* () {
      const id = yield* opened()
      const asking = Array.from({ length: 20 }, (_, n) =>
        Effect.flatMap(accepted(id, `prompt ${n}`), ({ index, answer }) =>
          Effect.map(answer, (report) => ({ n, index, report })),
        ),
      )
      const all = yield* Effect.fork(Effect.all(asking, { concurrency: "unbounded" }))
      yield* TestClock.adjust("20 seconds")
      const turns = (yield* Fiber.join(all)).toSorted((one, other) => one.index - other.index)
      expect(turns.map(({ index }) => index)).toEqual(Array.from({ length: 20 }, (_, n) => n + 1))
      expect(turns.map(({ report }) => textOf(report))).toEqual(
        Array.from({ length: 20 }, (_, n) => String(n)),
      )
      expect(turns.map(({ n }) => `prompt ${n}`)).toEqual(heard)
      // The time in the queue is not counted.
      expect(new Set(turns.map(({ report }) => report.durationMs))).toEqual(new Set([1000]))
      expect(most).toBe(1)
      expect(yield* (yield* SessionPool).get(id, owner)).toMatchObject({ turnCount: 20 })
    }).pipe(Effect.provide(poolOn(machine, { reply })))
  })

  it.effect("is busy when as many turns wait as may, and records none that it refuses", () => {
    const machine = new Machine()
    return Effect.gen(function* () {
      const [id, other] = [yield* opened(), yield* opened()]
      for (const n of [1, 2, 3]) expect((yield* accepted(id, "hello")).index).toBe(n)
      expect(yield* Effect.flip(accepted(id, "hello"))).toMatchObject({ _tag: "SessionBusy", limit: 2 })
      expect((yield* accepted(other, "hello")).index).toBe(1)
      expect(machine.memory.runs.size).toBe(4)
      yield* TestClock.adjust("1 second")
      expect((yield* accepted(id, "hello")).index).toBe(4)
    }).pipe(Effect.provide(poolOn(machine, { reply: after("1 second"), maxQueuedTurns: 2 })))
  })

  it.effect("takes no turn when it is closed", () => {
    const machine = new Machine()
    return Effect.gen(function* () {
      const id = yield* opened()
      yield* closed(id)
      expect(yield* Effect.flip(accepted(id, "hello"))).toMatchObject({ _tag: "SessionClosed" })
      expect(machine.memory.runs.size).toBe(0)
    }).pipe(Effect.provide(poolOn(machine)))
  })

  it.effect("records its turns by their lengths, never their text", () => {
    const machine = new Machine()
    return Effect.gen(function* () {
      const id = yield* opened()
      const turn = yield* accepted(id, "How much flour?")
      expect(machine.outcomes).toEqual([["running", undefined]])
      yield* TestClock.adjust("1 second")
      expect(machine.outcomes).toEqual([["running", undefined]])
      yield* TestClock.adjust("1 second")
      expect(yield* turn.answer).toMatchObject({ stopReason: "end_turn", durationMs: 2000, responseChars: 8 })
      const [run] = machine.memory.runs.values()
      expect(run).toMatchObject({
        id: turn.id,
        session: id,
        turnIndex: 1,
        status: "completed",
        promptChars: 15,
        end: { code: null, stopReason: "end_turn", responseChars: 8, durationMs: 2000 },
      })
      expect(JSON.stringify([run, ...machine.memory.sessions.values()])).not.toMatch(/flour|two cups/)
      expect(machine.memory.sessions.get(id)).toMatchObject({ answered: true, lastTurnAt: 2000 })
    }).pipe(
      Effect.provide(poolOn(machine, { reply: () => Effect.delay(Effect.succeed("two cups"), "2 seconds") })),
    )
  })

  it.effect(
    "goes on where it was left when the service has restarted, whatever its agent calls it then",
    () => {
      const machine = new Machine()
      const lefts: Array<LeftOff | undefined> = []
      const renaming: Scene = {
        client: () => ({
          open: ({ id }, left) =>
            Effect.sync(() => {
              lefts.push(Option.getOrUndefined(left))
              return `${id} ${lefts.length}` as AgentSessionRef
            }),
        }),
      }
      return Effect.gen(function* () {
        const id = yield* Effect.provide(
          Effect.tap(opened(), (id) => taken(id, "hello")),
          poolOn(machine, renaming),
        )
        yield* Effect.provide(taken(id, "hello again"), poolOn(machine, renaming))
        expect(lefts).toEqual([
          undefined,
          { ref: `${id} 1`, answered: false },
          { ref: `${id} 2`, answered: true },
        ])
        expect(machine.memory.sessions.get(id)).toMatchObject({ ref: `${id} 3`, turnCount: 2 })
      })
    },
  )

  for (const refusal of [
    new AgentUnavailable({ reason: "it cannot take up a session again" }),
    new ModelNotFound({ reason: "none" }),
  ]) {
    it.effect(`says that its agent cannot take it up again (${refusal._tag}), and stays`, () => {
      const machine = new Machine()
      let refuses = false
      return Effect.gen(function* () {
        const id = yield* opened()
        refuses = true
        expect(yield* Effect.flip(taken(id, "hello"))).toMatchObject({ _tag: refusal._tag })
        expect(machine.outcomes).toEqual([["failed", refusal.code]])
        refuses = false
        expect(textOf(yield* taken(id, "hello"))).toBe("you said hello")
      }).pipe(
        Effect.provide(
          poolOn(machine, {
            client: (whole) => ({
              open: (...how) => Effect.suspend(() => (refuses ? refusal : whole.open(...how))),
            }),
          }),
        ),
      )
    })
  }

  it.effect("stays usable when a turn fails, also one that ends without a word", () => {
    const machine = new Machine()
    return Effect.gen(function* () {
      const id = yield* opened()
      for (const prompt of ["fail", "say nothing"]) {
        expect(yield* Effect.flip(taken(id, prompt))).toMatchObject({ _tag: "TurnFailed", durationMs: 0 })
      }
      expect(textOf(yield* taken(id, "hello"))).toBe("you said hello")
      expect(machine.outcomes).toEqual([
        ["failed", "turn_failed"],
        ["failed", "turn_failed"],
        ["completed", null],
      ])
    }).pipe(
      Effect.provide(
        poolOn(machine, {
          reply: obeying,
          client: (whole) => ({
            prompt: (session, ref, prompt) =>
              prompt === "say nothing" ? Stream.empty : whole.prompt(session, ref, prompt),
          }),
        }),
      ),
    )
  })

  it.effect("interrupts its agent at a turn's timeout, and takes the next when the agent has stopped", () => {
    const machine = new Machine()
    return Effect.gen(function* () {
      const id = yield* opened()
      const slow = yield* accepted(id, "hang", { timeoutSecs: 10 })
      const next = yield* accepted(id, "hello", { timeoutSecs: 1 })
      yield* TestClock.adjust("12 seconds")
      expect(machine.outcomes.map(([status]) => status)).toEqual(["running", "queued"])
      yield* TestClock.adjust("1 second")
      expect(yield* Effect.flip(slow.answer)).toMatchObject({ _tag: "RunTimedOut", timeoutSecs: 10 })
      expect(textOf(yield* next.answer)).toBe("you said hello")
      expect(machine.outcomes).toEqual([
        ["timed_out", "timeout"],
        ["completed", null],
      ])
    }).pipe(Effect.provide(poolOn(machine, { reply: obeying })))
  })

  it.effect("finishes a turn whose caller goes away", () => {
    const machine = new Machine()
    return Effect.gen(function* () {
      const id = yield* opened()
      const caller = yield* Effect.fork(taken(id, "hello"))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(caller)
      yield* TestClock.adjust("1 second")
      expect(machine.outcomes).toEqual([["completed", null]])
    }).pipe(Effect.provide(poolOn(machine, { reply: after("2 seconds") })))
  })

  it.effect("records a defect as a failure of ours, and stays usable", () => {
    const machine = new Machine()
    return Effect.gen(function* () {
      const id = yield* opened()
      yield* Effect.exit(taken(id, "defect"))
      expect(textOf(yield* taken(id, "hello"))).toBe("you said hello")
      expect(machine.outcomes).toEqual([
        ["failed", "internal"],
        ["completed", null],
      ])
    }).pipe(Effect.provide(poolOn(machine, { reply: obeying })))
  })

  it.effect("ends a turn in which the agent never stops sending", () => {
    const machine = new Machine()
    const message = { params: { text: "x".repeat(1_000_000) } }
    const prompt = () => Stream.repeatEffect(Effect.succeed(message))
    return Effect.gen(function* () {
      const id = yield* opened()
      const failure = yield* Effect.flip(taken(id, "on and on"))
      expect(failure).toMatchObject({ _tag: "TurnFailed", reason: expect.stringContaining("characters") })
      expect(machine.outcomes).toEqual([["failed", "turn_failed"]])
    }).pipe(Effect.provide(poolOn(machine, { client: () => ({ prompt }) })))
  })

  it.effect("fails a turn whose message nobody could write as JSON again", () => {
    const machine = new Machine()
    return Effect.gen(function* () {
      const id = yield* opened()
      const failure = yield* Effect.flip(taken(id, "6000"))
      expect(failure).toMatchObject({ _tag: "TurnFailed", reason: expect.stringContaining("levels") })
      expect((yield* taken(id, "500")).events).toHaveLength(2)
    }).pipe(Effect.provide(poolOn(machine, { client: () => ({ prompt: promptNested }) })))
  })
})

/** Uploads `ff_1`, `ff_2` and so on; `held` has those that must not expire now. */
const uploads = (held: Array<string>) =>
  Layer.mock(Files, {
    find: (tokens) =>
      Effect.forEach(tokens, (token) => {
        if (token === "ff_foreign") return new FileNotFound()
        const [name, id] = [`${token}.txt`, token as FileId]
        return Effect.succeed({ id, tokenId: owner, name, size: 1, createdAt: 0, expiresAt: 1 })
      }),
    hold: (files) =>
      Effect.forEach(
        files,
        ({ id }) =>
          Effect.acquireRelease(
            Effect.sync(() => void held.push(id)),
            () => Effect.sync(() => held.splice(held.indexOf(id), 1)),
          ),
        { discard: true },
      ),
    attach: (files, dir) => Effect.succeed(files.map(({ name }) => ({ name, path: `${dir}/${name}` }))),
  })

describe("the files of a turn", () => {
  it.effect("are held from its acceptance to its end, and listed before its prompt in their order", () => {
    const machine = new Machine()
    const held: Array<string> = []
    const heard: Array<string> = []
    const reply: Scene["reply"] = ({ prompt }) =>
      Effect.sync(() => heard.push(prompt)).pipe(Effect.delay("1 second"), Effect.as("done"))
    return Effect.gen(function* () {
      const id = yield* opened()
      yield* accepted(id, "first", { files: ["ff_2", "ff_1"] })
      yield* accepted(id, "second", { files: ["ff_3"] })
      expect(held).toEqual(["ff_2", "ff_1", "ff_3"])
      yield* TestClock.adjust("1 second")
      expect(held).toEqual(["ff_3"])
      yield* TestClock.adjust("1 second")
      expect(held).toEqual([])
      expect(heard[0]).toMatch(
        /^\[Attached files\][^]*attached-1\/ff_2\.txt[^]*attached-1\/ff_1\.txt[^]*first$/,
      )
      expect(heard[1]).toMatch(/^\[Attached files\][^]*attached-2\/ff_3\.txt[^]*second$/)
    }).pipe(Effect.provide(poolOn(machine, { files: uploads(held), reply })))
  })

  it.effect("are let go of when it is not accepted, for whatever reason", () => {
    const machine = new Machine()
    const held: Array<string> = []
    let refuses = false
    const scene: Scene = {
      files: uploads(held),
      maxQueuedTurns: 0,
      reply: () => Effect.never,
      runs: (whole) => ({
        accept: (...how) => Effect.suspend(() => (refuses ? broken : whole.accept(...how))),
      }),
    }
    return Effect.gen(function* () {
      const [id, other] = [yield* opened(), yield* opened()]
      expect(yield* Effect.flip(accepted(id, "hello", { files: ["ff_1", "ff_foreign"] }))).toMatchObject({
        _tag: "FileNotFound",
      })
      yield* accepted(id, "hello")
      expect(yield* Effect.flip(accepted(id, "hello", { files: ["ff_1"] }))).toMatchObject({
        _tag: "SessionBusy",
      })
      refuses = true
      expect(yield* Effect.flip(accepted(other, "hello", { files: ["ff_1"] }))).toMatchObject({
        _tag: "StorageFailed",
      })
      refuses = false
      yield* accepted(other, "the place is free again")
      expect(held).toEqual([])
    }).pipe(Effect.provide(poolOn(machine, scene)))
  })

  it.effect("are let go of when its caller goes away before it is accepted", () => {
    const machine = new Machine()
    const held: Array<string> = []
    return Effect.gen(function* () {
      const door = yield* Deferred.make<void>()
      yield* Effect.gen(function* () {
        const id = yield* opened()
        const first = yield* Effect.fork(accepted(id, "at the door", { files: ["ff_1"] }))
        const second = yield* Effect.fork(accepted(id, "behind it", { files: ["ff_2"] }))
        yield* TestClock.adjust("1 second")
        expect(held).toEqual(["ff_1", "ff_2"])
        yield* Fiber.interrupt(second)
        expect(held).toEqual(["ff_1"])
        // It is being recorded: it is either accepted, or it never was.
        yield* Fiber.interruptFork(first)
        yield* Deferred.succeed(door, undefined)
        yield* TestClock.adjust("1 second")
        expect(machine.outcomes).toEqual([["completed", null]])
        expect(held).toEqual([])
        expect((yield* accepted(id, "next")).index).toBe(2)
      }).pipe(
        Effect.provide(
          poolOn(machine, {
            files: uploads(held),
            runs: (whole) => ({
              accept: (...how) => Effect.zipRight(Deferred.await(door), whole.accept(...how)),
            }),
          }),
        ),
      )
    })
  })

  it.effect("that cannot be let go of are a bug of ours: it is recorded, and the next turn comes", () => {
    const machine = new Machine()
    const files = Layer.mock(Files, {
      find: (tokens) =>
        Effect.succeed(
          tokens.map((token) => {
            const [name, id] = [`${token}.txt`, token as FileId]
            return { id, tokenId: owner, name, size: 1, createdAt: 0, expiresAt: 1 }
          }),
        ),
      hold: (files) =>
        Effect.acquireRelease(Effect.void, () => (files.length > 0 ? Effect.die("a bug") : Effect.void)),
      attach: () => Effect.succeed([]),
    })
    return Effect.gen(function* () {
      const id = yield* opened()
      expect(Exit.isFailure(yield* Effect.exit(taken(id, "hello", { files: ["ff_1"] })))).toBe(true)
      expect(textOf(yield* taken(id, "hello"))).toBe("you said hello")
      expect(machine.outcomes).toEqual([
        ["failed", "internal"],
        ["completed", null],
      ])
    }).pipe(Effect.provide(poolOn(machine, { files })))
  })
})
