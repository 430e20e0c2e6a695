import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Logger, TestClock } from "effect"
import { NotLoggedIn, ProviderOverloaded, RateLimited, StorageFailed } from "../../src/domain/Failure.ts"
import { Ledger } from "../../src/services/journal/Ledger.ts"
import { LoginMonitor } from "../../src/services/upkeep/LoginMonitor.ts"
import { CredentialMemory, credentialFile, LedgerMemory, ledger } from "../../src/testing.ts"

const HOUR_MILLIS = 3_600_000
const refused = new NotLoggedIn({
  reason: "API Error: 401 OAuth token has expired",
  stderr: "of another run",
})

/** A monitor on a file of a login, and a ledger that fails while `isFull`. */
const scene = () => {
  const memory = new LedgerMemory()
  const file = new CredentialMemory()
  const state = { isFull: false }
  const lines: Array<string> = []
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
  const log = Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ message }) => void lines.push(String(message))),
  )
  const layer = LoginMonitor.layer.pipe(Layer.provide([failing, credentialFile(file), log]))
  const events = () => memory.events.map(({ data }) => data as Record<string, unknown>)
  return { file, state, lines, events, layer }
}

/** Whether work for that model is admitted, or why not. */
const admitted = (model: string | null = "sonnet") =>
  Effect.flatMap(LoginMonitor, ({ admit }) =>
    Effect.match(admit(model), {
      onSuccess: () => "admitted",
      onFailure: ({ code, retryAfterSecs }) => `${code} ${retryAfterSecs}`,
    }),
  )

const fails = (failure: NotLoggedIn | RateLimited | ProviderOverloaded, model: string | null = "sonnet") =>
  Effect.flatMap(LoginMonitor, ({ attempt }) =>
    Effect.flatMap(attempt(model), ({ failed }) => failed(failure)),
  )

const works = (model: string | null = "sonnet") =>
  Effect.flatMap(LoginMonitor, ({ attempt }) => Effect.flatMap(attempt(model), ({ worked }) => worked))

const stateNow = Effect.flatMap(LoginMonitor, ({ status }) => Effect.map(status, ({ state }) => state))

/** Waits for what is recorded in the background. */
const recorded = TestClock.adjust(0)

const limited = (afterMillis: number, more: { readonly family?: string } = {}) =>
  new RateLimited({ reason: "a limit", resetsAt: afterMillis, retryAfterSecs: 1, ...more })

describe("a login that the provider refuses", () => {
  it.effect("is missing until something works; one attempt is made every 30 s", () => {
    const { layer, events, lines } = scene()
    return Effect.gen(function* () {
      const { asked, admit, status } = yield* LoginMonitor
      yield* asked(true)
      yield* fails(refused)
      expect(yield* status).toMatchObject({ state: "missing", ok: false })
      expect(yield* admitted()).toBe("not_logged_in 30")
      yield* TestClock.adjust("12 seconds")
      expect(yield* admitted("opus")).toBe("not_logged_in 18")
      // The reason is of the login, the rest of another's run.
      const refusal = yield* Effect.flip(admit(null))
      expect([refusal.reason, refusal.stderr]).toEqual([refused.reason, undefined])
      yield* TestClock.adjust("18 seconds")
      const many = yield* Effect.all(
        Array.from({ length: 20 }, () => admitted()),
        { concurrency: "unbounded" },
      )
      expect(many.filter((one) => one === "admitted")).toHaveLength(1)
      expect(yield* admitted()).toBe("not_logged_in 30")

      // What `claude` says of itself is no news: it said so before.
      yield* asked(true)
      expect(yield* stateNow).toBe("missing")

      yield* works()
      expect([yield* stateNow, yield* admitted()]).toEqual(["ok", "admitted"])
      yield* recorded
      expect(events()).toEqual([
        { logged_in: false, state: "missing" },
        { logged_in: true, state: "ok" },
      ])
      expect(lines).toEqual([
        expect.stringMatching(/^login: the provider does not accept it/),
        "login: present",
      ])
    }).pipe(Effect.provide(layer))
  })

  it.effect("is tried at once when its file changes", () => {
    const { layer, file, events } = scene()
    file.write()
    return Effect.gen(function* () {
      const { status } = yield* LoginMonitor
      yield* fails(refused)
      expect(yield* admitted()).toBe("not_logged_in 30")
      file.write()
      expect([yield* admitted(), yield* admitted()]).toEqual(["admitted", "not_logged_in 30"])
      // Nobody knows until that attempt has ended. Nothing of it is an event.
      expect(yield* status).toMatchObject({ state: "unknown", ok: true })
      yield* fails(refused)
      expect(yield* stateNow).toBe("missing")
      file.write()
      yield* TestClock.adjust("10 seconds")
      expect(yield* stateNow).toBe("unknown")
      yield* works()
      expect(yield* stateNow).toBe("ok")
      yield* recorded
      expect(events().map(({ state }) => state)).toEqual(["missing", "ok"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("is judged by the newest attempt, in whichever order they end", () => {
    const { layer } = scene()
    return Effect.gen(function* () {
      const { attempt } = yield* LoginMonitor
      const old = yield* attempt("sonnet")
      const other = yield* attempt("sonnet")
      yield* other.failed(refused)
      yield* old.worked
      expect(yield* stateNow).toBe("missing")
      const older = yield* attempt("sonnet")
      yield* works()
      yield* older.failed(refused)
      expect(yield* stateNow).toBe("ok")
    }).pipe(Effect.provide(layer))
  })
})

describe("a login that was written just before the provider refused it", () => {
  it.effect("is the one that is missing: nothing has changed since", () => {
    const { layer, file } = scene()
    return Effect.gen(function* () {
      const { attempt } = yield* LoginMonitor
      const running = yield* attempt("sonnet")
      file.write()
      yield* running.failed(refused)
      expect([yield* stateNow, yield* admitted()]).toEqual(["missing", "not_logged_in 30"])
    }).pipe(Effect.provide(layer))
  })
})

describe("a login of which claude says that there is none", () => {
  it.effect("is missing, tried at once, and there when claude says so", () => {
    const { layer, events } = scene()
    return Effect.gen(function* () {
      const { asked } = yield* LoginMonitor
      expect(yield* stateNow).toBe("unknown")
      yield* asked(false)
      expect(yield* stateNow).toBe("missing")
      expect([yield* admitted(), yield* admitted()]).toEqual(["admitted", "not_logged_in 30"])
      yield* asked(true)
      expect([yield* stateNow, yield* admitted()]).toEqual(["ok", "admitted"])
      expect(events().map(({ logged_in }) => logged_in)).toEqual([false, true])
    }).pipe(Effect.provide(layer))
  })

  it.effect("is there when work succeeds all the same, however often claude says it", () => {
    const { layer } = scene()
    return Effect.gen(function* () {
      const { asked } = yield* LoginMonitor
      yield* asked(false)
      yield* works()
      yield* asked(false)
      expect(yield* stateNow).toBe("ok")
    }).pipe(Effect.provide(layer))
  })
})

describe("a limit", () => {
  it.effect("refuses work with its exact end; one attempt is made at the end", () => {
    const { layer, events } = scene()
    return Effect.gen(function* () {
      const { asked, admit } = yield* LoginMonitor
      yield* asked(true)
      yield* fails(limited(120_000))
      expect(yield* stateNow).toBe("limited")
      yield* TestClock.adjust("1 minute")
      expect(yield* admitted("opus")).toBe("rate_limited 60")
      expect(yield* Effect.flip(admit(null))).toMatchObject({ resetsAt: 120_000 })
      yield* TestClock.adjust("1 minute")
      expect(yield* stateNow).toBe("ok")
      expect([yield* admitted(), yield* admitted()]).toEqual(["admitted", "rate_limited 30"])
      yield* works()
      expect(yield* admitted()).toBe("admitted")
      yield* recorded
      expect(events()).toEqual([
        { logged_in: true, state: "limited" },
        { logged_in: true, state: "ok" },
      ])
    }).pipe(Effect.provide(layer))
  })

  it.effect("is tried once an hour although its end is far away, as that may be wrong", () => {
    const { layer } = scene()
    return Effect.gen(function* () {
      yield* fails(limited(24 * HOUR_MILLIS))
      yield* TestClock.adjust("59 minutes")
      expect(yield* admitted()).toBe(`rate_limited ${23 * 3600 + 60}`)
      yield* TestClock.adjust("1 minute")
      expect([yield* admitted(), yield* admitted()]).toEqual(["admitted", `rate_limited ${23 * 3600}`])
      // That attempt has said nothing of the limit.
      yield* TestClock.adjust("1 hour")
      expect(yield* admitted()).toBe("admitted")
      yield* fails(limited(24 * HOUR_MILLIS))
      expect(yield* admitted()).toBe(`rate_limited ${22 * 3600}`)
      yield* TestClock.adjust("1 hour")
      expect(yield* admitted()).toBe("admitted")
      yield* works()
      expect([yield* stateNow, yield* admitted()]).toEqual(["ok", "admitted"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("of some models refuses these only", () => {
    const { layer, events } = scene()
    return Effect.gen(function* () {
      const { asked, status } = yield* LoginMonitor
      yield* asked(true)
      yield* fails(limited(HOUR_MILLIS, { family: "opus" }), "claude-opus-5-5")
      expect([yield* admitted("opus[1m]"), yield* admitted("sonnet"), yield* admitted(null)]).toEqual([
        "rate_limited 3600",
        "admitted",
        "admitted",
      ])
      expect(yield* status).toMatchObject({
        state: "ok",
        ok: true,
        detail: expect.stringMatching(/opus is limited until 1970-01-01T01:00:00Z/),
      })
      yield* works("sonnet")
      expect(yield* admitted("opus")).toBe("rate_limited 3600")
      expect(events()).toEqual([])
    }).pipe(Effect.provide(layer))
  })

  it.effect("whose end nobody knows, and any other failure, refuses nothing", () => {
    const { layer } = scene()
    return Effect.gen(function* () {
      yield* works()
      yield* fails(new RateLimited({ reason: "slow down", retryAfterSecs: 60 }))
      yield* fails(new ProviderOverloaded({ reason: "too much to do" }))
      expect([yield* stateNow, yield* admitted()]).toEqual(["ok", "admitted"])
    }).pipe(Effect.provide(layer))
  })
})

describe("the file of a login", () => {
  it.effect("says when it ends, a day before", () => {
    const { layer, file, events } = scene()
    file.write(24 * HOUR_MILLIS + 30_000)
    return Effect.gen(function* () {
      const { asked, status } = yield* LoginMonitor
      yield* asked(true)
      expect(yield* stateNow).toBe("ok")
      yield* TestClock.adjust("1 minute")
      expect(yield* status).toMatchObject({
        state: "expiring",
        ok: true,
        detail: expect.stringMatching(/^ends at 1970-01-02T00:00:30Z/),
      })
      expect(yield* admitted()).toBe("admitted")
      expect(events()).toEqual([{ logged_in: true, state: "expiring" }])
    }).pipe(Effect.provide(layer))
  })
})

describe("a change of the login", () => {
  it.effect("is recorded later when the ledger failed, and no work waits for that", () => {
    const { layer, state, events } = scene()
    return Effect.gen(function* () {
      yield* works()
      state.isFull = true
      yield* fails(refused)
      yield* TestClock.adjust("10 seconds")
      expect([yield* stateNow, events()]).toEqual(["missing", []])
      state.isFull = false
      yield* TestClock.adjust("10 seconds")
      expect(events()).toEqual([{ logged_in: false, state: "missing" }])
    }).pipe(Effect.provide(layer))
  })
})
