import { Chunk, Context, Duration, Effect, Layer, Option, Ref, type Scope, Stream } from "effect"
import {
  type AgentFailure,
  OutputGarbled,
  ProcessFailed,
  ProviderRefused,
  type StorageFailed,
} from "../../domain/Failure.ts"
import { redact } from "../../domain/Redaction.ts"
import { ARGUMENTS, environment, secretsIn } from "./claude/Command.ts"
import { type ClaudeAnswer, modelRefusal, outcomeOf } from "./claude/Outcome.ts"
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
import type { ClaudeRequest } from "./claude/Request.ts"
import { Processes, type RunningProcess } from "./Processes.ts"
import type { WorkDir } from "./WorkDirs.ts"

/** All that a run may print; beyond it the run is ended. */
const OUTPUT_MAX_BYTES = 64 * 1024 * 1024

/** How long a process that reported a failure may take to exit by itself, for its exit code. */
const EXIT_PATIENCE = Duration.seconds(1)

/** How the agent's executable is started: a command, and arguments that come before ours. */
export interface Executable {
  readonly command: string
  readonly args: ReadonlyArray<string>
}

/** Who hears what the CLI prints. */
export type Say = (lines: ReadonlyArray<ClaudeLine>) => Effect.Effect<void, StorageFailed>

/**
 * One-shot prompts on the real `claude` CLI.
 *
 * A run is a process with its own group and working directory, driven by bidirectional stream-json: `initialize`
 * and the model first, the prompt when the model is known to exist, then messages up to the `result`. When the
 * effect ends, on whatever way, the process and its descendants are gone.
 */
export class ClaudeRunner extends Context.Tag("clawdforge/ClaudeRunner")<
  ClaudeRunner,
  {
    /**
     * Asks once, in a directory that is the only one the model can read. Takes as long as the model does; its
     * processes are gone when the scope closes. Each line that the CLI prints goes to `say`, in order, up to the result;
     * the CLI waits while that takes.
     */
    readonly run: (
      request: ClaudeRequest,
      dir: WorkDir,
      say: Say,
    ) => Effect.Effect<ClaudeAnswer, AgentFailure | StorageFailed, Scope.Scope>
  }
>() {
  static readonly layer = (options: {
    readonly executable: Executable
    /** The allow-listed part of our environment. */
    readonly env: Readonly<Record<string, string>>
  }) =>
    Layer.effect(
      ClaudeRunner,
      Effect.gen(function* () {
        const processes = yield* Processes
        const secrets = secretsIn(options.env)

        /** A CLI process that waits for its first message. It knows its directory, and nothing of a request. */
        const open = ({ cwd, tmp }: WorkDir) =>
          processes.spawn({
            command: options.executable.command,
            args: [...options.executable.args, ...ARGUMENTS],
            cwd,
            // The CLI leaves litter in its temporary directory; it goes with the run's.
            env: { ...environment(options.env), CLAUDE_CODE_TMPDIR: tmp },
          })

        const run = Effect.fn("ClaudeRunner.run")(function* (request: ClaudeRequest, dir: WorkDir, say: Say) {
          const confidential = { secrets, texts: [request.prompt, request.system ?? ""] }
          const process = yield* open(dir)
          const strayLines = yield* Ref.make(0)
          const result = yield* ask(process, request, strayLines, say).pipe(
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
          return yield* outcomeOf({
            result,
            exit,
            stderr: yield* process.errorTail,
            strayLines: yield* Ref.get(strayLines),
            confidential,
          })
        })

        return { run }
      }),
    )
}

/** Puts one request to a process and streams what it says, up to its `result` or the end of its output. */
const ask = (
  process: RunningProcess,
  request: ClaudeRequest,
  strayLines: Ref.Ref<number>,
  say: Say,
): Stream.Stream<ClaudeMessage, AgentFailure | StorageFailed> =>
  Stream.unwrap(
    Effect.as(
      process.write(preamble(request)),
      process.output.pipe(
        capped,
        Stream.decodeText("utf-8"),
        Stream.splitLines,
        Stream.filter((line) => line.trim() !== ""),
        Stream.mapChunksEffect((lines) =>
          Effect.gen(function* () {
            const heard = upToResult(Chunk.toReadonlyArray(Chunk.filterMap(lines, decodeLine)))
            if (heard.length < lines.length) {
              yield* Ref.update(strayLines, (n) => n + lines.length - heard.length)
            }
            yield* say(heard)
            for (const { message } of heard) {
              if (isControlResponse(message)) yield* react(process, request, message)
            }
            return Chunk.unsafeFromArray(heard.map(({ message }) => message))
          }),
        ),
        Stream.takeUntil(isResult),
      ),
    ),
  )

/** What comes after the result, if anything does, is not of this prompt. */
const upToResult = (lines: ReadonlyArray<ClaudeLine>): ReadonlyArray<ClaudeLine> => {
  const end = lines.findIndex(({ message }) => isResult(message))
  return end < 0 ? lines : lines.slice(0, end + 1)
}

/**
 * Sends the prompt once the model is set. Not before: after a refused `set_model` the CLI would answer a prompt
 * that already waits with its default model.
 */
const react = (
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

/** How a process ends that has nothing more to say. */
const exitOf = (process: RunningProcess) =>
  Effect.zipRight(process.endInput, Effect.timeoutOption(process.exit, EXIT_PATIENCE))

const capped = <R>(output: Stream.Stream<Uint8Array, never, R>) =>
  Stream.mapAccumEffect(output, 0, (seen, chunk) =>
    seen + chunk.length > OUTPUT_MAX_BYTES
      ? new OutputGarbled({ reason: `it printed more than ${OUTPUT_MAX_BYTES} bytes` })
      : Effect.succeed([seen + chunk.length, chunk] as const),
  )
