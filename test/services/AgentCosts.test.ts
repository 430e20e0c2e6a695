import { describe, expect, it } from "@effect/vitest"
import type { RunId, SessionId } from "../../src/domain/Ids.ts"
import type { SessionRecord } from "../../src/domain/Session.ts"
import { AgentCosts } from "../../src/services/sessions/AgentCosts.ts"

const ID = "00000000-0000-4000-8000-000000000001" as SessionId
const ONE = "1" as RunId
const TWO = "2" as RunId

/** A session that the ledger knows that of. */
const session = (agentCostUsd: number | null, answered: boolean) =>
  ({ id: ID, agentCostUsd, answered }) as SessionRecord

describe("the cost of a turn", () => {
  it("is what its agent adds to the cost of the session, also after a restart", () => {
    const costs = new AgentCosts()
    costs.begin(session(null, false), ONE)
    expect(costs.addInTurn(ID, 0.1)).toEqual({ run: ONE, costUsd: 0.1 })
    costs.begin(session(null, true), TWO)
    expect(costs.addInTurn(ID, 0.3)).toEqual({ run: TWO, costUsd: 0.2 })

    const restarted = new AgentCosts()
    restarted.begin(session(0.3, true), ONE)
    expect(restarted.addInTurn(ID, 0.7)).toEqual({ run: ONE, costUsd: 0.4 })
    // This one counts anew.
    restarted.begin(session(0.7, true), TWO)
    expect(restarted.addInTurn(ID, 0.01)).toEqual({ run: TWO, costUsd: 0.01 })
  })

  it("is not known where the agent told nothing before", () => {
    const costs = new AgentCosts()
    costs.begin(session(null, true), ONE)
    expect(costs.addInTurn(ID, 5)).toBeNull()
    costs.begin(session(null, true), TWO)
    expect(costs.addInTurn(ID, 5.5)).toEqual({ run: TWO, costUsd: 0.5 })
  })

  it("may be told after the result, in either order, and what comes then is nobody's", () => {
    const costs = new AgentCosts()
    costs.begin(session(null, false), ONE)
    expect(costs.addBetweenTurns(ID, 0.2)).toEqual({ run: ONE, costUsd: 0.2 })
    // Read later, though it was told before.
    expect(costs.addInTurn(ID, 0.1)).toBeNull()
    expect(costs.totalOf(ID)).toBe(0.2)
    expect(costs.addBetweenTurns(ID, 0.5)).toBeNull()
    costs.begin(session(null, true), TWO)
    expect(costs.addInTurn(ID, 0.6)).toEqual({ run: TWO, costUsd: 0.1 })
    costs.forget(ID)
    expect([costs.addInTurn(ID, 1), costs.addBetweenTurns(ID, 1), costs.totalOf(ID)]).toEqual([
      null,
      null,
      undefined,
    ])
  })
})
