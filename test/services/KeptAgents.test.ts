import { expect, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import type { AgentProcess } from "../../src/services/acp/direct/AgentProcess.ts"
import { makeKept } from "../../src/services/acp/direct/Kept.ts"
import { AGENT, OWNER } from "../support/AgentClient.ts"

it.scopedLive("starts an agent once for each who asks, should it never last", () =>
  Effect.gen(function* () {
    let starts = 0
    const start = () =>
      Effect.sync(() => {
        starts += 1
        return { isAlive: () => false, end: Effect.void } as AgentProcess
      })
    const kept = yield* makeKept({ start, idle: Duration.minutes(1) })
    const got = kept.get({ owner: OWNER, agent: AGENT })
    const failure = yield* Effect.flip(Effect.timeout(got, "2 seconds"))
    expect([failure._tag, starts]).toEqual(["AgentUnavailable", 1])
  }),
)
