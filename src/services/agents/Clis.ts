import { Cause, Clock, Context, Duration, Effect, Layer, Option, Ref, Schema, Stream } from "effect"
import type { Executable } from "./ClaudeRunner.ts"
import { Ledger } from "../journal/Ledger.ts"
import { Processes } from "./Processes.ts"

const PROBE_INTERVAL = Duration.seconds(60)
/** Of what a CLI that floods prints; a chunk has at most 64 KiB. */
const OUTPUT_MAX_CHUNKS = 16
const PROBE_TIMEOUT = Duration.seconds(10)

/** What the CLIs say of themselves. */
export interface CliVersions {
  /** The version; none when it is missing or does not answer. */
  readonly claude: Option.Option<string>
  readonly acpx: Option.Option<string>
  /** Whether `claude` has a login; none when it does not say, or has not said yet. */
  readonly loggedIn: Option.Option<boolean>
}

/** A CLI that can be told to be missing. */
export type Cli = "claude" | "acpx"

/**
 * Which CLIs are there, probed once before the service listens, then in the background, as the login is from the
 * beginning: reading never waits. A login that comes or goes meanwhile is an event.
 */
export class Clis extends Context.Tag("clawdforge/Clis")<
  Clis,
  {
    readonly versions: Effect.Effect<CliVersions>
    /** Without which of them the service cannot do its work. */
    readonly needed: ReadonlyArray<Cli>
  }
>() {
  static readonly layer = (options: {
    readonly claude: Executable
    readonly acpx: Executable
    readonly cwd: string
    readonly env: Readonly<Record<string, string>>
    readonly needed: ReadonlyArray<Cli>
  }) =>
    Layer.scoped(
      Clis,
      Effect.gen(function* () {
        const processes = yield* Processes
        const { events } = yield* Ledger

        /** What a CLI prints, and its exit code. */
        const output = ({ command, args }: Executable, more: ReadonlyArray<string>) =>
          processes.spawn({ command, args: [...args, ...more], cwd: options.cwd, env: options.env }).pipe(
            Effect.tap((process) => process.endInput),
            Effect.flatMap((process) =>
              Effect.zip(
                Stream.mkString(Stream.decodeText(Stream.take(process.output, OUTPUT_MAX_CHUNKS))),
                process.exit,
              ),
            ),
            Effect.scoped,
            Effect.timeout(PROBE_TIMEOUT),
            Effect.option,
          )
        const version = (executable: Executable) =>
          Effect.map(
            output(executable, ["--version"]),
            Option.flatMap(([text, { code }]) =>
              Option.filter(Option.some(firstLine(text)), (line) => code === 0 && line !== ""),
            ),
          )
        const loggedIn = Effect.map(
          output(options.claude, ["auth", "status", "--json"]),
          Option.flatMap(([text]) => Option.map(decodeStatus(text), (status) => status.loggedIn)),
        )
        const versions = Effect.all(
          { claude: version(options.claude), acpx: version(options.acpx) },
          { concurrency: "unbounded" },
        )

        const known = yield* Ref.make<CliVersions>({ ...(yield* versions), loggedIn: Option.none() })
        const learn = (found: Partial<CliVersions>) =>
          Ref.update(known, (before) => ({ ...before, ...found }))
        /** What the log has; at first nothing, and then nothing has changed. */
        let recorded: boolean | undefined
        /** Records a change; by a ledger that fails, after the next probe. */
        const record = (now: boolean) =>
          Effect.gen(function* () {
            const at = yield* Clock.currentTimeMillis
            const nobody = { runId: null, sessionId: null, tokenId: null }
            if (now !== (recorded ?? now))
              yield* events.append({ type: "login.changed", at, ...nobody, data: { logged_in: now } })
            recorded = now
          }).pipe(
            Effect.catchAll(({ cause }) =>
              Effect.logWarning("a change of the login is not recorded yet", Cause.die(cause)),
            ),
          )
        // The start does not wait for the login: asking for it takes the CLI ten times as long as for its version.
        const probe = Effect.zipRight(
          loggedIn.pipe(
            Effect.tap((loggedIn) => learn({ loggedIn })),
            Effect.flatMap(Option.match({ onNone: () => Effect.void, onSome: record })),
          ),
          Effect.flatMap(Effect.delay(versions, PROBE_INTERVAL), learn),
        )
        yield* Effect.forkScoped(Effect.forever(probe))
        return { versions: Ref.get(known), needed: options.needed }
      }),
    )
}

const decodeStatus = Schema.decodeOption(Schema.parseJson(Schema.Struct({ loggedIn: Schema.Boolean })))

const VERSION_MAX_CHARS = 100

const firstLine = (output: string): string => (output.trim().split("\n")[0] ?? "").slice(0, VERSION_MAX_CHARS)
