import { Effect } from "effect"
import { SessionClosed, StorageFailed } from "../../domain/Failure.ts"
import type { TokenId } from "../../domain/Ids.ts"
import type { Origin } from "../../domain/Origin.ts"
import { CLAUDE, type SessionRecord, type TurnRequest } from "../../domain/Session.ts"
import { Ids } from "../access/Ids.ts"
import { Files } from "../files/Files.ts"
import { Journal } from "../journal/Journal.ts"
import { readRunMessages } from "../journal/RunMessages.ts"
import type { TurnReport } from "../runs/Report.ts"
import { LoginMonitor } from "../upkeep/LoginMonitor.ts"
import { type LiveRun, RunEngine } from "../runs/RunEngine.ts"

/**
 * Makes the function that accepts a turn: a run that belongs to a session. It checks the session and the attached files,
 * and gives the turn to the `RunEngine`, which executes it with the `TurnExecutor`.
 */
export const makeTurnAcceptance = Effect.gen(function* () {
  const files = yield* Files
  const ids = yield* Ids
  const engine = yield* RunEngine
  const journal = yield* Journal
  const logins = yield* LoginMonitor

  /**
   * Adds the turn's messages to its report. They are read from the journal if they were too many to be held in memory.
   */
  const withEvents = ({ id, answer }: LiveRun<"turn">) =>
    Effect.gen(function* () {
      const report = yield* answer
      if (report.events !== undefined) return { ...report, events: report.events }
      const events = yield* Effect.catchTag(
        readRunMessages(journal, id),
        "AnswerGone",
        () => new StorageFailed({ during: "reading what the agent said", cause: "it is gone" }),
      )
      return { ...report, events: events as TurnReport["events"] }
    })

  return Effect.fn("SessionPool.turn")(function* (
    session: SessionRecord,
    request: TurnRequest,
    owner: TokenId,
    origin: Origin,
  ) {
    yield* engine.accepting
    if (session.status === "closed") return yield* new SessionClosed()
    // Other agents have logins of their own.
    if (session.agent === CLAUDE) yield* Effect.interruptible(logins.admit(session.model))
    const attached = yield* Effect.interruptible(files.find(request.files, owner))
    const live = yield* engine.accept<"turn">({
      kind: "turn",
      id: yield* ids.run,
      owner,
      origin,
      input: { prompt: request.prompt, files: attached },
      timeoutSecs: request.timeoutSecs,
      sessionId: session.id,
    })
    return { id: live.id, index: live.turn?.index ?? 0, answer: withEvents(live), cancel: live.cancel }
  })
})
