import { Clock, Context, Effect, Layer, Option, Redacted, Schema } from "effect"
import { IdempotencyConflict, StorageFailed } from "../../domain/Failure.ts"
import type { TokenId } from "../../domain/Ids.ts"
import { canonicalJson } from "../../domain/Json.ts"
import type { Claim } from "../../domain/Run.ts"
import { type KeptAnswer, Ledger } from "../journal/Ledger.ts"
import { Secrets } from "../access/Secrets.ts"

/** Whose key it is, and what for: another app, or another route, does not know it. */
export interface Keyed extends Pick<Claim, "route" | "key"> {
  readonly owner: TokenId
}

/** What was asked. Whatever their order, the same fields are the same request; one that is null is as good as absent. */
export type Asked = Readonly<Record<string, unknown>>

/** An answer, and whether it is one that was given before. */
export interface Answered<A> {
  readonly answer: A
  readonly replayed: boolean
}

/** Requests that an app may send again: what they ask for is done once, and answered each time. */
export class Idempotency extends Context.Tag("clawdforge/Idempotency")<
  Idempotency,
  {
    /**
     * Does the work, or gives the answer that is kept under the key. Work that succeeds keeps its answer itself, by the
     * claim that it is given, with whatever it changes. Work that fails leaves the key as it was: of those that wait,
     * the next one does it. Without a key it is just done.
     */
    readonly once: <A, I, E, R>(
      request: (Keyed & { readonly asked: Asked }) | undefined,
      answer: Schema.Schema<A, I>,
      work: (claim: Claim | undefined) => Effect.Effect<A, E, R>,
    ) => Effect.Effect<Answered<A>, E | IdempotencyConflict | StorageFailed, R>
    /** What is kept under a key, for one who has to know before the request is there as a whole. */
    readonly kept: (keyed: Keyed) => Effect.Effect<Option.Option<KeptAnswer>, StorageFailed>
    /** The answer that is kept. Fails if something else was asked. */
    readonly again: <A, I>(
      kept: KeptAnswer,
      asked: Asked,
      answer: Schema.Schema<A, I>,
    ) => Effect.Effect<Answered<A>, IdempotencyConflict | StorageFailed>
  }
>() {
  static readonly layer = Layer.effect(
    Idempotency,
    Effect.gen(function* () {
      const { keys } = yield* Ledger
      const secrets = yield* Secrets
      const alone = makeTurnstile()

      const fingerprintOf = (asked: Asked): string => {
        const said = Object.entries(asked).filter(([, value]) => value !== null)
        return secrets.hash(Redacted.make(canonicalJson(Object.fromEntries(said))))
      }

      const kept = ({ owner, route, key }: Keyed) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => keys.find(owner, { route, key }, now))

      return {
        once: (request, schema, work) => {
          if (request === undefined) return Effect.map(work(undefined), done)
          const { owner, route, key, asked } = request
          return Effect.gen(function* () {
            const fingerprint = fingerprintOf(asked)
            const claim = { route, key, fingerprint }
            return yield* Option.match(yield* kept(request), {
              onNone: () => Effect.map(work(claim), done),
              onSome: (found) => read(found, fingerprint, schema),
            })
          }).pipe(alone(JSON.stringify([owner, route, key])), Effect.withSpan("Idempotency.once"))
        },
        kept,
        again: (found, asked, schema) => Effect.suspend(() => read(found, fingerprintOf(asked), schema)),
      }
    }),
  )
}

/** What is kept, if that is what was asked. */
const read = <A, I>(
  { fingerprint, answer }: KeptAnswer,
  asked: string,
  schema: Schema.Schema<A, I>,
): Effect.Effect<Answered<A>, IdempotencyConflict | StorageFailed> =>
  fingerprint === asked
    ? Schema.decode(Schema.parseJson(schema))(answer).pipe(
        Effect.mapBoth({
          // What does not fit is not told: it would be quoted.
          onFailure: () => new StorageFailed({ during: "reading a kept answer", cause: null }),
          onSuccess: (answer) => ({ answer, replayed: true }),
        }),
      )
    : Effect.fail(new IdempotencyConflict())

const done = <A>(answer: A): Answered<A> => ({ answer, replayed: false })

/** One at a time of those with the same name. A name that nobody uses is forgotten. */
const makeTurnstile = () => {
  const inUse = new Map<string, { readonly place: Effect.Semaphore; users: number }>()
  return (name: string) =>
    <A, E, R>(effect: Effect.Effect<A, E, R>) =>
      Effect.acquireUseRelease(
        Effect.sync(() => {
          const entry = inUse.get(name) ?? { place: Effect.unsafeMakeSemaphore(1), users: 0 }
          entry.users += 1
          inUse.set(name, entry)
          return entry
        }),
        ({ place }) => place.withPermits(1)(effect),
        (entry) =>
          Effect.sync(() => {
            entry.users -= 1
            if (entry.users === 0) inUse.delete(name)
          }),
      )
}
