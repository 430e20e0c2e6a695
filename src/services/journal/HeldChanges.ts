import { Cause, Duration, Effect, Option, Schedule, type Scope } from "effect"
import { SessionClosed, StorageFailed, Unauthorized } from "../../domain/Failure.ts"
import type { RunId, SessionId, TokenId } from "../../domain/Ids.ts"
import type { Origin } from "../../domain/Origin.ts"
import type { RunRecord } from "../../domain/Run.ts"
import type { SessionRecord } from "../../domain/Session.ts"
import type { StreamEvent } from "../../domain/Stream.ts"
import type { AppToken } from "../../domain/Token.ts"
import type { Ledger, LedgerRecords, RunEnd } from "./Ledger.ts"

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
 * Makes the ledger of records that may fail, as on a full disk. The end of a run, the revocation of a token and the close
 * of a session make things safer, or somebody waits for them. So they take effect at once in any case: what the records
 * cannot write is held in memory, every reader sees it, and it is written as soon as the records take it.
 *
 * What is held does not survive the process. A run that had ended is then `lost`, a revoked token is in force again, and a
 * closed session is open again. The log names what is not written when the service stops; `writable` fails until then.
 */
export const holdChanges = (
  records: LedgerRecords,
): Effect.Effect<typeof Ledger.Service, never, Scope.Scope> =>
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
    const writeHeld = Effect.all(
      [
        writeAll(revocations, (_, { token, at, origin }) => records.tokens.revoke(token.name, at, origin)),
        writeAll(closes, (session, { at, origin }) => records.sessions.close(session, at, origin)),
        writeAll(ends, records.runs.end),
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
      return writeHeld.pipe(
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
      Effect.suspend(() => (heldCount() === 0 ? Effect.void : writeHeld)).pipe(
        Effect.catchAll(({ cause }) =>
          Effect.annotateLogs(Effect.logError("changes are not written, and are lost", Cause.die(cause)), {
            tokens_in_force_again: [...revocations.values()].map(({ token }) => token.name).join(" "),
            sessions_open_again: [...closes.keys()].join(" "),
            runs_lost: [...ends.keys()].join(" "),
          }),
        ),
      ),
    )

    const runShown = (run: RunRecord): RunRecord => {
      const end = ends.get(run.id)
      if (end === undefined || run.finishedAt !== null) return run
      return { ...run, ...end.ended, finishedAt: Math.max(end.at, run.startedAt ?? run.createdAt) }
    }
    const tokenShown = (token: AppToken): AppToken => {
      const held = revocations.get(token.id)
      return held === undefined ? token : { ...token, revokedAt: held.at }
    }
    const sessionShown = (session: SessionRecord): SessionRecord => {
      const held = closes.get(session.id)
      return held === undefined ? session : { ...session, status: "closed", closedAt: held.at }
    }
    const isOpen = ({ id }: SessionRecord) => !closes.has(id)

    /**
     * The rest of the stream of a run whose end is held. It has no sequence numbers yet, so each item has that of the
     * stored item before: a reader that comes back after it gets the rest again.
     */
    const restOf = (run: RunId, seq: number): ReadonlyArray<StreamEvent> => {
      const end = ends.get(run)
      if (end === undefined) return []
      return [
        ...end.unstored.map(({ body }) => ({ seq, kind: "message" as const, body })),
        { seq, ...end.last },
      ]
    }

    const requireInForce = (owner: TokenId): Effect.Effect<void, Unauthorized> =>
      Effect.suspend(() => (revocations.has(owner) ? new Unauthorized() : Effect.void))

    const { tokens, sessions, runs, streams, events } = records

    const revoke: typeof tokens.revoke = (name, at, origin) =>
      Effect.suspend(() => {
        if ([...revocations.values()].some(({ token }) => token.name === name)) {
          return Effect.succeed("already_revoked" as const)
        }
        return Effect.catchAll(tokens.revoke(name, at, origin), (failure) =>
          Effect.gen(function* () {
            const named = (yield* tokens.list).filter((token) => token.name === name)
            const token = named.find(({ revokedAt }) => revokedAt === null)
            if (token === undefined) return named.length > 0 ? "already_revoked" : "unknown"
            yield* hold(revocations, token.id, { token, at, origin }, failure)
            return token.id
          }),
        )
      })

    const close: typeof sessions.close = (session, at, origin) =>
      Effect.suspend(() => {
        if (closes.has(session)) return Effect.succeed(false)
        return Effect.catchAll(sessions.close(session, at, origin), (failure) =>
          Effect.gen(function* () {
            const found = yield* sessions.find(session)
            if (!Option.exists(found, ({ status }) => status === "open")) return false
            yield* hold(closes, session, { at, origin }, failure)
            yield* events.publish({ events: false, runs: [], sessions: [session] })
            return true
          }),
        )
      })

    return {
      ...records,

      writable: Effect.suspend(() =>
        heldCount() === 0
          ? records.writable
          : new StorageFailed({ during: "writing changes that are held in memory", cause: heldBecause }),
      ),

      tokens: {
        ...tokens,
        // The name of a token is free only when its revocation is written.
        insert: (...token) =>
          Effect.zipRight(
            Effect.suspend(() => (revocations.size === 0 ? Effect.void : writeHeld)),
            tokens.insert(...token),
          ),
        findByHash: (hash) =>
          Effect.map(
            tokens.findByHash(hash),
            Option.filter(({ id }) => !revocations.has(id)),
          ),
        list: Effect.map(tokens.list, (all) => all.map(tokenShown)),
        revoke,
      },

      sessions: {
        ...sessions,
        reserve: (session, limit) =>
          Effect.zipRight(requireInForce(session.tokenId), sessions.reserve(session, limit)),
        activate: (session, ref) =>
          Effect.zipRight(requireInForce(session.tokenId), sessions.activate(session, ref)),
        find: (session) => Effect.map(sessions.find(session), Option.map(sessionShown)),
        list: (owner, options) =>
          Effect.map(sessions.list(owner, options), (all) =>
            (options.includeClosed ? all : all.filter(isOpen)).map(sessionShown),
          ),
        close,
        closeIdle: (session, ...when) =>
          Effect.suspend(() =>
            closes.has(session) ? Effect.succeed(false) : sessions.closeIdle(session, ...when),
          ),
        idle: (...which) => Effect.map(sessions.idle(...which), (found) => found.filter(isOpen)),
        liveAmong: (some) =>
          Effect.map(sessions.liveAmong(some), (live) => live.filter((id) => !closes.has(id))),
        countOpen: Effect.map(sessions.countOpen, (open) => open - closes.size),
      },

      runs: {
        ...runs,
        accept: (spec, options) =>
          requireInForce(spec.owner).pipe(
            Effect.zipRight(
              Effect.suspend(() =>
                spec.kind === "turn" && closes.has(spec.sessionId)
                  ? Effect.fail(new SessionClosed())
                  : Effect.void,
              ),
            ),
            Effect.zipRight(runs.accept(spec, options)),
          ) as ReturnType<typeof runs.accept<typeof spec>>,
        end: (run, end) =>
          Effect.catchAll(runs.end(run, end), (failure) =>
            Effect.zipRight(
              hold(ends, run, end, failure),
              events.publish({ events: false, runs: [run], sessions: [] }),
            ),
          ),
        find: (run) => Effect.map(runs.find(run), Option.map(runShown)),
        findTurn: (...turn) => Effect.map(runs.findTurn(...turn), Option.map(runShown)),
        page: (filter, ...page) =>
          Effect.map(runs.page(filter, ...page), (found) =>
            found
              .map(runShown)
              .filter(({ status }) => filter.status === undefined || filter.status === status),
          ),
      },

      streams: {
        ...streams,
        read: (run, after) =>
          Effect.map(streams.read(run, after), (found) => (found.length > 0 ? found : restOf(run, after))),
        end: (run) =>
          Effect.map(streams.end(run), (found) =>
            Option.orElse(found, () => Option.map(Option.fromNullable(ends.get(run)), ({ last }) => last)),
          ),
      },
    }
  })

/** Writes all of a kind that is held. Goes on after one that fails or breaks, and then fails with its failure. */
const writeAll = <K, V>(
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
