import { Clock, Context, Effect, Layer, Option, RcMap, Redacted, Schema, Scope } from "effect"
import { IdempotencyConflict, StorageFailed } from "../../domain/Failure.ts"
import type { TokenId } from "../../domain/Ids.ts"
import { canonicalJson } from "../../domain/Json.ts"
import type { IdempotencyKey, Origin } from "../../domain/Origin.ts"
import { Secrets } from "../access/Secrets.ts"
import { Ledger, type StoredAnswer } from "../journal/Ledger.ts"

/** A key as a request names it: it is known to that app on that route only. */
export interface KeyOfRequest extends Pick<IdempotencyKey, "route" | "key"> {
  readonly owner: TokenId
}

/** The fields of a request. Their order does not count, and a field that is `null` counts as absent. */
export type RequestFields = Readonly<Record<string, unknown>>

/** An answer, and whether it is one that was given before. */
export interface IdempotentAnswer<A> {
  readonly answer: A
  readonly replayed: boolean
}

/** Requests that an app may send again: their work is done once, and each of them is answered the same. */
export class Idempotency extends Context.Tag("clawdforge/Idempotency")<
  Idempotency,
  {
    /**
     * Does the work, or returns the answer that is stored under the key. The work gets an origin that carries the key:
     * the ledger stores the answer with the change that the origin causes. Work that fails leaves the key unused: of
     * several equal requests the next one does it. Without a key the work is just done. Fails with
     * `IdempotencyConflict` if the key was used for another request.
     */
    readonly once: <A, I, E, R>(
      request: {
        readonly key: KeyOfRequest | undefined
        readonly fields: RequestFields
        readonly origin: Origin
      },
      answer: Schema.Schema<A, I>,
      work: (origin: Origin) => Effect.Effect<A, E, R>,
    ) => Effect.Effect<IdempotentAnswer<A>, E | IdempotencyConflict | StorageFailed, R>
    /** Returns what is stored under a key, for a caller that has to know before the whole request is there. */
    readonly find: (key: KeyOfRequest) => Effect.Effect<Option.Option<StoredAnswer>, StorageFailed>
    /** Returns the stored answer. Fails with `IdempotencyConflict` if the request was another one. */
    readonly replay: <A, I>(
      stored: StoredAnswer,
      fields: RequestFields,
      answer: Schema.Schema<A, I>,
    ) => Effect.Effect<IdempotentAnswer<A>, IdempotencyConflict | StorageFailed>
  }
>() {
  static readonly layer = Layer.scoped(
    Idempotency,
    Effect.gen(function* () {
      const { keys } = yield* Ledger
      const secrets = yield* Secrets
      // Equal requests at the same time do their work one after the other.
      const inUse = yield* RcMap.make<string, Effect.Semaphore, never, never>({
        lookup: () => Effect.makeSemaphore(1),
      })

      const fingerprintOf = (fields: RequestFields): string => {
        const present = Object.entries(fields).filter(([, value]) => value !== null)
        return secrets.hash(Redacted.make(canonicalJson(Object.fromEntries(present))))
      }

      const find = ({ owner, route, key }: KeyOfRequest) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => keys.find(owner, { route, key }, now))

      return {
        once: ({ key: named, fields, origin }, schema, work) => {
          if (named === undefined) return Effect.map(work(origin), firstAnswer)
          const { owner, route, key } = named
          const fingerprint = fingerprintOf(fields)
          const doOrReplay = Effect.gen(function* () {
            const stored = yield* find(named)
            if (Option.isSome(stored)) return yield* decode(stored.value, fingerprint, schema)
            return firstAnswer(yield* work({ ...origin, idempotencyKey: { route, key, fingerprint } }))
          })
          // A scope of its own: what the work adds to its caller's scope stays open.
          return Effect.acquireUseRelease(
            Scope.make(),
            (scope) =>
              RcMap.get(inUse, JSON.stringify([owner, route, key])).pipe(
                Scope.extend(scope),
                Effect.flatMap((one) => one.withPermits(1)(doOrReplay)),
              ),
            (scope, exit) => Scope.close(scope, exit),
          ).pipe(Effect.withSpan("Idempotency.once"))
        },
        find,
        replay: (stored, fields, answer) =>
          Effect.suspend(() => decode(stored, fingerprintOf(fields), answer)),
      }
    }),
  )
}

/** Decodes a stored answer, if it is the answer to the request with that fingerprint. */
const decode = <A, I>(
  { fingerprint, answer }: StoredAnswer,
  asked: string,
  schema: Schema.Schema<A, I>,
): Effect.Effect<IdempotentAnswer<A>, IdempotencyConflict | StorageFailed> =>
  fingerprint === asked
    ? Schema.decode(Schema.parseJson(schema))(answer).pipe(
        Effect.mapBoth({
          // The parse error is left out: it quotes the answer.
          onFailure: () => new StorageFailed({ during: "reading a stored answer", cause: null }),
          onSuccess: (answer) => ({ answer, replayed: true }),
        }),
      )
    : Effect.fail(new IdempotencyConflict())

const firstAnswer = <A>(answer: A): IdempotentAnswer<A> => ({ answer, replayed: false })
