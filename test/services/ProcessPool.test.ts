import { expect, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import type { AgentProcess } from "../../src/services/agents/acp/AgentProcess.ts"
import { makeProcessPool } from "../../src/services/agents/acp/ProcessPool.ts"
import { AGENT, OWNER } from "../support/AgentClient.ts"

it.scopedLive("starts an agent that exits at once only once for each request", () =>
  Effect.gen(function* () {
    let starts = 0
    const start = () =>
      Effect.sync(() => {
        starts += 1
        return { isAlive: () => false, end: Effect.void } as AgentProcess
      })
    const pool = yield* makeProcessPool({ start, idle: Duration.minutes(1) })
    const got = pool.get({ owner: OWNER, agent: AGENT })
    const failure = yield* Effect.flip(Effect.timeout(got, "30 seconds"))
    expect([failure._tag, starts]).toEqual(["AgentUnavailable", 1])
  }),
)
