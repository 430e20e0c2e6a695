import { describe, expect, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { type Frame, framesOf, Progress, render, writeTo } from "../../src/http/sse/EventStream.ts"
import { EventParser } from "../support/EventSource.ts"

const parse = (bytes: Uint8Array) => new EventParser().push(bytes)
const message = (data: string, seq = 7): Frame => ({ seq, event: "message", data })

describe("an event on the wire", () => {
  it("has its id, its name and its data on one line each", () => {
    expect(new TextDecoder().decode(render([message('{"a":1}')]))).toBe(
      'id: 7\nevent: message\ndata: {"a":1}\n\n',
    )
  })

  it.each([
    ["LF", "\n"],
    ["CR", "\r"],
    ["CRLF", "\r\n"],
    ["LF LF", "\n\n"],
    ["CR CR", "\r\r"],
  ])("cannot be forged by a raw %s in what should be JSON on one line", (_, br) => {
    const forged = `{"a":${br}${br}id: 9${br}event: result${br}data: {}${br}${br}1}`
    const events = parse(render([message(forged), message("{}", 8)]))
    expect(events.map(({ id, event }) => ({ id, event }))).toEqual([
      { id: "7", event: "message" },
      { id: "8", event: "message" },
    ])
  })

  it("keeps the value of JSON that has line breaks", () => {
    const value = { a: ["x\ny", 1], b: { c: "\r\n\r\ndata: no" } }
    const [event] = parse(render([message(JSON.stringify(value, null, 2).replaceAll("\n", "\r\n"))]))
    expect(JSON.parse(event?.data ?? "")).toEqual(value)
  })

  it.each([
    ["emoji", "😀 👩‍👩‍👧 漢字"],
    ["line and paragraph separators", "a\u2028data: b\u2029c\u0085d\u000be\u000cf"],
    ["a byte order mark", "\uFEFF"],
    ["NUL", "\0"],
    ["half a surrogate pair", "\ud83d"],
    ["escaped line breaks", "\n\nevent: result\ndata: {}\n\n"],
  ])("keeps %s unchanged", (_, text) => {
    const events = parse(render([message(JSON.stringify({ text }))]))
    expect(events.map(({ data }) => JSON.parse(data))).toEqual([{ text }])
  })
})

/** The bytes that are written to a sink that takes one piece at a time. */
const written = async (frames: Stream.Stream<Frame>, progress = new Progress(0)) => {
  const pieces: Array<Uint8Array> = []
  const sink = { write: (piece: Uint8Array) => pieces.push(piece) < 0, drained: Effect.sleep(0) }
  await Effect.runPromise(writeTo(sink, framesOf(frames), progress))
  return pieces
}

const sent = (frames: ReadonlyArray<Frame>, progress?: Progress) =>
  written(Stream.fromIterable(frames), progress)

describe("the tests' own reader of events", () => {
  const text = ":c\r\nid: 1\r\rdata: a\rdata:b\nevent:e\r\n\r\nid\ndata\n\n: d\n\ndata:  x: y\n\n"
  const events = [
    { id: "1", event: "e", data: "a\nb" },
    { id: "", event: "message", data: "" },
    { id: "", event: "message", data: " x: y" },
  ]

  it.each([1, 2, 3, 5, 7, 1000])("parses all that the standard allows, %i bytes at a time", (size) => {
    const parser = new EventParser()
    const bytes = new TextEncoder().encode(text)
    const all = []
    for (let at = 0; at < bytes.length; at += size) all.push(...parser.push(bytes.subarray(at, at + size)))
    expect(all).toEqual(events)
    expect(parser.comments).toEqual(["c", "d"])
  })
})

describe("a stream", () => {
  it("sends a line of 8 MB in small pieces, with every emoji intact", async () => {
    const text = "😀x".repeat((8 * 1024 * 1024) / 5)
    const pieces = await sent([message(JSON.stringify({ text }))])
    expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThanOrEqual(64 * 1024)
    const [event, ...more] = parse(Buffer.concat(pieces))
    expect(JSON.parse(event?.data ?? "").text === text).toBe(true)
    expect(more).toEqual([])
  })

  it("ends after its result, even if its source does not end", async () => {
    const frames = [message("{}", 1), { seq: 2, event: "result", data: "{}" }]
    const endless = Stream.concat(Stream.fromIterable(frames).pipe(Stream.rechunk(2)), Stream.never)
    expect(parse(Buffer.concat(await written(endless))).map(({ id }) => id)).toEqual(["1", "2"])
  })

  it("with a given last event sends the frames before it, and one last event only", async () => {
    const last = { seq: 1, event: "error", data: "{}" }
    const progress = new Progress(0)
    progress.give([message("{}", 1)])
    progress.giveLast(last)
    const events = parse(Buffer.concat(await sent([message("{}", 2)], progress)))
    expect(events.map(({ event }) => event)).toEqual(["message", "error"])

    const ended = new Progress(0)
    ended.give([{ seq: 3, event: "result", data: "{}" }])
    ended.giveLast(last)
    expect(parse(Buffer.concat(await sent([], ended))).map(({ event }) => event)).toEqual(["result"])
  })
})
