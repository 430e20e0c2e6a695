import { Cause, Duration, Effect, Schedule } from "effect"
import { StorageFailed } from "../../domain/Failure.ts"
import type { RunId, SessionId, TokenId } from "../../domain/Ids.ts"
import type { Origin } from "../../domain/Origin.ts"
import type { AppToken } from "../../domain/Token.ts"
import type { LedgerRecords, RunEnd } from "./Ledger.ts"

/** How long to wait before changes that are held are tried again. */
const RETRY_INTERVAL = Duration.seconds(1)

interface Revocation {
  readonly token: AppToken
  readonly at: number
  readonly origin: Origin
}

interface Close {
  readonly at: number
  readonly origin: Origin | null
}

/**
 * Makes the memory of changes that the records did not take. It writes them as soon as the records take them, until the
 * scope closes. Then it tries once more, and logs what is lost.
 */
export const makeHeldWrites = (records: LedgerRecords) =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const ends = new Map<RunId, RunEnd>()
    const revocations = new Map<TokenId, Revocation>()
    const closes = new Map<SessionId, Close>()
    const writeLock = yield* Effect.makeSemaphore(1)
    let isRetrying = false
    /** Why the newest change is held. */
    let heldBecause: unknown = null

    const heldCount = () => ends.size + revocations.size + closes.size

    /** Writes what is held: first what keeps somebody out. */
    const writeAll = Effect.all(
      [
        writeKind(revocations, (_, { token, at, origin }) => records.tokens.revoke(token.name, at, origin)),
        writeKind(closes, (session, { at, origin }) => records.sessions.close(session, at, origin)),
        writeKind(ends, records.runs.end),
      ],
      { mode: "either" },
    ).pipe(
      Effect.flatMap((results) => Effect.all(results, { discard: true })),
      Effect.uninterruptible,
      writeLock.withPermits(1),
    )

    const retryInBackground = Effect.suspend(() => {
      if (isRetrying) return Effect.void
      isRetrying = true
      return writeAll.pipe(
        // In one step: a change that is held from now on starts the next retries.
        Effect.map(() => {
          isRetrying = heldCount() > 0
          return isRetrying
        }),
        Effect.repeat({ while: (more) => more }),
        Effect.retry(Schedule.spaced(RETRY_INTERVAL)),
        Effect.zipRight(Effect.logInfo("all changes that were held in memory are written")),
        Effect.interruptible,
        Effect.forkIn(scope),
        Effect.asVoid,
      )
    })

    /** Holds a change that the records did not take. */
    const hold = <K, V>(held: Map<K, V>, key: K, value: V, { during, cause }: StorageFailed) =>
      Effect.logError("a change holds in memory only, until it can be written", Cause.die(cause)).pipe(
        Effect.annotateLogs({ during }),
        Effect.zipRight(
          Effect.sync(() => {
            heldBecause = cause
            held.set(key, value)
          }),
        ),
        Effect.zipRight(retryInBackground),
      )

    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => (heldCount() === 0 ? Effect.void : writeAll)).pipe(
        Effect.catchAll(({ cause }) =>
          Effect.annotateLogs(Effect.logError("changes are not written, and are lost", Cause.die(cause)), {
            tokens_in_force_again: [...revocations.values()].map(({ token }) => token.name).join(" "),
            sessions_open_again: [...closes.keys()].join(" "),
            runs_lost: [...ends.keys()].join(" "),
          }),
        ),
      ),
    )

    return {
      ends,
      revocations,
      closes,
      hold,
      isEmpty: () => heldCount() === 0,
      /** Writes what is held now. Fails if anything of it cannot be written. */
      writeAll,
      /** Why the newest change is held. */
      newestCause: () => heldBecause,
    }
  })

/** Writes all of a kind that is held. Goes on after one that fails or breaks, and then fails with its failure. */
const writeKind = <K, V>(
  held: Map<K, V>,
  write: (key: K, value: V) => Effect.Effect<unknown, StorageFailed>,
) =>
  Effect.suspend(() =>
    Effect.validateAll(held, ([key, value]) =>
      write(key, value).pipe(
        // A bug in one write must not keep the others from ever being tried again.
        Effect.catchAllDefect(
          (cause) => new StorageFailed({ during: "writing a change that is held in memory", cause }),
        ),
        Effect.zipRight(Effect.sync(() => held.delete(key))),
      ),
    ),
  ).pipe(Effect.mapError(([failure]) => failure))
