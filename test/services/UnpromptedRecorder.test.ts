import { expect, it } from "@effect/vitest"
import { Chunk, Effect, Stream } from "effect"
import type { SessionId } from "../../src/domain/Ids.ts"
import { AcpxClient } from "../../src/services/agents/AcpxClient.ts"
import { Journal } from "../../src/services/journal/Journal.ts"
import { Ledger } from "../../src/services/journal/Ledger.ts"
import { recordUnprompted } from "../../src/services/sessions/UnpromptedRecorder.ts"

it.live(
  "messages that an agent sends all at once are stored in parts, and requests are served in between",
  () =>
    Effect.gen(function* () {
      const session = "a-session" as SessionId
      const messages = Array.from({ length: 1000 }, (_, index) => ({ session, message: { index } }))
      let otherWork = 0
      const other = setInterval(() => (otherWork += 1))
      yield* Effect.addFinalizer(() => Effect.sync(() => clearInterval(other)))
      const stored: Array<{ readonly bodies: ReadonlyArray<string>; readonly otherWork: number }> = []
      yield* recordUnprompted({} as never).pipe(
        Effect.provideService(AcpxClient, {
          unprompted: Stream.fromChunk(Chunk.unsafeFromArray(messages)),
        } as never),
        Effect.provideService(Journal, {
          appendToSessions: (some: ReadonlyArray<{ readonly body: string }>) =>
            Effect.sync(() => stored.push({ bodies: some.map(({ body }) => body), otherWork })),
        } as never),
        Effect.provideService(Ledger, { sessions: {} } as never),
      )
      const all = () => stored.flatMap(({ bodies }) => bodies)
      yield* Effect.repeat(Effect.sleep(5), { until: () => all().length >= messages.length })
      expect(all()).toEqual(messages.map(({ message }) => JSON.stringify(message)))
      expect(Math.max(...stored.map(({ bodies }) => bodies.length))).toBeLessThanOrEqual(64)
      expect(stored.at(-1)?.otherWork).toBeGreaterThan(stored[0]?.otherWork ?? 0)
    }).pipe(Effect.scoped),
)
