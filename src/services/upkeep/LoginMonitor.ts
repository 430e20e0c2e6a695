import { Cause, Clock, Context, Duration, Effect, Layer, Option } from "effect"
import { NotLoggedIn, RateLimited } from "../../domain/Failure.ts"
import type { LoginState } from "../../domain/Login.ts"
import { isLimited } from "../agents/ProviderFailures.ts"
import { Ledger } from "../journal/Ledger.ts"
import { monotonicMillis } from "../time/Monotonic.ts"
import { type Credential, CredentialFile } from "./CredentialFile.ts"
import { absentLogin, type Hold, reachedLimit, refusedLogin } from "./LoginHolds.ts"

/** What is known of the login of `claude`. */
export interface LoginStatus {
  readonly state: LoginState
  /** Whether work can be done. */
  readonly ok: boolean
  /** What an operator should know or do. It has no secret, and no words of a prompt. */
  readonly detail: string
}

/** Work that asks the provider. It reports how it ended. */
export interface Attempt {
  /** The provider has answered. */
  readonly worked: Effect.Effect<void>
  /** The work failed. Only failures of the login and its limits count. */
  readonly failed: (failure: { readonly _tag: string }) => Effect.Effect<void>
}

/**
 * Knows whether the provider accepts the login of `claude`, and which limits are reached: from how work ends, from the
 * file of the login, and from what `claude` says when it is asked. A change is logged, and recorded as the event
 * `login.changed`.
 */
export class LoginMonitor extends Context.Tag("clawdforge/LoginMonitor")<
  LoginMonitor,
  {
    readonly status: Effect.Effect<LoginStatus>
    /**
     * Admits work that asks the provider for a model; null is the agent's default. Fails at once while the login is missing,
     * or a limit holds for the model. Then one attempt is admitted every 30 s (before the end of a limit: every hour), when
     * a limit ends, and when the login's file changes, until one has worked.
     */
    readonly admit: (model: string | null) => Effect.Effect<void, NotLoggedIn | RateLimited>
    /** Begins work that asks the provider for a model. */
    readonly attempt: (model: string | null) => Effect.Effect<Attempt>
    /** Notes whether `claude` says that it has a login. It does not know whether the provider accepts it. */
    readonly asked: (hasLogin: boolean) => Effect.Effect<void>
  }
>() {
  static readonly layer = Layer.scoped(
    LoginMonitor,
    Effect.gen(function* () {
      const file = yield* CredentialFile
      const { events } = yield* Ledger
      const scope = yield* Effect.scope
      const recording = yield* Effect.makeSemaphore(1)

      let credential = yield* file.read
      /** What `claude` has said last; undefined when it was not asked yet. */
      let said: boolean | undefined
      let missing: Hold<NotLoggedIn> | undefined
      /** The limits by their families of models. The limit of the whole login has no family. */
      const limits = new Map<string | undefined, Hold<RateLimited>>()
      /** The number of attempts and reports so far. It orders them, whatever the clock does. */
      let sequence = 0
      /** The newest attempt that has worked, by its number. */
      let lastWorked = 0
      /** The state that was recorded last; undefined until a state is known. */
      let recorded: LoginState | undefined

      const times = Effect.all({ wall: Clock.currentTimeMillis, monotonic: monotonicMillis })

      const statusAt = (now: number): LoginStatus => {
        if (missing !== undefined) return missingStatus(missing)
        const holding = [...limits].filter(([, { resetsAt }]) => resetsAt > now)
        const whole = holding.find(([family]) => family === undefined)
        if (whole !== undefined)
          return { state: "limited", ok: false, detail: `limited until ${timeOf(whole[1].resetsAt)}` }
        const expiresAt = Option.getOrUndefined(credential)?.expiresAt ?? Number.POSITIVE_INFINITY
        if (expiresAt - now < EXPIRING_MILLIS)
          return { state: "expiring", ok: true, detail: `ends at ${timeOf(expiresAt)}: ${REMEDY}` }
        if (said === undefined && lastWorked === 0)
          return { state: "unknown", ok: false, detail: "not known: the CLI has not said" }
        const some = holding.map(([family, { resetsAt }]) => `${family} is limited until ${timeOf(resetsAt)}`)
        return { state: "ok", ok: true, detail: ["present", ...some].join("; ") }
      }

      /** Logs and records a change. When the ledger fails, the next look at the file tries again. */
      const record = Effect.gen(function* () {
        const at = yield* Clock.currentTimeMillis
        const { state, detail } = statusAt(at)
        if (state === recorded || state === "unknown") return
        // The first good news is no change.
        if (recorded !== undefined || state !== "ok") {
          yield* state === "ok" ? Effect.logInfo(`login: ${detail}`) : Effect.logWarning(`login: ${detail}`)
          const data = { logged_in: state !== "missing", state }
          const nobody = { runId: null, sessionId: null, tokenId: null }
          yield* events.append({ type: "login.changed", at, ...nobody, data })
        }
        recorded = state
      }).pipe(
        Effect.catchAll(({ cause }) =>
          Effect.logWarning("a change of the login is not recorded yet", Cause.die(cause)),
        ),
        Effect.uninterruptible,
        recording.withPermits(1),
      )
      // In the background: no end of a run waits for the disk.
      const changed = Effect.asVoid(Effect.forkIn(Effect.interruptible(record), scope))

      const look = Effect.map(file.read, (found) => {
        const isChanged = fingerprintOf(found) !== fingerprintOf(credential)
        credential = found
        if (isChanged) for (const hold of [missing, ...limits.values()]) hold?.loginChanged()
      })
      yield* Effect.zipRight(look, record).pipe(
        Effect.delay(LOOK_INTERVAL),
        Effect.forever,
        Effect.forkScoped,
      )

      const holdsOf = (model: string | null): ReadonlyArray<Hold> => [
        ...(missing === undefined ? [] : [missing]),
        ...[...limits].filter(([family]) => isLimited(family, model)).map(([, hold]) => hold),
      ]

      const admit = (model: string | null) =>
        Effect.gen(function* () {
          if (holdsOf(model).length === 0) return
          yield* look
          const now = yield* times
          // Nothing is waited for from here on: of many at once, one is the attempt.
          const holds = holdsOf(model)
          for (const hold of holds) {
            const refusal = hold.refusal(now)
            if (refusal !== undefined) return yield* Effect.fail(refusal)
          }
          for (const hold of holds) hold.attempted(now)
        })

      const worked = (began: number, model: string | null) =>
        Effect.suspend(() => {
          lastWorked = Math.max(lastWorked, began)
          const ended = holdsOf(model).filter(({ reportedAt }) => began > reportedAt)
          if (missing !== undefined && ended.includes(missing)) missing = undefined
          for (const [family, hold] of limits) if (ended.includes(hold)) limits.delete(family)
          return ended.length > 0 || recorded === undefined ? changed : Effect.void
        })

      const failed = (began: number, failure: NotLoggedIn | RateLimited) =>
        // A login that was written before the failure is the one that failed.
        Effect.flatMap(Effect.zipRight(look, times), (now) => {
          // The news of a newer attempt is better, or nobody knows when the limit ends.
          if (began < lastWorked || (failure._tag === "RateLimited" && failure.resetsAt === undefined))
            return Effect.void
          sequence += 1
          if (failure._tag === "NotLoggedIn") missing = refusedLogin(failure, sequence, now)
          else limits.set(failure.family, reachedLimit(failure, sequence, now))
          return changed
        })

      return {
        status: Effect.map(Clock.currentTimeMillis, statusAt),
        admit,
        attempt: (model) =>
          Effect.sync(() => {
            const began = (sequence += 1)
            return {
              worked: worked(began, model),
              failed: (failure) =>
                failure instanceof NotLoggedIn || failure instanceof RateLimited
                  ? failed(began, failure)
                  : Effect.void,
            }
          }),
        asked: (hasLogin) =>
          Effect.flatMap(times, (now) => {
            // Work may succeed although `claude` says that it has no login: only a change is news.
            if (said === hasLogin) return Effect.void
            said = hasLogin
            if (!hasLogin) missing ??= absentLogin((sequence += 1), now)
            else if (missing?.failure.reason === undefined) missing = undefined
            return record
          }),
      }
    }),
  )
}

/** How often the login's file is looked at. */
const LOOK_INTERVAL = Duration.seconds(10)
/** A login that ends within this time is to be renewed. */
const EXPIRING_MILLIS = 24 * 3_600_000

const REMEDY = "`npm run claude -- /login`, or an ANTHROPIC_API_KEY for the service"

const fingerprintOf = (credential: Option.Option<Credential>): string | undefined =>
  Option.getOrUndefined(credential)?.fingerprint

const missingStatus = ({ failure, isUntried }: Hold<NotLoggedIn>): LoginStatus => {
  if (isUntried) return { state: "unknown", ok: true, detail: "changed, and not tried yet" }
  const what =
    failure.reason === undefined ? "none that the provider accepts" : "the provider does not accept it"
  return { state: "missing", ok: false, detail: `${what}: ${REMEDY}` }
}

const timeOf = (millis: number): string => new Date(millis).toISOString().replace(/\.\d+/, "")
