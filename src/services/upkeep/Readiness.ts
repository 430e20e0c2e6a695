import { Context, Duration, Effect, Layer, Option } from "effect"
import { Clis } from "../agents/Clis.ts"
import { Disks } from "./Disks.ts"
import { Ledger } from "../journal/Ledger.ts"
import { RunEngine } from "../runs/RunEngine.ts"

/** Less than that, and the next upload or the ledger may not fit. */
export const DISK_MIN_BYTES = 256 * 1024 * 1024
/** What a look at the database or at the disks may take. */
const PATIENCE = Duration.seconds(2)

/** One thing that the service needs: whether it has it, and what an operator should know or do. No path, no secret. */
export interface Check {
  readonly name: "service" | "database" | "disk" | "claude" | "login" | "acpx"
  readonly ok: boolean
  readonly detail: string
}

/** Whether the service can do its work now. */
export class Readiness extends Context.Tag("clawdforge/Readiness")<
  Readiness,
  { readonly checks: Effect.Effect<ReadonlyArray<Check>> }
>() {
  static readonly layer = Layer.effect(
    Readiness,
    Effect.gen(function* () {
      const clis = yield* Clis
      const disks = yield* Disks
      const ledger = yield* Ledger
      const runs = yield* RunEngine

      const service = Effect.match(runs.accepting, {
        onFailure: () => no("service", "is stopping"),
        onSuccess: () => yes("service", "takes work"),
      })
      const database = Effect.match(Effect.timeout(ledger.writable, PATIENCE), {
        onFailure: () => no("database", "cannot be written to: see the log, DATA_DIR and DB_PATH"),
        onSuccess: () => yes("database", "can be written to"),
      })
      const disk = Effect.match(Effect.timeout(disks.freeBytes, PATIENCE), {
        onFailure: () => no("disk", "cannot be looked at: see DATA_DIR"),
        onSuccess: (free) => {
          const detail = `${Math.floor(free / 1024 ** 2)} MiB free`
          return free >= DISK_MIN_BYTES ? yes("disk", detail) : no("disk", `only ${detail}`)
        },
      })
      const tools = Effect.map(
        clis.versions,
        ({ claude, acpx, loggedIn }): ReadonlyArray<Check> => [
          Option.match(claude, {
            onNone: () => no("claude", "cannot be started: install it again, or see CLAUDE_BIN"),
            onSome: (version) => yes("claude", version),
          }),
          Option.match(loggedIn, {
            onNone: () => no("login", "not known: the CLI has not said"),
            onSome: (is) =>
              is
                ? yes("login", "present")
                : no("login", "none: `npm run claude -- /login`, or an ANTHROPIC_API_KEY for the service"),
          }),
          Option.match(acpx, {
            onNone: () =>
              clis.needed.includes("acpx")
                ? no("acpx", "cannot be started: install it again, or see ACPX_BIN")
                : yes("acpx", "missing; nothing needs it"),
            onSome: (version) => yes("acpx", version),
          }),
        ],
      )

      return {
        checks: Effect.map(Effect.all([service, database, disk, tools], { concurrency: 4 }), (found) =>
          found.flat(),
        ),
      }
    }),
  )
}

const yes = (name: Check["name"], detail: string): Check => ({ name, ok: true, detail })
const no = (name: Check["name"], detail: string): Check => ({ name, ok: false, detail })
