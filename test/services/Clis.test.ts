import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Option, TestClock } from "effect"
import { StorageFailed } from "../../src/domain/Failure.ts"
import { Clis } from "../../src/services/agents/Clis.ts"
import { Ledger } from "../../src/services/journal/Ledger.ts"
import { LedgerMemory, ledger, processes } from "../../src/testing.ts"

/** CLIs that print `state.says` for the login, on a ledger that fails while `state.isFull`. */
const scene = () => {
  const memory = new LedgerMemory()
  const state = { says: '{"loggedIn":true}', isFull: false }
  const failing = Layer.effect(
    Ledger,
    Effect.map(Ledger, (whole) => ({
      ...whole,
      events: {
        ...whole.events,
        append: (event: Parameters<typeof whole.events.append>[0]) =>
          Effect.suspend(() =>
            state.isFull ? new StorageFailed({ during: "a test", cause: null }) : whole.events.append(event),
          ),
      },
    })),
  ).pipe(Layer.provide(ledger(memory)))
  const agent = processes(({ args }) => ({
    lines: args.includes("auth") ? [state.says] : ["1.2.3"],
    exit: { code: 0, signal: null },
  }))
  const cli = { command: "claude", args: [] }
  const clis = Clis.layer({ claude: cli, acpx: cli, cwd: "/", env: {}, needed: [] })
  return { memory, state, layer: Layer.provide(clis, [agent, failing]) }
}

const aMinute = TestClock.adjust("1 minute")

describe("the login", () => {
  it.effect("makes an event when it changes, and none when it is unchanged or not known", () => {
    const { memory, state, layer } = scene()
    const changes = () => memory.events.map(({ type, at, data }) => [type, at, data])
    return Effect.gen(function* () {
      const { versions } = yield* Clis
      yield* aMinute
      expect((yield* versions).loggedIn).toEqual(Option.some(true))
      for (const says of ["no idea", '{"loggedIn":true}']) {
        state.says = says
        yield* aMinute
      }
      expect(changes()).toEqual([])
      for (const says of ["no idea", '{"loggedIn":false}', '{"loggedIn":false}', '{"loggedIn":true}']) {
        state.says = says
        yield* aMinute
      }
      expect(changes()).toEqual([
        ["login.changed", 300_000, { logged_in: false }],
        ["login.changed", 420_000, { logged_in: true }],
      ])
    }).pipe(Effect.provide(layer))
  })

  it.effect("is recorded by the next probe when the ledger failed", () => {
    const { memory, state, layer } = scene()
    return Effect.gen(function* () {
      const { versions } = yield* Clis
      yield* aMinute
      state.says = '{"loggedIn":false}'
      state.isFull = true
      yield* aMinute
      expect((yield* versions).loggedIn).toEqual(Option.some(false))
      expect(memory.events).toEqual([])
      state.isFull = false
      yield* aMinute
      expect(memory.events).toMatchObject([{ data: { logged_in: false } }])
    }).pipe(Effect.provide(layer))
  })
})
