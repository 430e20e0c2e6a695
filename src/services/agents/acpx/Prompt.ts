import { Deferred, Duration, Effect, Exit, Option, Scope, Stream } from "effect"
import {
  type AgentRefusal,
  AgentUnavailable,
  type ExecutableMissing,
  TurnFailed,
} from "../../../domain/Failure.ts"
import type { AgentName, AgentSessionRef } from "../../../domain/Session.ts"
import type { AcpMessage, AgentSession } from "../AcpxClient.ts"
import { endAtComplexLine } from "../LineLimits.ts"
import { type Executable, programName, type RunningProcess } from "../Processes.ts"
import { isNotFound } from "../acp/Failures.ts"
import { makeTurnMessages, type TurnMessages } from "../acp/TurnMessages.ts"
import { acpxCancel, type CancelDependencies } from "./Cancel.ts"
import { commandLine, promptInput } from "./Command.ts"
import { unpromptedFailure, turnFailure } from "./Failures.ts"
import { makePromptOutputReader } from "./PromptOutput.ts"
import { type AcpxRecords, fromRecords } from "./AcpxRecords.ts"
import type { AgentLaunch, RunningSession } from "./RunningSessions.ts"

const CONTEXT_LOST = "it cannot take the session up again where it was"

interface PromptDependencies extends CancelDependencies {
  /** Prepares how acpx starts a session's agent, for as long as the scope is open. */
  readonly prepareLaunch: (session: AgentSession) => Effect.Effect<AgentLaunch, AgentRefusal, Scope.Scope>
  readonly agentOf: (name: AgentName) => Effect.Effect<Executable, ExecutableMissing>
  readonly records: typeof AcpxRecords.Service
  readonly secrets: ReadonlyArray<string>
  readonly idleSecs: number
  readonly openTimeout: Duration.Duration
}

type Failure = AgentRefusal | TurnFailed

interface AcpxTurn {
  readonly messages: TurnMessages
  /** Done when the agent has the prompt. */
  readonly prompted: Deferred.Deferred<void>
}

/** Ends the turn, unless it has ended. */
const finish = ({ messages }: AcpxTurn, exit: Exit.Exit<void, Failure>) =>
  Effect.sync(() => messages.end(exit))

/** Runs and cancels turns of sessions. */
export const acpxPrompt = (dependencies: PromptDependencies) => {
  const { call, agentOf, prepareLaunch, records, runningSessions, secrets, ...options } = dependencies
  const { cancelTurn, stopTurn } = acpxCancel(dependencies)
  const isAnswered = ({ session }: RunningSession) => runningSessions.answered.has(session.id)

  /** Fails the turn and ends the session's processes, which are of no further use. */
  const abandon = (running: RunningSession, turn: AcpxTurn, failure: Failure) =>
    Effect.uninterruptible(
      Effect.zipRight(runningSessions.endInBackground(running), finish(turn, Exit.fail(failure))),
    )

  /**
   * Reads acpx's output to its end and passes the messages on to the turn. Reads no further while the turn's reader is
   * behind. `startsAgent` says whether this call has started an agent, which stays after it. `isUsable` is false when
   * the session's processes had to be given up; then reading stops early.
   */
  const readOutput = (
    running: RunningSession,
    turn: AcpxTurn,
    process: RunningProcess,
    program: string,
    prompt: string,
  ) => {
    const read = makePromptOutputReader()
    const confidential = { secrets, texts: [prompt] }
    let startsAgent = false
    let isUsable = true
    const fail = (failure: Failure) => {
      isUsable = false
      return abandon(running, turn, failure)
    }
    const handleLine = (line: string): Effect.Effect<unknown> => {
      const event = read(line)
      switch (event._tag) {
        case "Nothing":
          return Effect.void
        case "AgentStarts":
          startsAgent = true
          return Effect.void
        case "EmptySession":
          return isAnswered(running) ? fail(new AgentUnavailable({ reason: CONTEXT_LOST })) : Effect.void
        case "Prompted":
          return Deferred.succeed(turn.prompted, undefined)
        case "Message":
          return turn.messages.offer(event.message) ?? Effect.void
        case "Result":
          runningSessions.answered.add(running.session.id)
          turn.messages.offer(event.message)
          return finish(turn, Exit.void)
        case "Refused": {
          const failure = turnFailure(event.error, program, confidential)
          // The agent's process has lost the session. Another process can resume it.
          return isNotFound(event.error) ? fail(failure) : finish(turn, Exit.fail(failure))
        }
        case "Broken":
          return Effect.flatMap(Deferred.isDone(turn.prompted), (prompted) =>
            fail((prompted ? turnFailure : unpromptedFailure)(event.error, program, confidential)),
          )
      }
    }
    return endAtComplexLine(process.output).pipe(
      Stream.decodeText("utf-8"),
      Stream.splitLines,
      Stream.runForEachWhile((line) => Effect.map(handleLine(line), () => isUsable)),
      Effect.map(() => ({ startsAgent, isUsable })),
    )
  }

  /** Runs one call of `acpx prompt`, from the prompt to its exit. Independent of whether the turn is read. */
  const callPrompt = (running: RunningSession, ref: AgentSessionRef, prompt: string, turn: AcpxTurn) =>
    Effect.gen(function* () {
      const { session } = running
      const agent = yield* agentOf(session.agent)
      const launch = (running.launch ??= yield* Scope.extend(prepareLaunch(session), running.relayScope))
      const command = commandLine(launch.executable)
      if (!(yield* fromRecords(records.prepare(ref, command, isAnswered(running)))))
        return yield* new AgentUnavailable({ reason: "acpx has no record of the session" })
      const scope = yield* Scope.fork(running.scope, running.scope.strategy)
      const process = yield* Scope.extend(
        call(session, launch, ["prompt", "-s", session.id, "-f", "-"]),
        scope,
      )
      yield* process.write(promptInput(prompt))
      yield* process.endInput
      const { startsAgent, isUsable } = yield* readOutput(
        running,
        turn,
        process,
        programName(agent.command),
        prompt,
      )
      if (!isUsable) return
      if (!turn.messages.isEnded())
        return yield* Effect.flatMap(unfinished(turn), (failure) => abandon(running, turn, failure))
      // A queue owner and an agent that this call has started stay for the next turn.
      if (!startsAgent) yield* Scope.close(scope, Exit.void)
      yield* runningSessions.endWhenIdle(running, Duration.seconds(options.idleSecs))
    }).pipe(Effect.catchAll((failure) => finish(turn, Exit.fail(failure))))

  /** Ends an agent that does not take the prompt in time. */
  const limitStart = (running: RunningSession, turn: AcpxTurn) =>
    Effect.gen(function* () {
      const started = Effect.race(Deferred.await(turn.prompted), turn.messages.ended)
      if (Option.isSome(yield* Effect.timeoutOption(started, options.openTimeout))) return
      const reason = `it did not take the prompt within ${Duration.toSeconds(options.openTimeout)} s`
      yield* abandon(running, turn, new AgentUnavailable({ reason }))
    })

  const prompt = (
    session: AgentSession,
    ref: AgentSessionRef,
    text: string,
  ): Stream.Stream<AcpMessage, Failure> =>
    Stream.unwrapScoped(
      Effect.gen(function* () {
        const running = yield* runningSessions.acquire(session)
        const turn: AcpxTurn = {
          messages: yield* makeTurnMessages,
          prompted: yield* Deferred.make<void>(),
        }
        yield* Effect.acquireRelease(
          Effect.gen(function* () {
            running.turn = turn.messages
            const fiber = yield* Effect.forkIn(
              Effect.interruptible(callPrompt(running, ref, text, turn)),
              running.scope,
            )
            yield* Effect.forkIn(Effect.interruptible(limitStart(running, turn)), running.scope)
            // The turn ends however that fiber ends, even if it is interrupted before its first step.
            const settled = yield* Effect.forkDaemon(Effect.zipRight(fiber.await, failUnfinished(turn)))
            running.settled = Effect.asVoid(settled.await)
          }),
          () => Effect.zipRight(turn.messages.discard, stopTurn(running, turn.messages)),
        )
        return turn.messages.stream
      }),
    )

  const cancel = Effect.fn("AcpxClient.cancel")(function* (session: AgentSession) {
    const running = runningSessions.find(session.id)
    if (running?.turn === undefined || running.turn.isEnded()) return
    yield* cancelTurn(running, running.turn)
  })

  return { prompt, cancel }
}

/** The failure of a turn whose process ended without a result or an error. */
const unfinished = (turn: AcpxTurn): Effect.Effect<Failure> =>
  Effect.map(Deferred.isDone(turn.prompted), (prompted) =>
    prompted
      ? new TurnFailed({ reason: "its process ended before the turn" })
      : new AgentUnavailable({ reason: "its process ended before it had the prompt" }),
  )

const failUnfinished = (turn: AcpxTurn) =>
  Effect.flatMap(unfinished(turn), (failure) => finish(turn, Exit.fail(failure)))
