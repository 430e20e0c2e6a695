import { Effect, Exit, Option, Schedule, Schema, type Scope, Stream } from "effect"
import type { AgentRefusal } from "../../../domain/Failure.ts"
import type { TurnMessages } from "../acp/TurnMessages.ts"
import type { AgentSession } from "../AcpxClient.ts"
import { CANCEL_TIMEOUT } from "../Timeouts.ts"
import type { RunningProcess } from "../Processes.ts"
import type { AgentLaunch, RunningSession, RunningSessions } from "./RunningSessions.ts"

/** A cancel is repeated for five seconds at most: while its queue owner is starting, acpx has nothing to cancel. */
const CANCEL_RETRIES = Schedule.intersect(Schedule.spaced("250 millis"), Schedule.recurs(20))

export interface CancelDependencies {
  /** Starts a call of acpx about a session, whose agent is started in that way. */
  readonly call: (
    session: AgentSession,
    launch: AgentLaunch,
    subcommand: ReadonlyArray<string>,
  ) => Effect.Effect<RunningProcess, AgentRefusal, Scope.Scope>
  readonly runningSessions: RunningSessions
}

/** Cancels turns by calls of `acpx cancel`. */
export const acpxCancel = ({ call, runningSessions }: CancelDependencies) => {
  /** Calls `acpx cancel` until acpx confirms that it has passed the cancel on, or the turn has ended. */
  const cancelTurn = (running: RunningSession, turn: TurnMessages) => {
    const once = Effect.gen(function* () {
      if (running.launch === undefined) return false
      const process = yield* call(running.session, running.launch, ["cancel", "-s", running.session.id])
      yield* process.endInput
      const output = yield* Stream.mkString(Stream.decodeText(process.output))
      return Option.exists(decodeCancelled(output.trim()), ({ cancelled }) => cancelled)
    }).pipe(
      Effect.scoped,
      Effect.orElseSucceed(() => false),
    )
    const again = Effect.repeat(once, { until: (cancelled) => cancelled, schedule: CANCEL_RETRIES })
    return Effect.race(again, turn.ended)
  }

  /** Stops a turn that nobody reads: cancels it, and ends the session's processes when that does not help in time. */
  const stopTurn = (running: RunningSession, turn: TurnMessages) =>
    Effect.gen(function* () {
      if (turn.isEnded()) return
      const obeyed = Effect.zipRight(cancelTurn(running, turn), turn.ended)
      const inTime = yield* Effect.timeoutOption(Effect.interruptible(obeyed), CANCEL_TIMEOUT).pipe(
        // A daemon: the calling fiber may be interrupted, and would pass that on to a child.
        Effect.forkDaemon,
        Effect.flatMap((fiber) => fiber.await),
      )
      if (Exit.isFailure(inTime) || Option.isNone(inTime.value)) yield* runningSessions.end(running)
    })

  return { cancelTurn, stopTurn }
}

const decodeCancelled = Schema.decodeOption(Schema.parseJson(Schema.Struct({ cancelled: Schema.Boolean })))
