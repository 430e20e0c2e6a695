import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { beforeAll, describe, expect, it } from "@effect/vitest"
import { type Cut, type Reading, readThrough, type Where } from "./support/CutClient.ts"
import { openEvents } from "./support/EventSource.ts"
import { randomFrom } from "./support/Random.ts"
import { socketsOf } from "./support/ProcessTable.ts"
import { isSoak, scale } from "./support/Scale.ts"
import { post, serviceUnderTest, until } from "./support/Service.ts"
import { scriptedAgent } from "./support/Scripted.ts"

/**
 * Many clients lose their connections at random bytes and go on where they were: what each has in the end is what
 * one has who lost nothing. They all use one service, which ends and is started again while some wait.
 */

const seed = Number(process.env["CUTS_SEED"] ?? Date.now() % 1_000_000)

const { dataDir, rows, start, mint } = serviceUnderTest("file")
const sleep = (millis: number) => new Promise<void>((resolve) => setTimeout(resolve, millis))
const many = <A>(count: number, make: (n: number) => A): Array<A> =>
  Array.from({ length: count }, (_, n) => make(n))

let server: Awaited<ReturnType<typeof start>>
let token: string
/** What is over. */
let over: ReadonlyArray<Over>
/** More than what a connection takes that nobody reads. */
let long: Over

const startServer = async () => {
  server = await start({ CLAWDFORGE_AGENTS: `scripted=${scriptedAgent(dataDir())}` })
}

beforeAll(async () => {
  await startServer()
  token = await mint(server.url)
  const results = [
    ...["STREAM 30 0", "SAY two\r\ncups 😀", "EMOJI"].map(run),
    ...["BIG 150", "STREAM 30 0", "EMOJI", "HUGE 200000"].map(turn),
  ]
  over = [...(await Promise.all(results)), await run("EXIT 3")]
  const ends = over.map(({ all }) => namesOf(all).at(-1))
  expect(ends).toEqual([...results.map(() => "result"), "error"])
  long = await turn("BIG 3000 HUGE 8000000")
}, 180_000)

const openSession = async () =>
  `/sessions/${(await post(server.url, "/sessions", token, { agent: "scripted" })).json.session_id}/turn`

/** A run or a turn that has begun, and that somebody reads in the same answer. */
const begin = async (path: string, prompt: string) => {
  const body = { prompt, on_disconnect: "continue" }
  const opened = await openEvents(`${server.url}${path}`, { token, method: "POST", body })
  expect(opened.status).toBe(200)
  await opened.until((events) => events.length > 0)
  const { run_id, session_id, turn_index } = JSON.parse(opened.events[0]?.data ?? "")
  const isTurn = session_id !== undefined
  const stream = isTurn ? `/sessions/${session_id}/turns/${turn_index}/events` : `/runs/${run_id}/events`
  return { opened, stream, isTurn }
}

/** A stream, and all that it said. */
interface Over {
  readonly stream: string
  readonly all: string
}

const finish = async (path: string, prompt: string): Promise<Over> => {
  const { stream } = await begin(path, prompt)
  return { stream, all: await uncut(stream) }
}

const run = (prompt: string) => finish("/run", prompt)
const turn = async (prompt: string) => finish(await openSession(), prompt)

/** What such a stream has at least, in bytes: another has other ids and durations. */
const sizeOf = async (path: string, prompt: string) => (await finish(path, prompt)).all.length - 64

const namesOf = (events: string) => [...events.matchAll(/^event: (\w+)$/gm)].map(([, name]) => name)

/** All of a stream, for a client that loses nothing. */
const uncut = async (start: Reading["start"]): Promise<string> => {
  const client = { url: () => server.url, token, start, resumesBy: "after" as const }
  return (await readThrough({ ...client, cut: () => undefined, pause: unexpected })).events
}
const unexpected = () => expect.fail("a connection was lost that nobody cut")

/** What a head has at least, and what it has with a first event, in bytes. */
const HEAD = 200
const BEGINNING = 300

interface Trial {
  readonly start: Reading["start"]
  /** In which part of the stream's events it is cut first: up to there, in bytes. */
  readonly size: number
  /** Comes between a first cut and what follows. */
  readonly afterFirst?: () => Promise<void>
  /** Holds the connection that is to be cut first, unread, until then. */
  readonly held?: () => Promise<void>
}

let trials = 0

/** One client of a stream, that is cut up to three times; the seed and its number repeat what it draws. */
const trial = async ({ start, size, afterFirst, held }: Trial) => {
  const number = trials++
  const random = randomFrom(seed + number)
  const drawn: Array<Cut> = []
  const wanted = 1 + Math.floor(random() * 3)
  const read = await readThrough({
    url: () => server.url,
    token,
    start,
    resumesBy: random() < 0.5 ? "last-event-id" : "after",
    cut: (read) => {
      if (drawn.length === wanted) return undefined
      const isHeld = held !== undefined && drawn.length === 0
      const range = random() < 0.2 ? BEGINNING : HEAD + Math.max(0, size - read)
      const how = random() < 0.5 ? "end" : "reset"
      const cut: Cut = { after: Math.floor(random() * range), how: isHeld ? { held } : how }
      drawn.push(cut)
      return cut
    },
    pause: () => (drawn.length === 1 && afterFirst !== undefined ? afterFirst() : sleep(random() * 200)),
  })
  return { ...read, what: `CUTS_SEED=${seed}, ${JSON.stringify({ number, start, drawn })}` }
}

/** Each trial was cut, and has exactly these bytes. */
const expectSame = (tried: ReadonlyArray<Awaited<ReturnType<typeof trial>>>, all: string) => {
  for (const { events, cuts, what } of tried) {
    expect(cuts.length, what).toBeGreaterThan(0)
    if (events === all) continue
    let n = 0
    while (events[n] === all[n]) n++
    const around = (text: string) => JSON.stringify(text.slice(Math.max(0, n - 80), n + 80))
    expect.fail(`${what}: at ${n}, ${around(events)} in the place of ${around(all)}`)
  }
}

/** Where so many clients wait until it is opened. */
const gate = (count: number) => {
  const all = Promise.withResolvers<void>()
  const opened = Promise.withResolvers<void>()
  let waiting = 0
  return {
    wait: () => {
      if (++waiting === count) all.resolve()
      return opened.promise
    },
    allWait: all.promise,
    open: opened.resolve,
  }
}

const LINES = 30
/** Clients of each stream that is at work. */
const AT_WORK = scale.cuts(100)
const WITH_KEY = scale.cuts(24)
/** Clients of each of the eight streams that are over, and of each of them while the service is started again. */
const OVER = scale.cuts(35)
const OVER_MEANWHILE = scale.cuts(12)

describe(`${scale.cuts(1000)} connections cut at random (CUTS_SEED=${seed})`, () => {
  it(`${5 * AT_WORK} to runs and turns at work lose nothing`, async () => {
    const paths = ["/run", "/run", "/run", await openSession(), await openSession()]
    const sizes = {
      run: await sizeOf("/run", `STREAM ${LINES} 0`),
      turn: await sizeOf(paths[3] ?? "", `STREAM ${LINES} 0`),
    }
    const steps = join(dataDir(), "steps")
    mkdirSync(steps)
    const atWork = await Promise.all(paths.map((path) => begin(path, `STEP ${steps} ${LINES}`)))
    const tried = atWork.map(({ stream, isTurn }) =>
      many(AT_WORK, () => trial({ start: stream, size: isTurn ? sizes.turn : sizes.run })),
    )
    const there = atWork.map(({ stream }) => uncut(stream))
    // Most are there by then; the others are just between two connections.
    await until(() => socketsOf(server.process.pid).length > 3 * AT_WORK)
    for (let n = 0; n < LINES; n++) {
      writeFileSync(join(steps, String(n)), "")
      await sleep(80)
    }
    const seen = new Set<Where>()
    for (const [n, { opened, stream, isTurn }] of atWork.entries()) {
      const all = (await there[n]) ?? ""
      const messages = Array<string>(isTurn ? LINES + 1 : LINES + 8).fill("message")
      expect(namesOf(all)).toEqual(["run", ...messages, "result"])
      const theirs = await Promise.all(tried[n] ?? [])
      expectSame(theirs, all)
      for (const { cuts } of theirs) for (const where of cuts) seen.add(where)
      // Who began it was answered otherwise: with the same events.
      expect(await opened.ended).toBe("ended")
      const late = await openEvents(`${server.url}${stream}`, { token })
      expect(await late.ended).toBe("ended")
      expect(opened.events).toEqual(late.events)
    }
    // Between two events is hardly anything: what is written at once is framed at its ends.
    seen.delete("between")
    const everywhere: ReadonlyArray<Where> = ["character", "event", "framing", "head", "id"]
    // A few cuts, at random, need not fall everywhere.
    if (isSoak) expect([...seen].sort()).toEqual(everywhere)
    else expect(everywhere).toEqual(expect.arrayContaining([...seen]))
  })

  it(`${WITH_KEY} that begin a run or a turn with a key lose nothing, and begin one`, async () => {
    const turns = [await openSession(), await openSession(), await openSession()]
    const paths = many(WITH_KEY, (n) => (n % 2 === 0 ? "/run" : (turns[(n >> 1) % 3] ?? "")))
    const prompts = many(WITH_KEY, (n) => ["EMOJI", "STREAM 20 5"][(n >> 2) % 2] ?? "")
    const sizes = new Map<string, number>()
    for (const path of ["/run", turns[0] ?? ""]) {
      for (const prompt of new Set(prompts))
        sizes.set(`${path === "/run"} ${prompt}`, await sizeOf(path, prompt))
    }
    const before = rows("SELECT id FROM runs").length
    const starts = paths.map((path, n) => ({ path, body: { prompt: prompts[n] }, key: `key-${n}` }))
    const tried = starts.map((start, n) =>
      trial({ start, size: sizes.get(`${start.path === "/run"} ${prompts[n]}`) ?? 0 }),
    )
    for (const [n, one] of (await Promise.all(tried)).entries()) {
      expectSame([one], await uncut(starts[n]!))
    }
    expect(rows("SELECT id FROM runs")).toHaveLength(before + starts.length)
  })

  it(`${8 * OVER} to what is over lose nothing`, async () => {
    const tried = over.map(({ stream, all }) => many(OVER, () => trial({ start: stream, size: all.length })))
    for (const [n, { stream, all }] of over.entries()) {
      expectSame(await Promise.all(tried[n] ?? []), all)
      // Who has all of it, and does not know.
      const last = /^id: (\d+)$/m.exec(all.slice(all.lastIndexOf("id: ")))?.[1] ?? ""
      const after = await openEvents(`${server.url}${stream}`, { token, headers: { "last-event-id": last } })
      expect([after.status, await after.ended, after.events]).toEqual([204, "ended", []])
    }
  })

  it.each(isSoak ? (["SIGTERM", "SIGKILL"] as const) : (["SIGKILL"] as const))(
    `${8 * OVER_MEANWHILE} to what is over lose nothing when the service ends by %s and is started again in between; 30 to what was at work have what it had said and one error`,
    async (signal) => {
      const paths = ["/run", "/run", await openSession()]
      const atWork = await Promise.all(paths.map((path) => begin(path, "STREAM 2000 50")))
      const [ended, started] = [gate(4), gate(8 * OVER_MEANWHILE + 3 * 10)]
      const afterFirst = started.wait
      const toOver = over.map(({ stream, all }) =>
        many(OVER_MEANWHILE, () => trial({ start: stream, size: all.length, afterFirst })),
      )
      const toAtWork = atWork.map(({ stream }) =>
        many(10, () => trial({ start: stream, size: 8000, afterFirst })),
      )
      // The end of the service cuts these: it has not written all when it comes.
      const toLong = many(4, () => trial({ start: long.stream, size: 50_000, afterFirst, held: ended.wait }))
      const client = { url: () => server.url, token, resumesBy: "after" as const }
      const there = atWork.map(({ stream }) =>
        readThrough({ ...client, start: stream, cut: () => undefined, pause: afterFirst }),
      )

      await Promise.all([started.allWait, ended.allWait])
      await server.end(signal)
      ended.open()
      await startServer()
      started.open()

      for (const [n, { all }] of over.entries()) expectSame(await Promise.all(toOver[n] ?? []), all)
      expectSame(await Promise.all(toLong), long.all)
      for (const [n, { stream }] of atWork.entries()) {
        const all = await uncut(stream)
        const names = namesOf(all)
        expect(names).toEqual(["run", ...Array<string>(names.length - 2).fill("message"), "error"])
        expect(names.length).toBeGreaterThan(20)
        const { status, code } = JSON.parse(all.slice(all.lastIndexOf("data: ") + 6))
        expect([status, code]).toEqual(signal === "SIGTERM" ? [503, "shutting_down"] : [502, "run_failed"])
        expectSame(await Promise.all(toAtWork[n] ?? []), all)
        expect((await there[n])?.events).toBe(all)
      }
    },
  )
})
