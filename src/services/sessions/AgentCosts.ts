import type { RunId, SessionId } from "../../domain/Ids.ts"
import type { SessionRecord } from "../../domain/Session.ts"

interface Entry {
  /** What the session cost so far, as its agent last said; undefined if it has not in this process. */
  total: number | undefined
  /** The turn that the agent last worked on. */
  readonly turn: RunId
  /** The session's cost before that turn; null if it is not known. */
  readonly before: number | null
  /** Whether the turn's cost was told. */
  isTold: boolean
}

/** A turn, and what it cost in US dollars. */
export interface TurnCost {
  readonly run: RunId
  readonly costUsd: number
}

/**
 * What open sessions cost so far, in US dollars, as their agents say. An agent tells the cost of the whole session, also
 * after the session was resumed. So a turn's own cost is what it adds. Holds an entry for each open session that had a
 * turn.
 */
export class AgentCosts {
  readonly #entries = new Map<SessionId, Entry>()

  /** A turn of the session begins: what the agent says from now on is about this turn. */
  begin({ id, agentCostUsd, answered }: SessionRecord, turn: RunId): void {
    const total = this.#entries.get(id)?.total
    // The first total of an agent that has answered before is not of one turn.
    const before = total ?? agentCostUsd ?? (answered ? null : 0)
    this.#entries.set(id, { total, turn, before, isTold: false })
  }

  /** Takes the total that the agent told in the session's turn. Returns the turn's cost; null if it cannot be told. */
  addInTurn(session: SessionId, total: number): TurnCost | null {
    const entry = this.#entries.get(session)
    // What the agent said after its result, which is newer, may be here first.
    if (entry === undefined || entry.isTold) return null
    return tell(entry, total)
  }

  /**
   * Takes the total that the agent told while no turn was open. Returns the cost of the last turn if the agent has not told
   * it in the turn.
   */
  addBetweenTurns(session: SessionId, total: number): TurnCost | null {
    const entry = this.#entries.get(session)
    if (entry === undefined) return null
    if (!entry.isTold) return tell(entry, total)
    entry.total = total
    return null
  }

  /** What the session cost so far, if its agent has said so in this process. */
  totalOf(session: SessionId): number | undefined {
    return this.#entries.get(session)?.total
  }

  /** Removes a session that is closed. */
  forget(session: SessionId): void {
    this.#entries.delete(session)
  }
}

const tell = (entry: Entry, total: number): TurnCost | null => {
  entry.total = total
  entry.isTold = true
  if (entry.before === null) return null
  // An agent whose total is less than before has begun to count anew.
  const costUsd = total >= entry.before ? roundToPicos(total - entry.before) : total
  return { run: entry.turn, costUsd }
}

/** Takes away what a subtraction of floating-point numbers adds. */
const roundToPicos = (usd: number): number => Number(usd.toFixed(12))
