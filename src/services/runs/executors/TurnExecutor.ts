import { Cause, Chunk, Duration, Effect, Exit, Fiber, Option, Stream } from "effect"
import { type StorageFailed, TurnFailed } from "../../../domain/Failure.ts"
import { withAttachments } from "../../../domain/File.ts"
import type { TurnSpec } from "../../../domain/Run.ts"
import { CLAUDE, type SessionRecord } from "../../../domain/Session.ts"
import { AnswerRestarts } from "../../agents/acp/AnswerRestarts.ts"
import { claudeMessageOf, isAnswer, stopReasonOf, usageOf } from "../../agents/acp/MessageFields.ts"
import { AcpxClient } from "../../agents/AcpxClient.ts"
import { ProviderSigns } from "../../agents/ProviderSigns.ts"
import { CANCEL_TIMEOUT } from "../../agents/Timeouts.ts"
import { Files } from "../../files/Files.ts"
import { Journal } from "../../journal/Journal.ts"
import { Ledger } from "../../journal/Ledger.ts"
import type { AgentCosts } from "../../sessions/AgentCosts.ts"
import { agentSessionOf } from "../../sessions/AgentSession.ts"
import { SessionDirs } from "../../sessions/SessionDirs.ts"
import { makeSessionQueues } from "../../sessions/SessionQueues.ts"
import { type Attempt, LoginMonitor } from "../../upkeep/LoginMonitor.ts"
import type { PartialTurnReport } from "../Report.ts"
import type { Executor, StartedRun } from "./Executor.ts"
import { ReceivedMessages } from "./ReceivedMessages.ts"
import { isRefusal } from "./Refusals.ts"

/** The attempt of an agent with another login than that of `claude`: it is not reported. */
const OTHER_LOGIN_ATTEMPT: Attempt = { worked: Effect.void, failed: () => Effect.void }

/** The report of a turn that is cancelled before it starts. */
const UNSTARTED: PartialTurnReport = {
  events: [],
  durationMs: 0,
  stopReason: "cancelled",
  responseChars: 0,
  usage: null,
  costUsd: null,
}

/**
 * Runs `running` to its end, or interrupts it when `cancelling` is done before. Both have cleaned up when it returns: the
 * cancel of one turn must not reach the next.
 */
const untilCancelled = <E>(running: Effect.Effect<void, E>, cancelling: Effect.Effect<unknown>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkScoped(running)
    yield* Effect.forkScoped(Effect.zipRight(cancelling, Fiber.interrupt(fiber)))
    const exit = yield* Fiber.await(fiber)
    if (Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause)) return
    yield* exit
  }).pipe(Effect.scoped)

/**
 * Executes turns of sessions: the attached files are copied into the session's directory, the session is opened on its
 * agent where it was left, and everything that the agent sends up to its stop reason goes to the journal, within
 * `timeoutSecs`. When it returns, fails or is interrupted, the agent no longer works on the turn.
 */
export const makeTurnExecutor = (options: {
  /** Turns that may wait on one session. */
  readonly maxQueuedTurns: number
  readonly costs: AgentCosts
}) =>
  Effect.gen(function* () {
    const client = yield* AcpxClient
    const journal = yield* Journal
    const dirs = yield* SessionDirs
    const files = yield* Files
    const logins = yield* LoginMonitor
    const { costs } = options
    const { sessions } = yield* Ledger
    const queues = yield* makeSessionQueues(options.maxQueuedTurns)

    /** Copies the attached files. Returns the prompt, which lists them. */
    const attachFiles = Effect.fn("Turn.attachFiles")(function* (
      { input, sessionId }: TurnSpec,
      index: number,
    ) {
      if (input.files.length === 0) return input.prompt
      const dir = yield* dirs.forFiles(sessionId, index)
      return withAttachments(input.prompt, yield* files.attach(input.files, dir))
    })

    /** Opens the session on its agent, where it was left. */
    const openOnAgent = Effect.fn("Turn.openOnAgent")(function* (session: SessionRecord) {
      // An agent may have removed its own directory.
      yield* dirs.make(session.id)
      const agentSession = agentSessionOf(session, dirs.of(session.id))
      const left = Option.map(Option.fromNullable(session.ref), (ref) => ({
        ref,
        answered: session.answered,
      }))
      const ref = yield* client.open(agentSession, left)
      if (ref !== session.ref) yield* sessions.setRef(session.id, ref)
      return { agentSession, ref }
    })

    /** Prompts the agent and journals what it sends, until it stops or the turn is cancelled. */
    const converse = (
      run: StartedRun<"turn">,
      accepted: TurnOfSession,
      messages: ReceivedMessages,
      signs: ProviderSigns,
    ) =>
      Effect.gen(function* () {
        const { spec, cancelled, hasWaited } = run
        // The turn before may have changed a session that was read before its end.
        const session = hasWaited
          ? Option.getOrElse(yield* sessions.find(spec.sessionId), () => accepted.session)
          : accepted.session
        const ready = yield* Effect.raceFirst(
          Effect.asSome(Effect.all([attachFiles(spec, accepted.index), openOnAgent(session)])),
          Effect.as(cancelled, Option.none()),
        )
        if (Option.isNone(ready)) return
        const [prompt, { agentSession, ref }] = ready.value
        let { answered } = session
        costs.begin(session, spec.id)
        const restarts = new AnswerRestarts()
        const journaling = Stream.runForEachChunk(client.prompt(agentSession, ref, prompt), (chunk) =>
          Effect.suspend((): Effect.Effect<void, TurnFailed | StorageFailed> => {
            const some = Chunk.toReadonlyArray(chunk).flatMap((message) => {
              const ofClaude = claudeMessageOf(message)
              const restart = restarts.add(message)
              if (ofClaude !== undefined) signs.add(ofClaude)
              else if (isAnswer(message)) signs.answerBegins()
              return ofClaude === undefined ? [message] : restart === undefined ? [] : [restart]
            })
            const tooMuch = messages.add(some)
            if (tooMuch !== undefined) return new TurnFailed({ reason: tooMuch })
            const isFirstAnswer = !answered && messages.hasAnswer
            answered ||= isFirstAnswer
            return Effect.zipRight(
              // Recorded at once: the turn may never have an end, and the context must not be lost silently.
              isFirstAnswer ? sessions.answered(session.id) : Effect.void,
              journal.append(
                spec.id,
                some.map((message) => JSON.stringify(message)),
              ),
            )
          }),
        )
        const asking = Effect.zipRight(client.cancel(agentSession, ref), Effect.never)
        const cancelling = Effect.zipRight(cancelled, Effect.timeoutOption(asking, CANCEL_TIMEOUT))
        yield* run.setBegun(true)
        yield* untilCancelled(journaling, cancelling)
      })

    /** What a turn cost, as far as the agent said by its end. */
    const costOfTurn = ({ sessionId }: TurnSpec, { sessionCostUsd }: ReceivedMessages) =>
      sessionCostUsd === null ? null : costs.addInTurn(sessionId, sessionCostUsd)

    /** Records what a failed turn cost: its outcome does not say it. */
    const recordCost = (spec: TurnSpec, messages: ReceivedMessages) =>
      messages.sessionCostUsd === null
        ? Effect.void
        : Effect.catchAll(
            sessions.setAgentCost(spec.sessionId, messages.sessionCostUsd, costOfTurn(spec, messages)),
            ({ cause }) => Effect.logWarning("what a turn cost cannot be stored", Cause.die(cause)),
          )

    const execute = Effect.fn("Turn.execute")(function* (run: StartedRun<"turn">) {
      const { spec, turn, isCancelled } = run
      if (turn === null) return yield* Effect.dieMessage("a turn has a session")
      const messages = new ReceivedMessages()
      const signs = new ProviderSigns()
      yield* run.setBegun(false)
      const { agent, model } = turn.session
      // It may have become known meanwhile that it cannot work.
      if (run.hasWaited && !(yield* isCancelled) && agent === CLAUDE) yield* logins.admit(model)
      const attempt = agent === CLAUDE ? yield* logins.attempt(model) : OTHER_LOGIN_ATTEMPT
      const conversing = (yield* isCancelled) ? Effect.void : converse(run, turn, messages, signs)
      yield* Effect.timeoutFail(conversing, {
        duration: Duration.seconds(spec.timeoutSecs),
        onTimeout: () => signs.timedOut(spec.timeoutSecs),
      }).pipe(
        Effect.catchAll((failure) => Effect.flip(signs.explain(failure, model))),
        Effect.tapError(attempt.failed),
        Effect.tapError((failure) =>
          Effect.when(
            run.setBegun(false),
            () =>
              !messages.hasAnswer &&
              // A refusal whose cause nobody knows has no failure of its own.
              (isRefusal(failure) || (failure._tag === "TurnFailed" && messages.saidRefusal)),
          ),
        ),
        // However a cancelled turn ends, it was cancelled.
        Effect.catchAll((failure) =>
          Effect.flatMap(isCancelled, (cancelled) => (cancelled ? Effect.void : Effect.fail(failure))),
        ),
        Effect.tapError(() => recordCost(spec, messages)),
      )
      const stopReason = messages.last === undefined ? undefined : stopReasonOf(messages.last)
      if (stopReason === undefined && !(yield* isCancelled)) {
        return yield* new TurnFailed({ reason: "it ended without a stop reason" })
      }
      if (stopReason !== undefined && stopReason !== "cancelled") yield* attempt.worked
      return {
        ...messages.held,
        durationMs: yield* run.elapsedMillis,
        stopReason: stopReason ?? "cancelled",
        responseChars: messages.answerChars,
        usage: messages.last === undefined ? null : usageOf(messages.last),
        costUsd: costOfTurn(spec, messages)?.costUsd ?? null,
        model: messages.model,
        agentCostUsd: costs.totalOf(spec.sessionId) ?? null,
      }
    })

    return {
      kind: "turn",
      unstarted: UNSTARTED,
      prepare: (spec) => Effect.zipRight(files.hold(spec.input.files), queues.of(spec.sessionId)),
      execute,
    } satisfies Executor<"turn">
  })

type TurnOfSession = NonNullable<StartedRun<"turn">["turn"]>
