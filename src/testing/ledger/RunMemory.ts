import { Effect, Exit, Option } from "effect"
import { RunLost, SessionClosed, SessionNotFound, Unauthorized } from "../../domain/Failure.ts"
import type { SessionId } from "../../domain/Ids.ts"
import { IDEMPOTENCY_KEY_MILLIS } from "../../domain/Origin.ts"
import { encodeOutcome } from "../../domain/Outcome.ts"
import { type RunRecord, type RunSpec, statesBefore, UNFINISHED } from "../../domain/Run.ts"
import type { SessionRecord } from "../../domain/Session.ts"
import { maySee } from "../../domain/Viewer.ts"
import {
  type AcceptedRun,
  LOST,
  type RunEnd,
  type RunRecords,
  TEXT_MIN_MILLIS,
} from "../../services/journal/Ledger.ts"
import type { LedgerMemory, RunInMemory } from "./LedgerMemory.ts"

const runRecord = (run: RunInMemory): RunRecord => ({
  id: run.id,
  kind: run.session === null ? "run" : "turn",
  tokenId: run.tokenId,
  sessionId: run.session,
  turnIndex: run.turnIndex,
  status: run.status,
  model: (run.session === null ? null : run.end?.model) ?? run.model,
  createdAt: run.at,
  startedAt: run.startedAt,
  finishedAt: run.finishedAt,
  durationMs: run.end?.durationMs ?? null,
  stopReason: run.end?.stopReason ?? null,
  code: run.end?.code ?? null,
  usage: run.end?.usage ?? null,
  costUsd: run.end?.costUsd ?? run.costUsd ?? null,
  promptChars: run.promptChars,
  responseChars: run.end?.responseChars ?? null,
  requestId: run.origin.requestId,
})

const isUnfinished = ({ status }: RunInMemory): boolean => UNFINISHED.includes(status)

/** The runs of the ledger in memory. */
export const runRecords = (memory: LedgerMemory, streamRetentionSecs: number): RunRecords => {
  const { runs, sessions, streams, log, keys, inputs } = memory

  /** Adds a run with its events, the beginning of its stream and its key. */
  const begin = (
    spec: RunSpec,
    model: string | null,
    turnIndex: number | null,
    at: number,
    startedAt: number | undefined,
  ) => {
    const { id, owner: tokenId, origin } = spec
    const session = spec.kind === "turn" ? spec.sessionId : null
    const status = startedAt === undefined ? "queued" : "running"
    const promptChars = spec.input.prompt.length
    const { idempotencyKey: _, ...from } = origin
    const initial = { finishedAt: null, end: undefined, textUntil: null, trimmedTo: 0 }
    runs.set(id, {
      ...initial,
      id,
      tokenId,
      model,
      promptChars,
      origin: from,
      at,
      session,
      turnIndex,
      status,
      startedAt: startedAt ?? null,
    })
    const turn = session === null ? {} : { session_id: session, turn_index: turnIndex }
    streams.add(id, "run", JSON.stringify({ run_id: id, ...turn }), at)
    const subject = { runId: id, sessionId: session, tokenId, data: {} }
    log.add({ type: "run.queued", at, ...subject })
    if (startedAt !== undefined) log.add({ type: "run.started", at: startedAt, ...subject })
    memory.storeAnswer(tokenId, origin, { run_id: id }, at, id)
  }

  /** Removes the key of a run that never began. Returns when the key expires; 0 without a key. */
  const settleKey = (run: RunInMemory, began: boolean): number => {
    const [key, stored] = [...keys].find(([, { run: named }]) => named === run.id) ?? []
    if (key === undefined || stored === undefined) return 0
    if (!began) keys.delete(key)
    return began ? stored.at + IDEMPOTENCY_KEY_MILLIS : 0
  }

  /** Moves a run to its final state, with its events and the end of its stream. */
  const finish = (run: RunInMemory, { at, ended, last, unstored, began }: RunEnd) => {
    const { id, session, turnIndex, tokenId } = run
    const { status, code, stopReason } = ended
    for (const message of unstored) streams.add(id, "message", message.body, message.at)
    streams.add(id, last.kind, last.body, at)
    const subject = { at, runId: id, sessionId: session, tokenId }
    const data = code === null || status === "lost" ? {} : { code }
    const textUntil = Math.max(
      at + Math.max(streamRetentionSecs * 1000, TEXT_MIN_MILLIS),
      settleKey(run, began),
    )
    const finishedAt = Math.max(at, run.startedAt ?? run.at)
    runs.set(id, { ...run, status, finishedAt, end: ended, textUntil })
    log.add({ ...subject, type: `run.${status}`, data })
    const known = session === null ? undefined : sessions.get(session)
    if (known !== undefined) {
      const answered = known.answered || (stopReason !== null && stopReason !== "cancelled")
      const agentCostUsd = ended.agentCostUsd ?? known.agentCostUsd
      sessions.set(known.id, { ...known, lastTurnAt: at, answered, agentCostUsd })
    }
    if (session !== null) log.add({ ...subject, type: "session.turn", data: { turn_index: turnIndex } })
  }

  const newestFirst = () =>
    [...runs.values()].map(runRecord).sort((one, other) => (one.id < other.id ? 1 : -1))

  /** Counts a turn of a session. Returns the session. */
  const countTurn = (id: SessionId, owner: RunSpec["owner"], at: number) =>
    Effect.gen(function* () {
      const session = sessions.get(id)
      if (session?.tokenId !== owner || session.status === "opening") return yield* new SessionNotFound()
      if (session.status === "closed") return yield* new SessionClosed()
      const counted = { ...session, turnCount: session.turnCount + 1, lastTurnAt: at }
      sessions.set(id, counted)
      const { origin: _, ...record } = counted
      return record as SessionRecord
    })

  const accept = (spec: RunSpec, { at, startedAt, keepInput = false }: Parameters<RunRecords["accept"]>[1]) =>
    Effect.gen(function* () {
      if (memory.isRevoked(spec.owner)) return yield* new Unauthorized()
      yield* memory.requireFreeKey(spec.owner, spec.origin, at, "accepting a run")
      const session = spec.kind === "turn" ? yield* countTurn(spec.sessionId, spec.owner, at) : null
      const model = spec.kind === "turn" ? (session?.model ?? null) : spec.model
      yield* memory.transaction(() => begin(spec, model, session?.turnCount ?? null, at, startedAt))
      if (keepInput) inputs.set(spec.id, spec.input)
      const accepted: AcceptedRun = { turn: session === null ? null : { index: session.turnCount, session } }
      return accepted
    })

  return {
    accept: accept as RunRecords["accept"],
    start: (id, at) =>
      Effect.sync(() => {
        const run = runs.get(id)
        if (run === undefined || !statesBefore("running").includes(run.status)) return
        runs.set(id, { ...run, status: "running", startedAt: Math.max(at, run.at) })
        log.add({
          type: "run.started",
          at,
          runId: id,
          sessionId: run.session,
          tokenId: run.tokenId,
          data: {},
        })
      }),
    end: (id, end) =>
      memory.transaction(() => {
        const run = runs.get(id)
        if (run !== undefined && statesBefore(end.ended.status).includes(run.status)) finish(run, end)
      }),
    loseUnfinished: (at) =>
      memory.transaction(() => {
        const left = [...runs.values()].filter(isUnfinished)
        const last = encodeOutcome(Exit.fail(new RunLost()))
        for (const run of left) {
          finish(run, { at, ended: LOST, last, unstored: [], began: run.startedAt !== null })
        }
        return left.length
      }),
    find: (id) => Effect.sync(() => Option.map(Option.fromNullable(runs.get(id)), runRecord)),
    findTurn: (session, index) =>
      Effect.sync(() =>
        Option.fromNullable(
          newestFirst().find((run) => run.sessionId === session && run.turnIndex === index),
        ),
      ),
    page: ({ viewer, status, sessionId }, limit, before) =>
      Effect.sync(() =>
        newestFirst()
          .filter((run) => before === undefined || run.id < before)
          .filter((run) => maySee(viewer, run.tokenId))
          .filter((run) => status === undefined || run.status === status)
          .filter((run) => sessionId === undefined || run.sessionId === sessionId)
          .slice(0, limit),
      ),
    input: (id) => Effect.sync(() => Option.fromNullable(inputs.get(id))),
  }
}
