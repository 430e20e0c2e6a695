import { Context, Duration, Effect, Layer, Option, Ref, Schedule, Stream } from "effect"
import type { Executable } from "./ClaudeRunner.ts"
import { Processes } from "./Processes.ts"

const PROBE_INTERVAL = Duration.seconds(60)
const PROBE_TIMEOUT = Duration.seconds(10)

/** What each CLI says its version is; none when it is missing or does not answer. */
export interface CliVersions {
  readonly claude: Option.Option<string>
  readonly acpx: Option.Option<string>
}

/** Which CLIs are there. Probed once before the service listens, then in the background: reading never waits. */
export class Clis extends Context.Tag("clawdforge/Clis")<
  Clis,
  { readonly versions: Effect.Effect<CliVersions> }
>() {
  static readonly layer = (options: {
    readonly claude: Executable
    readonly acpx: Executable
    readonly cwd: string
    readonly env: Readonly<Record<string, string>>
  }) =>
    Layer.scoped(
      Clis,
      Effect.gen(function* () {
        const processes = yield* Processes

        const version = ({ command, args }: Executable) =>
          processes.spawn({ command, args: [...args, "--version"], cwd: options.cwd, env: options.env }).pipe(
            Effect.tap((process) => process.endInput),
            Effect.flatMap((process) =>
              Effect.zip(Stream.mkString(Stream.decodeText(process.output)), process.exit),
            ),
            Effect.map(([output, { code }]) =>
              Option.filter(Option.some(firstLine(output)), (line) => code === 0 && line !== ""),
            ),
            Effect.scoped,
            Effect.timeout(PROBE_TIMEOUT),
            Effect.orElseSucceed(() => Option.none<string>()),
          )
        const probe = Effect.all(
          { claude: version(options.claude), acpx: version(options.acpx) },
          { concurrency: "unbounded" },
        )

        const versions = yield* Ref.make(yield* probe)
        yield* Effect.flatMap(probe, (found) => Ref.set(versions, found)).pipe(
          Effect.schedule(Schedule.spaced(PROBE_INTERVAL)),
          Effect.forkScoped,
        )
        return { versions: Ref.get(versions) }
      }),
    )
}

const VERSION_MAX_CHARS = 100

const firstLine = (output: string): string => (output.trim().split("\n")[0] ?? "").slice(0, VERSION_MAX_CHARS)
