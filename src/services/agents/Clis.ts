import { Context, Duration, Effect, Layer, Option, Ref, Schema, Stream } from "effect"
import { LoginMonitor } from "../upkeep/LoginMonitor.ts"
import { type Executable, Processes } from "./Processes.ts"

const PROBE_INTERVAL = Duration.seconds(60)
/** How much of a CLI's output is read. A chunk has at most 64 KiB. */
const OUTPUT_MAX_CHUNKS = 16
const PROBE_TIMEOUT = Duration.seconds(10)

/** The results of the newest probe. */
export interface CliVersions {
  /** The version of `claude`. None when it is missing or does not answer. */
  readonly claude: Option.Option<string>
  /** The version of `acpx`. None when it is missing or does not answer. */
  readonly acpx: Option.Option<string>
}

/** A CLI that the service may need. */
export type Cli = "claude" | "acpx"

/**
 * Probes which CLIs are installed, and whether `claude` says that it has a login, which the `LoginMonitor` gets to know.
 * The versions are probed once when the layer is built, then every 60 s in the background; the login only in the
 * background.
 */
export class Clis extends Context.Tag("clawdforge/Clis")<
  Clis,
  {
    /** Returns the newest results. Never waits for a probe. */
    readonly versions: Effect.Effect<CliVersions>
    /** The CLIs without which the service cannot work. */
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
        const login = yield* LoginMonitor

        /** Runs a CLI. Returns what it prints and how it exits; none when it is missing or too slow. */
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

        const latest = yield* Ref.make<CliVersions>(yield* versions)
        // The start does not wait for the login: the CLI takes ten times as long for it as for its version.
        const probe = Effect.zipRight(
          Effect.flatMap(loggedIn, Option.match({ onNone: () => Effect.void, onSome: login.asked })),
          Effect.flatMap(Effect.delay(versions, PROBE_INTERVAL), (found) => Ref.set(latest, found)),
        )
        yield* Effect.forkScoped(Effect.forever(probe))
        return { versions: Ref.get(latest), needed: options.needed }
      }),
    )
}

const decodeStatus = Schema.decodeOption(Schema.parseJson(Schema.Struct({ loggedIn: Schema.Boolean })))

const VERSION_MAX_CHARS = 100

const firstLine = (output: string): string => (output.trim().split("\n")[0] ?? "").slice(0, VERSION_MAX_CHARS)
