import { Chunk, Data, Effect, Stream } from "effect"
import type { StorageFailed } from "../../domain/Failure.ts"
import type { StreamGap } from "../../domain/Stream.ts"
import type { Consumer } from "../../services/journal/Consumer.ts"

/** Server-sent events, as the WHATWG HTML standard defines them: frames, their bytes, and the writing of a stream. */

export const EVENT_STREAM = "text/event-stream"

/** Response headers of every stream: no cache stores it, no proxy compresses it (which would hold it back), or buffers it. */
export const STREAM_HEADERS = { "cache-control": "no-store, no-transform", "x-accel-buffering": "no" }

/** A place in a stream: after the event with that id. */
export interface Position {
  /** The sequence number of a stored event; 0 is the stream's beginning. */
  readonly seq: number
  /** Counts, from 1, the events that are made from the stored one and follow it; absent for the stored one itself. */
  readonly part?: number | undefined
}

/** One event on the wire. A client sends its id as `Last-Event-ID` to resume after this event. */
export interface Frame extends Position {
  /** The event's name. */
  readonly event: string
  /** JSON text. */
  readonly data: string
}

/** The `resync` event of a trimmed gap: its id is the gap's last event, `oldest_id` the first event after it. */
export const gapFrame = ({ seq, oldest }: StreamGap): Frame => {
  const data = JSON.stringify({ oldest_id: oldest === null ? null : String(oldest) })
  return { seq, event: "resync", data }
}

/** An SSE comment, sent as a heartbeat: it shows that a silent stream is alive. */
export const COMMENT = new TextEncoder().encode(":\n\n")

/** Replaces line breaks by spaces. JSON has line breaks only between tokens, so its value stays the same. */
const oneLine = (text: string): string => text.replace(/[\r\n]+/g, " ")

/** The id of the event before a position: `4711`, or `4711.1` for the first event that is made from that one. */
export const idOf = ({ seq, part }: Position): string => (part === undefined ? `${seq}` : `${seq}.${part}`)

export const render = (frames: Iterable<Frame>): Uint8Array => {
  let text = ""
  for (const frame of frames) {
    text += `id: ${idOf(frame)}\nevent: ${oneLine(frame.event)}\ndata: ${oneLine(frame.data)}\n\n`
  }
  return new TextEncoder().encode(text)
}

/** `result` and `error` are the last event of a run's stream. */
const isLast = ({ event }: Frame): boolean => event === "result" || event === "error"

/** Bytes of one write. A reader counts as reading if it takes a piece, also in the middle of a very long line. */
const PIECE_BYTES = 64 * 1024

/** How far a stream is written to one reader. */
export class Progress {
  /** The `seq` of the last frame that was given to the reader. */
  cursor: number
  /** The `part` of that frame. */
  part: number | undefined
  /** Whether all given frames are written and the reader waits for the next one: it is between two events. */
  isIdle = false
  /** Whether the last frame of the stream was given. */
  isOver = false
  /** How many pieces the reader took. */
  taken = 0
  #rest: Uint8Array = new Uint8Array()
  #last: Frame | undefined

  constructor(cursor: number) {
    this.cursor = cursor
  }

  /** Bytes that were given and are not written yet. */
  get unwritten(): number {
    return this.#rest.length
  }

  /** Whether the last frame was given and written. */
  get isWritten(): boolean {
    return this.isOver && this.#rest.length === 0
  }

  give(frames: ReadonlyArray<Frame>): void {
    const last = frames.at(-1)
    if (last === undefined) return
    this.cursor = last.seq
    this.part = last.part
    this.isOver = isLast(last)
    this.#rest = render(frames)
  }

  /** Sets the last frame. It is sent after the given bytes, unless the stream gives its own last frame before. */
  giveLast(last: Frame): void {
    this.#last ??= last
  }

  /** The next piece to write; undefined if nothing is left for now. */
  next(): Uint8Array | undefined {
    if (this.#rest.length === 0 && this.#last !== undefined && !this.isOver) this.give([this.#last])
    if (this.#rest.length === 0) return undefined
    const piece = this.#rest.subarray(0, PIECE_BYTES)
    this.#rest = this.#rest.subarray(PIECE_BYTES)
    this.taken += 1
    return piece
  }
}

/** A destination of bytes with back-pressure. */
export interface Sink {
  /** Writes the bytes. False: the buffer is full, wait for `drained` before the next write. */
  readonly write: (bytes: Uint8Array) => boolean
  /** Completes when there is room for more. */
  readonly drained: Effect.Effect<void>
}

/** Ends the reading of frames after the last one was written. */
class StreamEnded extends Data.TaggedError("StreamEnded") {}

/** Passes a stream's frames to a consumer, no faster than the consumer takes them. */
export type Frames = <E>(to: Consumer<Frame, E>) => Effect.Effect<void, StorageFailed | E>

export const framesOf =
  (stream: Stream.Stream<Frame, StorageFailed>): Frames =>
  (to) =>
    Stream.runForEachChunk(stream, (chunk) =>
      to.take(Chunk.toReadonlyArray(chunk)) ? Effect.void : to.ready,
    )

/** Writes a stream's frames in small pieces, no faster than the sink takes them. Ends after the stream's last frame. */
export const writeTo = (
  sink: Sink,
  frames: Frames,
  progress: Progress,
): Effect.Effect<void, StorageFailed> => {
  /** Writes all given pieces. False: the sink is full, or the last frame is written. */
  const write = (): boolean => {
    for (let piece = progress.next(); piece !== undefined; piece = progress.next()) {
      if (!sink.write(piece)) return false
    }
    progress.isIdle = !progress.isOver
    return progress.isIdle
  }
  const ready: Effect.Effect<void, StreamEnded> = Effect.suspend(() => {
    if (write()) return Effect.void
    return progress.isWritten ? new StreamEnded() : Effect.zipRight(sink.drained, ready)
  })
  const take = (more: ReadonlyArray<Frame>): boolean => {
    // `giveLast` may have ended the stream while this fiber waited.
    if (progress.isOver) return false
    progress.isIdle = false
    progress.give(more)
    return write()
  }
  return Effect.zipRight(ready, frames({ take, ready })).pipe(
    Effect.catchTag("StreamEnded", () => Effect.void),
  )
}

/** A stream to send to one client. */
export interface Sent {
  readonly frames: Frames
  /** The stream begins after the event with this `seq`. */
  readonly after: number
  /** How many bytes are stored after the event with that `seq`. */
  readonly bytesAfter: (after: number) => Effect.Effect<number, StorageFailed>
}
