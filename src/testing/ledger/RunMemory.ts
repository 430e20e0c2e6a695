import { Effect, Exit, Option } from "effect"
import { RunLost, SessionClosed, SessionNotFound, Unauthorized } from "../../domain/Failure.ts"
import { streamEndOf } from "../../domain/Outcome.ts"
import { CLAIM_MILLIS, type EndStatus, type RunEnded, type RunRecord } from "../../domain/Run.ts"
import type { StreamEnd } from "../../domain/Stream.ts"
import type { RunRecords } from "../../services/journal/Ledger.ts"
import type { KeptRun, LedgerMemory } from "./LedgerMemory.ts"

const EVENT_OF = {
  completed: "run.completed",
  failed: "run.failed",
  cancelled: "run.cancelled",
  timed_out: "run.timed_out",
  lost: "run.lost",
} as const satisfies Record<EndStatus, string>

const FRESH = {
  status: "queued",
  startedAt: null,
  finishedAt: null,
  end: undefined,
  textUntil: null,
  trimmedTo: 0,
} as const

/** Whoever waits for a turn reads what was said from here, once it has ended. */
const ANSWERING_MILLIS = 1000

const LOST: RunEnded = {
  status: "lost",
  code: "run_failed",
  stopReason: null,
  durationMs: null,
  responseChars: null,
  usage: null,
  costUsd: null,
}

const recordOf = (run: KeptRun): RunRecord => ({
  id: run.id,
  kind: run.session === null ? "run" : "turn",
  tokenId: run.tokenId,
  sessionId: run.session,
  turnIndex: run.turnIndex,
  status: run.status,
  model: run.model,
  createdAt: run.at,
  startedAt: run.startedAt,
  finishedAt: run.finishedAt,
  durationMs: run.end?.durationMs ?? null,
  stopReason: run.end?.stopReason ?? null,
  code: run.end?.code ?? null,
  usage: run.end?.usage ?? null,
  costUsd: run.end?.costUsd ?? null,
  promptChars: run.promptChars,
  responseChars: run.end?.responseChars ?? null,
  requestId: run.origin.requestId,
})

const isUnfinished = ({ status }: KeptRun): boolean => status === "queued" || status === "running"

/** The runs of the in-memory ledger. */
export const runRecords = (memory: LedgerMemory, streamRetentionSecs: number): RunRecords => {
  const { runs, sessions, streams, log, keys } = memory

  /** The beginning of a run, with what its app may ask for again. */
  const begin = (run: KeptRun) => {
    const { id, at, tokenId, session, turnIndex, claim } = run
    runs.set(id, run)
    log.add({ type: "run.queued", at, runId: id, sessionId: session, tokenId })
    const turn = session === null ? {} : { session_id: session, turn_index: turnIndex }
    streams.add(id, "run", JSON.stringify({ run_id: id, ...turn }), at)
    memory.keep(tokenId, claim && { claim, answer: { run_id: id } }, at, id)
  }

  /** What did not start may be asked for again, and is then begun. Returns how long the key of what did is kept. */
  const settleKey = (run: KeptRun): number => {
    const [key, kept] = [...keys].find(([, { run: named }]) => named === run.id) ?? []
    if (key === undefined || kept === undefined) return 0
    if (run.startedAt === null) keys.delete(key)
    return run.startedAt === null ? 0 : kept.at + CLAIM_MILLIS
  }

  const finish = (run: KeptRun, end: RunEnded, code: string | null, at: number, last: StreamEnd) => {
    const { id, session, turnIndex, tokenId } = run
    const subject = { at, runId: id, sessionId: session, tokenId }
    log.add({ ...subject, type: EVENT_OF[end.status], data: code === null ? {} : { code } })
    streams.add(id, last.kind, last.body, at)
    const textUntil = Math.max(at + Math.max(streamRetentionSecs * 1000, ANSWERING_MILLIS), settleKey(run))
    runs.set(id, { ...run, status: end.status, finishedAt: at, end, textUntil })
    const known = session === null ? undefined : sessions.get(session)
    if (known !== undefined) {
      const answered = known.answered || (end.stopReason !== null && end.stopReason !== "cancelled")
      sessions.set(known.id, { ...known, lastTurnAt: at, answered })
    }
    if (session !== null) log.add({ ...subject, type: "session.turn", data: { turn_index: turnIndex } })
  }

  const newestFirst = () =>
    [...runs.values()].map(recordOf).sort((one, other) => (one.id < other.id ? 1 : -1))

  return {
    open: (run) =>
      Effect.suspend(() => {
        if (memory.isRevoked(run.tokenId)) return new Unauthorized()
        return Effect.sync(() => begin({ ...run, ...FRESH, session: null, turnIndex: null }))
      }),
    openTurn: (run, id) =>
      Effect.gen(function* () {
        if (memory.isRevoked(run.tokenId)) return yield* new Unauthorized()
        const session = sessions.get(id)
        if (session?.tokenId !== run.tokenId || session.status === "opening") {
          return yield* new SessionNotFound()
        }
        if (session.status === "closed") return yield* new SessionClosed()
        const turnIndex = session.turnCount + 1
        sessions.set(id, { ...session, turnCount: turnIndex, lastTurnAt: run.at })
        begin({ ...run, ...FRESH, model: session.model, session: id, turnIndex })
        return turnIndex
      }),
    start: (id, at) =>
      Effect.sync(() => {
        const run = runs.get(id)
        if (run?.status !== "queued") return
        runs.set(id, { ...run, status: "running", startedAt: at })
        log.add({ type: "run.started", at, runId: id, sessionId: run.session, tokenId: run.tokenId })
      }),
    end: (id, end, at, last) =>
      Effect.sync(() => {
        const run = runs.get(id)
        if (run !== undefined && isUnfinished(run)) finish(run, end, end.code, at, last)
      }),
    loseUnfinished: (at) =>
      Effect.sync(() => {
        const lost = [...runs.values()].filter(isUnfinished)
        for (const run of lost) finish(run, LOST, null, at, streamEndOf(Exit.fail(new RunLost())))
        return lost.length
      }),
    find: (id) => Effect.sync(() => Option.map(Option.fromNullable(runs.get(id)), recordOf)),
    findTurn: (session, index) =>
      Effect.sync(() =>
        Option.fromNullable(
          newestFirst().find((run) => run.sessionId === session && run.turnIndex === index),
        ),
      ),
    page: ({ owner, status, sessionId }, limit, before) =>
      Effect.sync(() =>
        newestFirst()
          .filter((run) => before === undefined || run.id < before)
          .filter((run) => owner === undefined || run.tokenId === owner)
          .filter((run) => status === undefined || run.status === status)
          .filter((run) => sessionId === undefined || run.sessionId === sessionId)
          .slice(0, limit),
      ),
  }
}
