import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Option, TestClock } from "effect"
import { Clis } from "../../src/services/agents/Clis.ts"
import { LoginMonitor } from "../../src/services/upkeep/LoginMonitor.ts"
import { processes } from "../../src/testing.ts"

describe("the question for the login", () => {
  it.effect("is asked once a minute, and an answer that is none is no news", () => {
    let says = '{"loggedIn":true}'
    const news: Array<boolean> = []
    const agent = processes(({ args }) => ({
      lines: args.includes("auth") ? [says] : ["1.2.3"],
      exit: { code: 0, signal: null },
    }))
    const cli = { command: "claude", args: [] }
    const clis = Clis.layer({ claude: cli, acpx: cli, cwd: "/", env: {}, needed: [] })
    const monitor = Layer.mock(LoginMonitor, { asked: (has) => Effect.sync(() => void news.push(has)) })
    return Effect.gen(function* () {
      const { versions } = yield* Clis
      for (const next of ["no idea", '{"loggedIn":false}', '{"loggedIn":true}']) {
        yield* TestClock.adjust("30 seconds")
        says = next
        yield* TestClock.adjust("30 seconds")
      }
      expect(news).toEqual([true, false, true])
      expect(yield* versions).toEqual({ claude: Option.some("1.2.3"), acpx: Option.some("1.2.3") })
    }).pipe(Effect.provide(Layer.provide(clis, [agent, monitor])))
  })
})
