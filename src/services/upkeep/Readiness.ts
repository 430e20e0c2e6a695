import { Context, Duration, Effect, Layer, Option } from "effect"
import { Clis } from "../agents/Clis.ts"
import { Disks } from "./Disks.ts"
import { Logs } from "./Logs.ts"
import { Ledger } from "../journal/Ledger.ts"
import { RunEngine } from "../runs/RunEngine.ts"

/** With less free space, there may be too little for the next upload or for the ledger. */
export const DISK_MIN_BYTES = 256 * 1024 * 1024
/** How long a check of the database or of the disks may take. */
const CHECK_TIMEOUT = Duration.seconds(2)

/** A check of something that the service needs. `detail` tells an operator what to know or do, without paths or secrets. */
export interface Check {
  readonly name: "service" | "database" | "disk" | "claude" | "login" | "acpx" | "log"
  /** Whether the service can work. */
  readonly ok: boolean
  /** Whether an operator should look although the service can work. */
  readonly isWarning?: boolean
  readonly detail: string
}

/** Checks whether the service can work. */
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
      const logs = yield* Logs
      const runs = yield* RunEngine

      const service = Effect.match(runs.accepting, {
        onFailure: () => failed("service", "is stopping"),
        onSuccess: () => passed("service", "takes work"),
      })
      const database = Effect.match(Effect.timeout(ledger.writable, CHECK_TIMEOUT), {
        onFailure: () => failed("database", "cannot be written to: see the log, DATA_DIR and DB_PATH"),
        onSuccess: () => passed("database", "can be written to"),
      })
      const disk = Effect.match(Effect.timeout(disks.freeBytes, CHECK_TIMEOUT), {
        onFailure: () => failed("disk", "cannot be looked at: see DATA_DIR"),
        onSuccess: (free) => {
          const detail = `${Math.floor(free / 1024 ** 2)} MiB free`
          return free >= DISK_MIN_BYTES ? passed("disk", detail) : failed("disk", `only ${detail}`)
        },
      })
      const tools = Effect.map(
        clis.versions,
        ({ claude, acpx, loggedIn }): ReadonlyArray<Check> => [
          Option.match(claude, {
            onNone: () => failed("claude", "cannot be started: install it again, or see CLAUDE_BIN"),
            onSome: (version) => passed("claude", version),
          }),
          Option.match(loggedIn, {
            onNone: () => failed("login", "not known: the CLI has not said"),
            onSome: (is) =>
              is
                ? passed("login", "present")
                : failed(
                    "login",
                    "none: `npm run claude -- /login`, or an ANTHROPIC_API_KEY for the service",
                  ),
          }),
          Option.match(acpx, {
            onNone: () =>
              clis.needed.includes("acpx")
                ? failed("acpx", "cannot be started: install it again, or see ACPX_BIN")
                : passed("acpx", "missing; nothing needs it"),
            onSome: (version) => passed("acpx", version),
          }),
        ],
      )

      // The service works without its log: this is a warning.
      const log = Effect.map(logs.state, (state) =>
        Option.toArray(state).map(({ failure, lostLines }) =>
          Option.match(failure, {
            onNone: () => passed("log", "is written"),
            onSome: (reason): Check => ({
              ...passed("log", `cannot be written (${reason}); lines lost: ${lostLines}`),
              isWarning: true,
            }),
          }),
        ),
      )

      return {
        checks: Effect.map(Effect.all([service, database, disk, tools, log], { concurrency: 5 }), (found) =>
          found.flat(),
        ),
      }
    }),
  )
}

const passed = (name: Check["name"], detail: string): Check => ({ name, ok: true, detail })
const failed = (name: Check["name"], detail: string): Check => ({ name, ok: false, detail })
