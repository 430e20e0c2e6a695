import { describe, expect, it } from "@effect/vitest"
import { FetchHttpClient } from "@effect/platform"
import { Chunk, Effect, Option, Redacted, Stream } from "effect"
import { ConnectionError, ForgeClient } from "../../src/client.ts"
import { cuttingProxy } from "../support/CuttingProxy.ts"
import { scriptedServer, shared } from "../support/Sessions.ts"
import { scriptedClaude } from "../support/TestServer.ts"

/** Streams through a proxy that loses its connections. */

const server = shared(scriptedServer({ claudeBin: Option.some(scriptedClaude) }))

let apps = 0
const setUp = Effect.gen(function* () {
  const proxy = yield* cuttingProxy(() => server().url)
  const token = yield* server().mint(`reader-${apps++}`)
  const make = (baseUrl: string) =>
    ForgeClient.make({ baseUrl, token: Redacted.make(token) }).pipe(
      Effect.provide(FetchHttpClient.layer),
      Effect.orDie,
    )
  return { proxy, cut: yield* make(proxy.url), whole: yield* make(server().url) }
})

const collect = <A, E>(stream: Stream.Stream<A, E>) =>
  Effect.map(Stream.runCollect(stream), Chunk.toReadonlyArray)

const lines = (requests: ReadonlyArray<string>) => requests.map((head) => head.split(" http/1.1")[0])
const lastIds = (requests: ReadonlyArray<string>) =>
  requests.map((head) => /^last-event-id: (\d+)$/m.exec(head)?.[1])

describe("a stream whose connection is lost", () => {
  it.scopedLive("goes on after the last event that came, and tells each once", () =>
    Effect.gen(function* () {
      const { proxy, cut, whole } = yield* setUp
      // In the head's last line, in the first event, within events, between two, and in a character.
      proxy.cuts.push(700, 520, 900, 1234, 2000, 760)
      const events = yield* collect(cut.streams.run({ prompt: "STREAM 20 15" }))
      const [begun] = events
      expect(begun?.type).toBe("run")
      const run = begun?.type === "run" ? begun.data.run_id : ""
      expect(events).toEqual(yield* collect(whole.streams.runEvents(run)))
      expect(proxy.cuts).toEqual([])
      expect(lines(proxy.requests)).toEqual([
        "post /run",
        ...Array(6).fill(`get /runs/${run.toLowerCase()}/events`),
      ])
      const ids = new Set(events.map(({ id }) => id))
      expect(
        lastIds(proxy.requests)
          .slice(1)
          .every((id) => id === undefined || ids.has(id)),
      ).toBe(true)
    }),
  )

  it.scopedLive("is not asked for again without a key when nothing of its answer came", () =>
    Effect.gen(function* () {
      const { proxy, cut, whole } = yield* setUp
      proxy.cuts.push(20)
      expect(yield* Effect.flip(collect(cut.streams.run({ prompt: "SAY once" })))).toBeInstanceOf(
        ConnectionError,
      )
      expect(lines(proxy.requests)).toEqual(["post /run"])
      expect((yield* whole.runs.listRuns()).runs).toHaveLength(1)
    }),
  )

  it.scopedLive("is asked for again with a key, and runs once", () =>
    Effect.gen(function* () {
      const { proxy, cut, whole } = yield* setUp
      proxy.cuts.push(20, 100)
      const events = yield* collect(cut.streams.run({ prompt: "SAY once" }, { idempotencyKey: "once" }))
      expect(events.at(-1)).toMatchObject({ type: "result", data: { ok: true, result: "once" } })
      expect(lines(proxy.requests)).toEqual(["post /run", "post /run", "post /run"])
      expect((yield* whole.runs.listRuns()).runs).toHaveLength(1)
    }),
  )
})
