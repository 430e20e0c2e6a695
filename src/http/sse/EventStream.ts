import { Chunk, Data, Effect, Stream } from "effect"
import type { StorageFailed } from "../../domain/Failure.ts"
import type { StreamGap } from "../../domain/Stream.ts"
import type { Consumer } from "../../services/journal/Consumer.ts"

/** How events go over the wire: server-sent events, as WHATWG's HTML standard has them. */

export const EVENT_STREAM = "text/event-stream"

/** What every stream answers with. Nobody between here and the client may keep some of it back. */
export const STREAM_HEADERS = { "cache-control": "no-store", "x-accel-buffering": "no" }

/** One event on the wire. */
export interface Frame {
  /** Its place, and where to go on after it. */
  readonly seq: number
  /** Its name. */
  readonly event: string
  /** JSON. */
  readonly data: string
}

/** What is gone, and where it goes on. */
export const gapFrame = ({ seq, oldest }: StreamGap): Frame => {
  const data = JSON.stringify({ oldest_id: oldest === null ? null : String(oldest) })
  return { seq, event: "resync", data }
}

/** A line that says nothing: what is silent is not dead. */
export const COMMENT = new TextEncoder().encode(":\n\n")

/** Between the tokens of JSON, the only place where it has any, a line break is a space: nothing in it ends a line. */
const oneLine = (text: string): string => text.replace(/[\r\n]+/g, " ")

export const render = (frames: Iterable<Frame>): Uint8Array => {
  let text = ""
  for (const { seq, event, data } of frames) {
    text += `id: ${seq}\nevent: ${oneLine(event)}\ndata: ${oneLine(data)}\n\n`
  }
  return new TextEncoder().encode(text)
}

/** After these, a stream has nothing to say. */
const isLast = ({ event }: Frame): boolean => event === "result" || event === "error"

/** What is written at once: a reader who takes as much goes on reading, however long the line is that it reads. */
const PIECE_BYTES = 64 * 1024

/** How far a reader has come. */
export class Progress {
  /** Up to there it was given everything. */
  cursor: number
  /** Whether all it was given is written, and it waits for what comes next: between two events, therefore. */
  isIdle = false
  /** Whether it was given its last. */
  isOver = false
  /** How many pieces it took. */
  taken = 0
  #rest: Uint8Array = new Uint8Array()
  #last: Frame | undefined

  constructor(cursor: number) {
    this.cursor = cursor
  }

  /** How many bytes it was given that are not written. */
  get unwritten(): number {
    return this.#rest.length
  }

  /** Whether it took its last. */
  get isWritten(): boolean {
    return this.isOver && this.#rest.length === 0
  }

  give(frames: ReadonlyArray<Frame>): void {
    const last = frames.at(-1)
    if (last === undefined) return
    this.cursor = last.seq
    this.isOver = isLast(last)
    this.#rest = render(frames)
  }

  /** Is to be its last, if it gets no other, once it took what it was given. */
  giveLast(last: Frame): void {
    this.#last ??= last
  }

  /** What it takes next. */
  next(): Uint8Array | undefined {
    if (this.#rest.length === 0 && this.#last !== undefined && !this.isOver) this.give([this.#last])
    if (this.#rest.length === 0) return undefined
    const piece = this.#rest.subarray(0, PIECE_BYTES)
    this.#rest = this.#rest.subarray(PIECE_BYTES)
    this.taken += 1
    return piece
  }
}

/** Takes bytes; false: no more of them before there is room. */
export interface Sink {
  readonly write: (bytes: Uint8Array) => boolean
  /** Waits for room. */
  readonly drained: Effect.Effect<void>
}

/** Whoever is sent a stream has had all of it. */
class Over extends Data.TaggedError("Over") {}

/** Gives a stream's frames to one who takes them, as they are taken. */
export type Frames = <E>(to: Consumer<Frame, E>) => Effect.Effect<void, StorageFailed | E>

export const framesOf =
  (stream: Stream.Stream<Frame, StorageFailed>): Frames =>
  (to) =>
    Stream.runForEachChunk(stream, (chunk) =>
      to.take(Chunk.toReadonlyArray(chunk)) ? Effect.void : to.ready,
    )

/**
 * Writes a stream in small pieces, no faster than they are taken.
 */
export const writeTo = (
  sink: Sink,
  frames: Frames,
  progress: Progress,
): Effect.Effect<void, StorageFailed> => {
  /** Writes what there is; whether there may be more. */
  const write = (): boolean => {
    for (let piece = progress.next(); piece !== undefined; piece = progress.next()) {
      if (!sink.write(piece)) return false
    }
    progress.isIdle = !progress.isOver
    return progress.isIdle
  }
  const ready: Effect.Effect<void, Over> = Effect.suspend(() => {
    if (write()) return Effect.void
    return progress.isWritten ? new Over() : Effect.zipRight(sink.drained, ready)
  })
  const take = (more: ReadonlyArray<Frame>): boolean => {
    // It may have been ended meanwhile.
    if (progress.isOver) return false
    progress.isIdle = false
    progress.give(more)
    return write()
  }
  return Effect.zipRight(ready, frames({ take, ready })).pipe(Effect.catchTag("Over", () => Effect.void))
}

/** What is sent as a stream. */
export interface Sent {
  readonly frames: Frames
  /** Where it begins: after this place. */
  readonly after: number
  /** How many bytes there are after a place. */
  readonly bytesAfter: (after: number) => Effect.Effect<number, StorageFailed>
}
