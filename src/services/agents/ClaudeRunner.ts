import { Chunk, Context, Effect, Layer, Option, Ref, type Scope, Stream } from "effect"
import {
  type AgentFailure,
  OutputGarbled,
  type Overloaded,
  ProcessFailed,
  ProviderRefused,
  type StorageFailed,
} from "../../domain/Failure.ts"
import { JsonScan } from "../../domain/JsonScan.ts"
import { redact, secretsIn } from "../../domain/Redaction.ts"
import { CLAUDE_ARGUMENTS, claudeEnvironment } from "./claude/Command.ts"
import { type ClaudeAnswer, modelRefusal, answerOf } from "./claude/ClaudeAnswer.ts"
import {
  type ClaudeLine,
  type ClaudeMessage,
  decodeLine,
  INITIALIZE_REQUEST,
  isControlResponse,
  isResult,
  MODEL_REQUEST,
  preamble,
  userMessage,
} from "./claude/Protocol.ts"
import type { ClaudeRequest } from "./claude/ClaudeRequest.ts"
import { holdLines, LINE_LIMITS, TOO_COMPLEX } from "./LineLimits.ts"
import { EXIT_TIMEOUT } from "./Timeouts.ts"
import { type Executable, Processes, type RunningProcess } from "./Processes.ts"
import type { WorkDir } from "./WorkDirs.ts"

/** The limit of a run's output. A run that prints more fails. */
const OUTPUT_MAX_BYTES = 64 * 1024 * 1024

/**
 * Is called with the bytes of a long line that the CLI has begun, before more of it is read; with 0 when it is complete.
 * Fails when the memory has no room for it.
 */
export type OnLongLine = (bytes: number) => Effect.Effect<void, Overloaded>

/** Is called with the next lines that the CLI has printed, in order. */
export type OnLines = (lines: ReadonlyArray<ClaudeLine>) => Effect.Effect<void, Overloaded | StorageFailed>

/**
 * Runs one-shot prompts on the `claude` CLI.
 *
 * A run is a process with its own process group and working directory. It is driven by bidirectional stream-json:
 * `initialize` and the model first, the prompt when the CLI has confirmed the model, then messages up to the `result`.
 */
export class ClaudeRunner extends Context.Tag("clawdforge/ClaudeRunner")<
  ClaudeRunner,
  {
    /**
     * Runs one prompt and returns its answer. The model can read `dir` and no other directory. Has no timeout. The
     * processes are gone when the scope closes.
     *
     * Each line that the CLI prints, up to the result, goes to `onLines`, in order. No more output is read while
     * `onLines` runs, so a slow one slows down the CLI. A failure of `onLines` or `onLongLine` fails the run.
     */
    readonly run: (
      request: ClaudeRequest,
      dir: WorkDir,
      onLines: OnLines,
      onLongLine?: OnLongLine,
    ) => Effect.Effect<ClaudeAnswer, AgentFailure | Overloaded | StorageFailed, Scope.Scope>
  }
>() {
  static readonly layer = (options: {
    readonly executable: Executable
    /** The allow-listed part of the service's environment. */
    readonly env: Readonly<Record<string, string>>
  }) =>
    Layer.effect(
      ClaudeRunner,
      Effect.gen(function* () {
        const processes = yield* Processes
        const secrets = secretsIn(options.env)

        /** Starts a CLI process, which then waits for its first message. */
        const start = ({ cwd, tmp }: WorkDir) =>
          processes.spawn({
            command: options.executable.command,
            args: [...options.executable.args, ...CLAUDE_ARGUMENTS],
            cwd,
            // The CLI leaves files in its temporary directory. They are removed with the run's directory.
            env: { ...claudeEnvironment(options.env), CLAUDE_CODE_TMPDIR: tmp },
          })

        const run = Effect.fn("ClaudeRunner.run")(function* (
          request: ClaudeRequest,
          dir: WorkDir,
          onLines: OnLines,
          onLongLine: OnLongLine = () => Effect.void,
        ) {
          const confidential = { secrets, texts: [request.prompt, request.system ?? ""] }
          const process = yield* start(dir)
          const strayLines = yield* Ref.make(0)
          const result = yield* ask(process, request, strayLines, onLines, onLongLine).pipe(
            Stream.filter(isResult),
            Stream.runHead,
            Effect.mapError((failure) =>
              failure._tag === "ProviderRefused"
                ? new ProviderRefused({ ...failure, reason: redact(failure.reason, confidential) })
                : failure,
            ),
          )
          const succeeded = Option.exists(result, (message) => message.is_error !== true)
          const exit = succeeded ? Option.none() : yield* exitOf(process)
          return yield* answerOf({
            result,
            exit,
            stderr: succeeded ? "" : yield* process.errorTail,
            strayLines: yield* Ref.get(strayLines),
            confidential,
          })
        })

        return { run }
      }),
    )
}

/** Sends a request to a process and streams its messages, up to the `result` or the end of its output. */
const ask = (
  process: RunningProcess,
  request: ClaudeRequest,
  strayLines: Ref.Ref<number>,
  onLines: OnLines,
  onLongLine: OnLongLine,
): Stream.Stream<ClaudeMessage, AgentFailure | Overloaded | StorageFailed> =>
  Stream.unwrap(
    Effect.as(
      process.write(preamble(request)),
      process.output.pipe(
        limitOutput,
        limitLines,
        (output) => holdLines(output, onLongLine),
        Stream.decodeText("utf-8"),
        Stream.splitLines,
        Stream.filter((line) => line.trim() !== ""),
        Stream.mapChunksEffect((lines) =>
          Effect.gen(function* () {
            const decoded = upToResult(Chunk.toReadonlyArray(Chunk.filterMap(lines, decodeLine)))
            if (decoded.length < lines.length) {
              yield* Ref.update(strayLines, (n) => n + lines.length - decoded.length)
            }
            yield* onLines(decoded)
            for (const { message } of decoded) {
              if (isControlResponse(message)) yield* handleControlResponse(process, request, message)
            }
            return Chunk.unsafeFromArray(decoded.map(({ message }) => message))
          }),
        ),
        Stream.takeUntil(isResult),
      ),
    ),
  )

/** Drops the lines after the result: they do not belong to this prompt. */
const upToResult = (lines: ReadonlyArray<ClaudeLine>): ReadonlyArray<ClaudeLine> => {
  const end = lines.findIndex(({ message }) => isResult(message))
  return end < 0 ? lines : lines.slice(0, end + 1)
}

/**
 * Sends the prompt when the CLI has confirmed the model. Not earlier: after a refused `set_model`, the CLI answers a
 * prompt that is already in its input with its default model.
 */
const handleControlResponse = (
  process: RunningProcess,
  request: ClaudeRequest,
  { response }: Extract<ClaudeMessage, { type: "control_response" }>,
): Effect.Effect<void, AgentFailure> => {
  const refused = response.subtype === "error"
  switch (response.request_id) {
    case MODEL_REQUEST:
      return refused ? Effect.fail(modelRefusal(response)) : process.write(userMessage(request.prompt))
    case INITIALIZE_REQUEST:
      return refused ? new ProcessFailed({ reason: "it refused to initialize" }) : Effect.void
    default:
      return Effect.void
  }
}

/** How a process exits whose output has ended, or that reported a failure. None if it does not exit in time. */
const exitOf = (process: RunningProcess) =>
  Effect.zipRight(process.endInput, Effect.timeoutOption(process.exit, EXIT_TIMEOUT))

/** Fails on a line that would take too long to parse. */
const limitLines = <E, R>(output: Stream.Stream<Uint8Array, E, R>) =>
  Stream.suspend(() => {
    const scan = new JsonScan(LINE_LIMITS, { lines: true })
    return Stream.tap(output, (chunk) =>
      scan.add(chunk) ? Effect.void : new OutputGarbled({ reason: TOO_COMPLEX }),
    )
  })

const limitOutput = <R>(output: Stream.Stream<Uint8Array, never, R>) =>
  Stream.mapAccumEffect(output, 0, (seen, chunk) =>
    seen + chunk.length > OUTPUT_MAX_BYTES
      ? new OutputGarbled({ reason: `it printed more than ${OUTPUT_MAX_BYTES} bytes` })
      : Effect.succeed([seen + chunk.length, chunk] as const),
  )
