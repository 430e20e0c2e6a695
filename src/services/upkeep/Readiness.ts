import { type Cause, Context, Duration, Effect, Layer, Option } from "effect"
import type { ExecutableMissing, ProcessFailed, StorageFailed } from "../../domain/Failure.ts"
import { Clis } from "../agents/Clis.ts"
import { Processes, type ProcessSpec } from "../agents/Processes.ts"
import { Disks } from "./Disks.ts"
import { LoginMonitor } from "./LoginMonitor.ts"
import { Logs } from "./Logs.ts"
import { Ledger } from "../journal/Ledger.ts"
import { RunEngine } from "../runs/RunEngine.ts"
import { errorCodeOf } from "./ErrorCode.ts"
import { sharedResult } from "./SharedResult.ts"

/** With less free space, there may be too little for the next upload or for the ledger. */
export const DISK_MIN_BYTES = 256 * 1024 * 1024
/** How long a check may take that needs the machine. */
const CHECK_TIMEOUT = Duration.seconds(2)
/** Readiness may be asked for often, and by anybody whom the allowlist admits. */
const TRIALS_MAX_AGE = Duration.seconds(1)
/** A process that does nothing. POSIX promises that shell. */
const TRIVIAL: ProcessSpec = { command: "/bin/sh", args: ["-c", ":"], cwd: "/", env: {} }

/** A check of something that the service needs. `detail` tells an operator what to know or do, without paths or secrets. */
export interface Check {
  readonly name:
    | "service"
    | "database"
    | "disk"
    | "directories"
    | "processes"
    | "claude"
    | "login"
    | "acpx"
    | "log"
  /** Whether the service can work. */
  readonly ok: boolean
  /** Whether an operator should look although the service can work. */
  readonly isWarning?: boolean
  readonly detail: string
}

/**
 * Checks whether the service can work. A check does what it vouches for: it commits a row, makes a file, starts a
 * process. These are done at most once a second, whoever asks.
 */
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
      const logins = yield* LoginMonitor
      const logs = yield* Logs
      const processes = yield* Processes
      const runs = yield* RunEngine

      const service = Effect.match(runs.accepting, {
        onFailure: () => failed("service", "is stopping"),
        onSuccess: () => passed("service", "takes work"),
      })
      const database = Effect.match(inTime(ledger.writable), {
        onFailure: (failure) =>
          failed(
            "database",
            `cannot be written to (${codeOfFailure(failure)}): see the log, DATA_DIR and DB_PATH`,
          ),
        onSuccess: () => passed("database", "can be written to"),
      })
      const disk = Effect.match(inTime(disks.freeBytes), {
        onFailure: () => failed("disk", "cannot be looked at: see DATA_DIR"),
        onSuccess: (free) => {
          const detail = `${Math.floor(free / 1024 ** 2)} MiB free`
          return free >= DISK_MIN_BYTES ? passed("disk", detail) : failed("disk", `only ${detail}`)
        },
      })
      const directories = Effect.match(inTime(disks.unwritable), {
        onFailure: () => failed("directories", "cannot be written to: a disk does not answer"),
        onSuccess: (found) =>
          found.length === 0
            ? passed("directories", "can be written to")
            : failed(
                "directories",
                `cannot be written to: ${found.map(({ setting, code }) => `${setting} (${code})`).join(", ")}`,
              ),
      })
      const startProcess = Effect.scoped(Effect.flatMap(processes.spawn(TRIVIAL), ({ exit }) => exit))
      const starts = Effect.match(inTime(startProcess), {
        onFailure: (failure) =>
          failed(
            "processes",
            `none can be started (${codeOfFailure(failure)}): see the limits of processes and open files`,
          ),
        onSuccess: ({ code }) =>
          code === 0
            ? passed("processes", "can be started")
            : failed("processes", "none can be started: a shell that does nothing fails"),
      })
      const trials = sharedResult(
        Effect.all([database, disk, directories, starts], { concurrency: "unbounded" }),
        TRIALS_MAX_AGE,
      )

      const tools = Effect.map(
        Effect.all([clis.versions, logins.status]),
        ([{ claude, acpx }, login]): ReadonlyArray<Check> => [
          Option.match(claude, {
            onNone: () => failed("claude", "cannot be started: install it again, or see CLAUDE_BIN"),
            onSome: (version) => passed("claude", version),
          }),
          { name: "login", ok: login.ok, isWarning: login.ok && login.state !== "ok", detail: login.detail },
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
        checks: Effect.map(Effect.all([service, trials, tools, log], { concurrency: "unbounded" }), (found) =>
          found.flat(),
        ),
      }
    }),
  )
}

const passed = (name: Check["name"], detail: string): Check => ({ name, ok: true, detail })
const failed = (name: Check["name"], detail: string): Check => ({ name, ok: false, detail })

/** Returns in time even if the check cannot be interrupted. */
const inTime = <A, E, R>(check: Effect.Effect<A, E, R>) =>
  Effect.timeout(Effect.disconnect(check), CHECK_TIMEOUT)

type TrialFailure = StorageFailed | ExecutableMissing | ProcessFailed | Cause.TimeoutException

const codeOfFailure = (failure: TrialFailure): string => {
  switch (failure._tag) {
    case "StorageFailed":
      return errorCodeOf(failure.cause)
    case "ExecutableMissing":
      return "ENOENT"
    case "ProcessFailed":
      return /\(([A-Z]+)\)/.exec(failure.reason)?.[1] ?? failure.reason
    case "TimeoutException":
      return "no answer in time"
  }
}
