import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option, Scope, Supervisor, TestClock } from "effect"
import { AgentUnavailable, ExecutableMissing, StorageFailed, TurnFailed } from "../../src/domain/Failure.ts"
import type { AgentSessionRef } from "../../src/domain/Session.ts"
import type { SessionId } from "../../src/domain/Ids.ts"
import type { AppToken, TokenName } from "../../src/domain/Token.ts"
import { Revocation } from "../../src/services/access/Revocation.ts"
import { RunEngine } from "../../src/services/runs/RunEngine.ts"
import { SessionPool } from "../../src/services/sessions/SessionPool.ts"
import { makeSessionQueues } from "../../src/services/sessions/SessionQueues.ts"
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
} from "../support/MockedPool.ts"

const broken = new StorageFailed({ during: "a test", cause: "a full disk" })

/** Nothing but its row is left of a closed session. */
const onlyRows = (rows: number) => ({ ...nothing, rows })

const revoked: AppToken = {
  id: owner,
  name: "recipes" as TokenName,
  ipCidrs: [],
  createdAt: 0,
  lastUsedAt: null,
  revokedAt: 1,
}

describe("closing a session", () => {
  it.effect("lets its agent and its directory go, once: again, it changes nothing", () => {
    const machine = new Machine()
    return Effect.gen(function* () {
      const id = yield* opened()
      yield* taken(id, "hello")
      expect(yield* closed(id)).toEqual({ alreadyClosed: false })
      expect(machine.left).toEqual(onlyRows(1))
      expect(machine.asked).toEqual([`close mock-${id}`])
      expect(yield* closed(id)).toEqual({ alreadyClosed: true })
      expect(machine.asked).toHaveLength(1)
      expect(yield* (yield* SessionPool).get(id, owner)).toMatchObject({ status: "closed", turnCount: 1 })
    }).pipe(Effect.provide(poolOn(machine)))
  })

  it.effect("cancels its turns first: the one at work, and those that wait without asking the agent", () => {
    const machine = new Machine()
    const heard: Array<string> = []
    const reply: Scene["reply"] = ({ prompt }) =>
      Effect.zipRight(
        Effect.sync(() => heard.push(prompt)),
        Effect.never,
      )
    return Effect.gen(function* () {
      const id = yield* opened()
      const turns = [yield* accepted(id, "one"), yield* accepted(id, "two"), yield* accepted(id, "three")]
      yield* TestClock.adjust("5 seconds")
      expect(yield* closed(id)).toEqual({ alreadyClosed: false })
      expect(machine.left).toEqual(onlyRows(1))
      const reports = yield* Effect.all(turns.map(({ answer }) => answer))
      expect(reports.map(({ stopReason, durationMs }) => [stopReason, durationMs])).toEqual([
        ["cancelled", 5000],
        ["cancelled", 0],
        ["cancelled", 0],
      ])
      expect(reports.map(({ events }) => events.length)).toEqual([1, 0, 0])
      expect(machine.outcomes).toEqual(turns.map(() => ["cancelled", null]))
      expect(heard).toEqual(["one"])
      expect(machine.asked).toEqual(["cancel", `close mock-${id}`])
      // Nobody was answered in it.
      expect(machine.memory.sessions.get(id)?.answered).toBe(false)
    }).pipe(Effect.provide(poolOn(machine, { reply })))
  })

  it.effect(
    "interrupts an agent that is deaf to it when its patience is over, whatever the turn's timeout",
    () => {
      const machine = new Machine()
      return Effect.gen(function* () {
        const id = yield* opened()
        const turn = yield* accepted(id, "hang", { timeoutSecs: 6 })
        yield* TestClock.adjust("3 seconds")
        const closing = yield* Effect.fork(closed(id))
        // 4 s of patience, of which the turn has 3, and 3 s in which the agent is interrupted.
        yield* TestClock.adjust("5 seconds")
        expect(yield* Fiber.poll(closing)).toEqual(Option.none())
        expect(machine.left).toEqual({ rows: 1, dirs: 1, attached: 1 })
        yield* TestClock.adjust("2 seconds")
        expect(yield* turn.answer).toMatchObject({ stopReason: "cancelled", events: [] })
        yield* Fiber.join(closing)
        expect(machine.left).toEqual(onlyRows(1))
      }).pipe(
        Effect.provide(poolOn(machine, { reply: obeying, client: () => ({ cancel: () => Effect.void }) })),
      )
    },
  )

  it.effect("has the same patience with an agent that cannot even be asked to cancel", () => {
    const machine = new Machine()
    return Effect.gen(function* () {
      const id = yield* opened()
      const turn = yield* accepted(id, "hello", { timeoutSecs: 3600 })
      yield* TestClock.adjust("1 second")
      const closing = yield* Effect.fork(closed(id))
      yield* TestClock.adjust("4 seconds")
      expect(yield* turn.answer).toMatchObject({ stopReason: "cancelled", durationMs: 5000 })
      yield* Fiber.join(closing)
    }).pipe(
      Effect.provide(
        poolOn(machine, { reply: () => Effect.never, client: () => ({ cancel: () => Effect.never }) }),
      ),
    )
  })

  for (const failure of [
    new TurnFailed({ reason: "cancelled" }),
    new AgentUnavailable({ reason: "its process ended" }),
  ]) {
    it.effect(`counts as cancelled what ends with ${failure._tag} because it was cancelled`, () => {
      const machine = new Machine()
      return Effect.gen(function* () {
        const obeyed = yield* Deferred.make<never, typeof failure>()
        const scene: Scene = {
          reply: () => Deferred.await(obeyed),
          client: () => ({ cancel: () => Deferred.fail(obeyed, failure) }),
        }
        yield* Effect.gen(function* () {
          const id = yield* opened()
          const turn = yield* accepted(id, "hello")
          yield* TestClock.adjust("1 second")
          yield* closed(id)
          expect(yield* turn.answer).toMatchObject({ stopReason: "cancelled" })
          expect(machine.outcomes).toEqual([["cancelled", null]])
        }).pipe(Effect.provide(poolOn(machine, scene)))
      })
    })
  }

  it.effect("does not wait for an agent that is still taking the session up, and gives it no prompt", () => {
    const machine = new Machine()
    const heard: Array<string> = []
    let resuming = false
    const scene: Scene = {
      reply: ({ prompt }) => Effect.sync(() => String(heard.push(prompt))),
      client: (whole) => ({
        open: (...how) => Effect.suspend(() => (resuming ? Effect.never : whole.open(...how))),
      }),
    }
    return Effect.gen(function* () {
      const id = yield* opened()
      resuming = true
      const turn = yield* accepted(id, "hello")
      yield* TestClock.adjust("1 second")
      yield* closed(id)
      expect(yield* turn.answer).toMatchObject({ stopReason: "cancelled", events: [], durationMs: 1000 })
      expect(heard).toEqual([])
      expect(machine.left).toEqual(onlyRows(1))
    }).pipe(Effect.provide(poolOn(machine, scene)))
  })

  it.effect("returns only when the session is let go of, also when somebody else is closing it", () => {
    const machine = new Machine()
    return Effect.gen(function* () {
      const id = yield* opened()
      const [first, second] = [yield* Effect.fork(closed(id)), yield* Effect.fork(closed(id))]
      yield* TestClock.adjust("1 second")
      expect(yield* (yield* SessionPool).get(id, owner)).toMatchObject({ status: "closed" })
      expect([yield* Fiber.poll(first), yield* Fiber.poll(second)]).toEqual([Option.none(), Option.none()])
      yield* TestClock.adjust("1 second")
      expect(yield* Fiber.join(first)).toEqual({ alreadyClosed: false })
      expect(yield* Fiber.join(second)).toEqual({ alreadyClosed: true })
      expect(machine.asked).toEqual([`close mock-${id}`])
    }).pipe(Effect.provide(poolOn(machine, { client: () => ({ close: () => Effect.sleep("2 seconds") }) })))
  })

  it.effect("goes on when who asked for it goes away, even before its first step", () => {
    const machine = new Machine()
    return Effect.gen(function* () {
      const [early, late] = [yield* opened(), yield* opened()]
      const closing = yield* Effect.fork(closed(late))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(closing)
      expect(machine.left).toEqual({ rows: 2, dirs: 2, attached: 2 })
      yield* TestClock.adjust("1 second")
      expect(machine.left).toEqual({ rows: 2, dirs: 1, attached: 1 })
      yield* Fiber.interrupt(yield* Effect.fork(closed(early)))
      yield* closed(early).pipe(Effect.zipLeft(TestClock.adjust("2 seconds"), { concurrent: true }))
      expect(machine.left).toEqual(onlyRows(2))
    }).pipe(Effect.provide(poolOn(machine, { client: () => ({ close: () => Effect.sleep("2 seconds") }) })))
  })

  it.effect("meets a turn that is just being accepted: it is refused or cancelled, and never works", () => {
    const machine = new Machine()
    const heard: Array<string> = []
    const reply: Scene["reply"] = ({ prompt }) => Effect.sync(() => String(heard.push(prompt)))
    return Effect.gen(function* () {
      const [before, behind] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const runs: Scene["runs"] = (whole) => ({
        accept: (...how) =>
          Deferred.await(before).pipe(
            Effect.zipRight(whole.accept(...how)),
            Effect.zipLeft(Deferred.await(behind)),
          ),
      })
      yield* Effect.gen(function* () {
        const [refused, cancelled] = [yield* opened(), yield* opened()]
        const late = yield* Effect.fork(Effect.flip(accepted(refused, "hello")))
        yield* TestClock.adjust("1 second")
        const closing = yield* Effect.fork(closed(refused))
        yield* TestClock.adjust("1 second")
        yield* Deferred.succeed(before, undefined)
        expect(yield* Fiber.join(late)).toMatchObject({ _tag: "SessionClosed" })
        yield* Fiber.join(closing)

        const early = yield* Effect.fork(taken(cancelled, "hello"))
        yield* TestClock.adjust("1 second")
        const closingToo = yield* Effect.fork(closed(cancelled))
        yield* TestClock.adjust("1 second")
        expect(yield* Fiber.poll(closingToo)).toEqual(Option.none())
        yield* Deferred.succeed(behind, undefined)
        expect(yield* Fiber.join(early)).toMatchObject({ stopReason: "cancelled", events: [] })
        yield* Fiber.join(closingToo)
        expect(heard).toEqual([])
        expect(machine.left).toEqual(onlyRows(2))
      }).pipe(Effect.provide(poolOn(machine, { reply, runs })))
    })
  })

  it.effect("lets go of what its agent calls it by then", () => {
    const machine = new Machine()
    let opens = 0
    return Effect.gen(function* () {
      const door = yield* Deferred.make<void>()
      const scene: Scene = {
        client: () => ({ open: () => Effect.sync(() => `ref ${++opens}` as AgentSessionRef) }),
        sessions: (whole) => ({
          close: (...how) => Effect.zipRight(Deferred.await(door), whole.close(...how)),
        }),
      }
      yield* Effect.gen(function* () {
        const id = yield* opened()
        const closing = yield* Effect.fork(closed(id))
        yield* TestClock.adjust("1 second")
        yield* taken(id, "hello")
        yield* Deferred.succeed(door, undefined)
        yield* Fiber.join(closing)
        expect(machine.asked).toEqual(["close ref 2"])
      }).pipe(Effect.provide(poolOn(machine, scene)))
    })
  })

  it.effect(
    "ends it though the ledger fails, which gets it later, and leaves an orphan when its directory does not go",
    () => {
      const machine = new Machine()
      let works = false
      const scene: Scene = {
        sessions: (whole) => ({
          close: (...how) => Effect.suspend(() => (works ? whole.close(...how) : broken)),
        }),
        dirs: () => ({ remove: () => broken }),
      }
      return Effect.gen(function* () {
        const id = yield* opened()
        expect(yield* closed(id)).toEqual({ alreadyClosed: false })
        expect(yield* closed(id)).toEqual({ alreadyClosed: true })
        expect(yield* Effect.flip(taken(id, "hello"))).toMatchObject({ _tag: "SessionClosed" })
        expect([...machine.memory.sessions.values()].map(({ status }) => status)).toEqual(["open"])
        works = true
        yield* TestClock.adjust("1 second")
        expect([...machine.memory.sessions.values()].map(({ status }) => status)).toEqual(["closed"])
        expect(machine.left).toEqual({ rows: 1, dirs: 1, attached: 0 })
      }).pipe(Effect.provide(poolOn(machine, scene)))
    },
  )
})

describe("closing idle sessions", () => {
  it.effect("skips one with a turn that is not finished, however long it takes", () => {
    const machine = new Machine()
    return Effect.gen(function* () {
      const pool = yield* SessionPool
      const id = yield* opened()
      const turn = yield* accepted(id, "hello", { timeoutSecs: 3600 })
      yield* TestClock.adjust("30 minutes")
      const session = yield* pool.get(id, owner)
      expect(yield* pool.closeIdle(session, 1_800_000)).toBe(false)
      yield* TestClock.adjust("1 hour")
      yield* turn.answer
      // Its end counts as much as its beginning.
      expect(yield* pool.closeIdle(session, 1_800_000)).toBe(false)
      expect(yield* pool.closeIdle(session, 3_600_001)).toBe(true)
      expect(yield* pool.closeIdle(session, 3_600_001)).toBe(false)
      expect(machine.left).toEqual(onlyRows(1))
    }).pipe(Effect.provide(poolOn(machine, { reply: after("1 hour") })))
  })

  it.effect("closes none that is gone", () => {
    const machine = new Machine()
    return Effect.gen(function* () {
      const pool = yield* SessionPool
      const id = yield* opened()
      const session = yield* pool.get(id, owner)
      yield* closed(id)
      yield* pool.erase(id)
      expect(yield* pool.closeIdle(session, 1)).toBe(false)
    }).pipe(Effect.provide(poolOn(machine)))
  })
})

describe("erasing a session", () => {
  it.effect("takes the agent's record and the row, of a closed one only", () => {
    const machine = new Machine()
    return Effect.gen(function* () {
      const pool = yield* SessionPool
      const id = yield* opened()
      expect(yield* pool.erase(id)).toBe(false)
      yield* closed(id)
      expect(yield* pool.erase(id)).toBe(true)
      expect(machine.left).toEqual(nothing)
      expect(machine.asked).toEqual([`close mock-${id}`, `erase mock-${id}`])
      expect(yield* pool.erase(id)).toBe(false)
      expect(yield* Effect.flip(pool.get(id, owner))).toMatchObject({ _tag: "SessionNotFound" })
    }).pipe(Effect.provide(poolOn(machine)))
  })

  it.effect("leaves one alone that is closed and not let go of yet", () => {
    const machine = new Machine()
    return Effect.gen(function* () {
      const id = yield* opened()
      yield* accepted(id, "hang")
      yield* TestClock.adjust("1 second")
      yield* Effect.fork(closed(id))
      yield* TestClock.adjust("1 second")
      const pool = yield* SessionPool
      expect(yield* pool.erase(id)).toBe(false)
      yield* TestClock.adjust("10 seconds")
      expect(yield* pool.erase(id)).toBe(true)
      expect(machine.asked).toEqual(["cancel", `close mock-${id}`, `erase mock-${id}`])
    }).pipe(
      Effect.provide(poolOn(machine, { reply: obeying, client: () => ({ cancel: () => Effect.void }) })),
    )
  })

  it.effect(
    "keeps the row as long as the agent does not delete its record, unless it is not there any more",
    () => {
      const machine = new Machine()
      let erase: Effect.Effect<void, AgentUnavailable | ExecutableMissing> = new AgentUnavailable({
        reason: "no",
      })
      return Effect.gen(function* () {
        const pool = yield* SessionPool
        const id = yield* opened()
        yield* closed(id)
        expect(yield* Effect.flip(pool.erase(id))).toMatchObject({ _tag: "AgentUnavailable" })
        expect(machine.left.rows).toBe(1)
        erase = new ExecutableMissing({ program: "claude" })
        expect(yield* pool.erase(id)).toBe(true)
        expect(machine.left).toEqual(nothing)
      }).pipe(
        Effect.provide(poolOn(machine, { client: () => ({ erase: () => Effect.suspend(() => erase) }) })),
      )
    },
  )
})

describe("a token that is revoked", () => {
  const revoking = Effect.flatMap(Revocation, ({ revoke }) => revoke(owner as string as TokenName, origin))

  it.effect("ends its turns, closes its sessions, then ends its agents; and no others", () => {
    const machine = new Machine()
    return Effect.gen(function* () {
      const [one, other, theirs] = [yield* opened(), yield* opened(), yield* opened(stranger)]
      const turns = [
        yield* accepted(one, "hang"),
        yield* accepted(one, "hello"),
        yield* accepted(other, "hang"),
      ]
      const foreign = yield* accepted(theirs, "hang", {}, stranger)
      yield* TestClock.adjust("1 second")
      machine.memory.tokens.set("hash", revoked)
      yield* Effect.uninterruptible(revoking)
      yield* TestClock.adjust("3 seconds")
      for (const { answer } of turns) {
        expect(yield* Effect.flip(answer)).toMatchObject({ _tag: "Unauthorized" })
      }
      expect(machine.outcomes.slice(0, 3)).toEqual(turns.map(() => ["cancelled", "unauthorized"]))
      expect(machine.left).toEqual({ rows: 3, dirs: 1, attached: 1 })
      expect(machine.asked.at(-1)).toBe(`endOf ${owner}`)
      expect(yield* (yield* SessionPool).get(theirs, stranger)).toMatchObject({ status: "open" })
      yield* TestClock.adjust("60 seconds")
      expect(yield* Effect.flip(foreign.answer)).toMatchObject({ _tag: "RunTimedOut" })
    }).pipe(Effect.provide(poolOn(machine, { reply: obeying })))
  })

  it.effect("ends its agents though its sessions cannot be looked up", () => {
    const machine = new Machine()
    return Effect.gen(function* () {
      yield* opened()
      yield* revoking
      yield* TestClock.adjust("1 second")
      expect(machine.asked).toEqual([`endOf ${owner}`])
    }).pipe(Effect.provide(poolOn(machine, { sessions: () => ({ list: () => broken }) })))
  })

  it.effect("does not hold up a service that stops meanwhile", () => {
    const machine = new Machine()
    return Effect.gen(function* () {
      yield* opened()
      yield* Effect.uninterruptible(revoking)
      yield* TestClock.adjust("1 second")
    }).pipe(
      Effect.provide(
        poolOn(machine, { client: () => ({ close: () => Effect.never, endOf: () => Effect.void }) }),
      ),
    )
  })
})

describe("a service that stops", () => {
  it.effect(
    "ends what waits at once and what is at work after its grace, then the agents; sessions stay",
    () => {
      const machine = new Machine()
      return Effect.gen(function* () {
        const live = yield* RunEngine
        const [deaf, quick] = [yield* opened(), yield* opened()]
        const hanging = yield* accepted(deaf, "hang")
        const waiting = yield* accepted(deaf, "hello")
        const answered = yield* accepted(quick, "hello")
        yield* TestClock.adjust("1 second")
        const stopping = yield* Effect.fork(live.shutdown)
        yield* TestClock.adjust("0 seconds")
        expect(yield* Effect.flip(waiting.answer)).toMatchObject({ _tag: "ShuttingDown" })
        expect(yield* Effect.flip(opened())).toMatchObject({ _tag: "ShuttingDown" })
        expect(yield* Effect.flip(accepted(quick, "more"))).toMatchObject({ _tag: "ShuttingDown" })
        expect(textOf(yield* answered.answer)).toBe("you said hello")
        yield* TestClock.adjust("9 seconds")
        expect(machine.outcomes[0]).toEqual(["running", undefined])
        expect(machine.asked).toEqual([])
        yield* TestClock.adjust("4 seconds")
        expect(yield* Effect.flip(hanging.answer)).toMatchObject({
          _tag: "ShuttingDown",
          code: "shutting_down",
        })
        yield* Fiber.join(stopping)
        expect(machine.outcomes).toEqual([
          ["cancelled", "shutting_down"],
          ["cancelled", "shutting_down"],
          ["completed", null],
        ])
        expect(machine.asked).toEqual(["endAll"])
        expect(machine.left).toEqual({ rows: 2, dirs: 2, attached: 2 })
      }).pipe(Effect.provide(poolOn(machine, { reply: obeying })))
    },
  )

  it.effect("waits for a turn that is just being accepted, which then ends", () => {
    const machine = new Machine()
    return Effect.gen(function* () {
      const turn = yield* Effect.fork(Effect.flatMap(opened(), (id) => taken(id, "hello")))
      yield* TestClock.adjust("1 second")
      const stopping = yield* Effect.fork(Effect.flatMap(RunEngine, (live) => live.shutdown))
      yield* TestClock.adjust("0 seconds")
      expect(yield* Fiber.poll(stopping)).toEqual(Option.none())
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(stopping)
      expect(machine.outcomes).toEqual([["cancelled", "shutting_down"]])
      expect(yield* Effect.flip(Fiber.join(turn))).toMatchObject({ _tag: "ShuttingDown" })
    }).pipe(
      Effect.provide(
        poolOn(machine, {
          runs: (whole) => ({ accept: (...how) => Effect.delay(whole.accept(...how), "2 seconds") }),
        }),
      ),
    )
  })

  it.effect("takes each session up again when it has started", () => {
    const machine = new Machine()
    return Effect.gen(function* () {
      const id = yield* Effect.provide(
        Effect.gen(function* () {
          const id = yield* opened()
          yield* accepted(id, "hang")
          yield* TestClock.adjust("1 second")
          yield* Effect.fork((yield* RunEngine).shutdown)
          yield* TestClock.adjust("13 seconds")
          return id
        }),
        poolOn(machine, { reply: obeying }),
      )
      expect(textOf(yield* Effect.provide(taken(id, "hello"), poolOn(machine)))).toBe("you said hello")
    })
  })
})

describe("what has ended", () => {
  it.scoped("leaves no lane behind, whether its turns had a place or were refused", () =>
    Effect.gen(function* () {
      const lanes = yield* makeSessionQueues(1)
      const id = "00000000-0000-4000-8000-000000000001" as SessionId
      for (let n = 0; n < 100; n++) {
        const [one, other] = [yield* Scope.make(), yield* Scope.make()]
        const first = yield* Scope.extend(lanes.of(id), one)
        const second = yield* Scope.extend(lanes.of(id), other)
        expect(second).toBe(first)
        yield* Scope.extend(first.enter, one)
        yield* Scope.extend(first.enter, other)
        expect(yield* Effect.flip(Effect.scoped(first.enter))).toMatchObject({
          _tag: "SessionBusy",
          limit: 1,
        })
        yield* Scope.close(one, Exit.void)
        yield* Scope.close(other, Exit.void)
        // The next is a new one.
        expect(yield* Effect.scoped(lanes.of(id))).not.toBe(first)
      }
    }),
  )

  it.effect("leaves no fiber behind", () => {
    const machine = new Machine()
    const cycle = Effect.gen(function* () {
      const id = yield* opened()
      yield* taken(id, "hello")
      yield* Effect.flip(taken(id, "fail"))
      yield* accepted(id, "wait")
      yield* accepted(id, "wait")
      yield* closed(id)
      yield* (yield* SessionPool).erase(id)
    })
    return Effect.gen(function* () {
      const fibers = yield* Supervisor.track
      yield* Effect.gen(function* () {
        for (let n = 0; n < 30; n++) yield* cycle
        yield* TestClock.adjust("1 second")
      }).pipe(Effect.supervised(fibers))
      expect((yield* fibers.value).filter((fiber) => fiber.unsafePoll() === null)).toEqual([])
      expect(machine.left).toEqual(nothing)
    }).pipe(Effect.provide(poolOn(machine, { reply: obeying })))
  })
})
