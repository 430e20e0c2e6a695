import type { RunId, SessionId, TokenId } from "../../src/domain/Ids.ts"
import type { OneShotSpec, RunEnded, TurnSpec } from "../../src/domain/Run.ts"
import type { StreamEnd } from "../../src/domain/Stream.ts"
import type { RunEnd } from "../../src/services/journal/Ledger.ts"

/** Runs as tests give them to a ledger. */

export const origin = { requestId: "req-1", address: "192.168.1.9" }

/** Returns a one-shot with a prompt of seven characters. */
export const oneShotSpec = (id: RunId, owner: TokenId, more: Partial<OneShotSpec> = {}): OneShotSpec => ({
  kind: "run",
  id,
  owner,
  origin,
  input: { prompt: "7 chars", files: [] },
  timeoutSecs: 120,
  model: "sonnet",
  systemMode: "append",
  isSchemaNative: false,
  ...more,
})

/** Returns a turn with a prompt of seven characters. */
export const turnSpec = (
  id: RunId,
  owner: TokenId,
  sessionId: SessionId,
  more: Partial<TurnSpec> = {},
): TurnSpec => ({
  kind: "turn",
  id,
  owner,
  origin,
  input: { prompt: "7 chars", files: [] },
  timeoutSecs: 120,
  sessionId,
  ...more,
})

/** Returns the options of a run that is accepted as `queued`. */
export const queuedAt = (at: number) => ({ at, startedAt: undefined })

/** Returns the end of a run that began, and whose messages are all stored. */
export const runEnd = (ended: RunEnded, at: number, last: StreamEnd, more: Partial<RunEnd> = {}): RunEnd => ({
  at,
  ended,
  last,
  unstored: [],
  began: true,
  ...more,
})
