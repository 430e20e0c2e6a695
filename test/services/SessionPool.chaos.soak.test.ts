import { describe, expect, it } from "@effect/vitest"
import { Effect, Either, Fiber, Random, TestClock } from "effect"
import type { SessionId } from "../../src/domain/Ids.ts"
import { AgentUnavailable } from "../../src/domain/Failure.ts"
import type { TokenName } from "../../src/domain/Token.ts"
import { Revocation } from "../../src/services/access/Revocation.ts"
import { RunEngine } from "../../src/services/runs/RunEngine.ts"
import { SessionPool } from "../../src/services/sessions/SessionPool.ts"
import {
  accepted,
  closed,
  Machine,
  obeying,
  opened,
  origin,
  owner,
  poolOn,
  type Scene,
} from "../support/MockedPool.ts"
import { isSoak } from "../support/Scale.ts"

const seeds = process.env["CHAOS_SEED"]?.split(",") ?? ["2"]

/** Concurrent clients of the pool. */
const CLIENTS = isSoak ? 12 : 6

const PROMPTS = ["hello", "hello", "fail", "defect", "wait", "hang"]

const anyOf = <A>(all: Iterable<A>) =>
  Effect.map(Random.nextIntBetween(0, 1_000), (n) => [...all][n % Math.max(1, [...all].length)] as A)

/** Waits up to two seconds, often not at all. */
const dawdle = Effect.flatMap(Random.nextIntBetween(-1000, 2000), (millis) =>
  millis < 0 ? Effect.void : Effect.sleep(millis),
)

/** Does it at some time, and goes away at some other, or stays. */
const sometime = <A, E, R>(what: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    yield* dawdle
    const doing = yield* Effect.fork(Effect.exit(what))
    if ((yield* Random.nextIntBetween(0, 4)) === 0) {
      yield* dawdle
      yield* Fiber.interrupt(doing)
    }
    yield* Fiber.await(doing)
  })

const slow = <A, E, R>(what: Effect.Effect<A, E, R>) =>
  dawdle.pipe(Effect.zipRight(what), Effect.zipLeft(dawdle))

describe("the pool, used by everybody at once", () => {
  for (const seed of seeds) {
    it.effect(`keeps its promises (CHAOS_SEED=${seed})`, () => {
      const machine = new Machine()
      const atWork = new Set<SessionId>()
      const overlaps: Array<SessionId> = []
      const scene: Scene = {
        maxLiveSessions: 6,
        maxQueuedTurns: 3,
        reply: (asked) => {
          const { id } = asked.session
          return Effect.acquireUseRelease(
            Effect.sync(() => {
              if (atWork.has(id) || !machine.dirs.has(id)) overlaps.push(id)
              atWork.add(id)
            }),
            () => Effect.zipRight(dawdle, obeying(asked)),
            () => Effect.sync(() => atWork.delete(id)),
          )
        },
        client: (whole) => ({
          open: (...how) =>
            Effect.flatMap(Random.nextIntBetween(0, 8), (n) =>
              n === 0 ? new AgentUnavailable({ reason: "a bad day" }) : slow(whole.open(...how)),
            ),
          cancel: (...how) =>
            Effect.flatMap(Random.nextBoolean, (obeys) => (obeys ? slow(whole.cancel(...how)) : Effect.void)),
          close: (...how) => slow(whole.close(...how)),
        }),
        runs: (whole) => ({
          accept: (...how) => Effect.zipLeft(whole.accept(...how), Effect.yieldNow()),
        }),
        sessions: (whole) => ({
          activate: (...how) => Effect.zipLeft(whole.activate(...how), Effect.yieldNow()),
        }),
      }
      const turn = Effect.gen(function* () {
        const open = [...machine.memory.sessions.values()].filter(({ status }) => status === "open")
        if (open.length === 0) return
        const prompt = yield* anyOf(PROMPTS)
        const { answer } = yield* accepted((yield* anyOf(open)).id, prompt, { timeoutSecs: 10 })
        yield* answer
      })
      const act = Effect.gen(function* () {
        const pool = yield* SessionPool
        const any = yield* anyOf(machine.memory.sessions.keys())
        const session = yield* Effect.either(pool.get(any, owner))
        const now = yield* TestClock.currentTimeMillis
        return yield* anyOf<Effect.Effect<unknown, unknown, SessionPool>>([
          opened(),
          opened(),
          opened(),
          opened(),
          turn,
          turn,
          turn,
          turn,
          turn,
          turn,
          turn,
          turn,
          turn,
          closed(any),
          pool.erase(any),
          Either.isRight(session) ? pool.closeIdle(session.right, now - 3000) : Effect.void,
        ])
      })
      return Effect.gen(function* () {
        const all = yield* Effect.fork(
          Effect.all(
            Array.from({ length: CLIENTS }, () => Effect.repeatN(Effect.flatMap(act, sometime), 10)),
            { concurrency: "unbounded" },
          ),
        )
        yield* Effect.repeatN(TestClock.adjust("1 second"), 1200).pipe(Effect.race(Fiber.join(all)))
        const { revoke } = yield* Revocation
        const closing = yield* Effect.fork(revoke(owner as string as TokenName, origin))
        yield* Effect.repeatN(TestClock.adjust("1 second"), 60)
        yield* Fiber.join(closing)
        yield* (yield* RunEngine).shutdown
        const runs = [...machine.memory.runs.values()]
        expect(overlaps).toEqual([])
        expect(runs.filter(({ end }) => end === undefined)).toEqual([])
        expect(runs.length).toBeGreaterThan(20)
        for (const { id, turnCount } of machine.memory.sessions.values()) {
          const indexes = runs.filter(({ session }) => session === id).map(({ turnIndex }) => turnIndex)
          expect(indexes).toEqual(Array.from({ length: turnCount }, (_, n) => n + 1))
        }
        expect([...machine.dirs]).toEqual([])
        expect([...machine.attached]).toEqual([])
        expect(yield* (yield* SessionPool).openSessions).toBe(0)
      }).pipe(Effect.provide(poolOn(machine, scene)), Effect.withRandom(Random.make(seed)))
    })
  }
})
