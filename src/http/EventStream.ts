import { Chunk, Effect, Option, Stream } from "effect"
import type { StorageFailed } from "../domain/Failure.ts"
import type { StreamGap } from "../domain/Stream.ts"

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

/**
 * The bytes of a stream, in small pieces, no faster than they are taken.
 */
export const bytesOf = <E>(
  frames: Stream.Stream<Frame, E>,
  progress: Progress,
): Stream.Stream<Uint8Array, E> =>
  Stream.fromPull(
    Effect.map(Stream.toPull(frames), (pull) => {
      const next: Effect.Effect<Chunk.Chunk<Uint8Array>, Option.Option<E>> = Effect.suspend(() => {
        const piece = progress.next()
        if (piece !== undefined) return Effect.succeed(Chunk.of(piece))
        if (progress.isOver) return Effect.fail(Option.none())
        progress.isIdle = true
        return Effect.flatMap(pull, (chunk) => {
          progress.isIdle = false
          // It may have been ended meanwhile.
          if (!progress.isOver) progress.give(Chunk.toReadonlyArray(chunk))
          return next
        })
      })
      return next
    }),
  )

/** What is sent as a stream. */
export interface Sent {
  readonly frames: Stream.Stream<Frame, StorageFailed>
  /** Where it begins: after this place. */
  readonly after: number
  /** How many bytes there are after a place. */
  readonly bytesAfter: (after: number) => Effect.Effect<number, StorageFailed>
}
