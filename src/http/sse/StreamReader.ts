import type { HttpServerRequest } from "@effect/platform"
import { Effect, type Fiber, FiberId } from "effect"
import { type StorageFailed, Unauthorized } from "../../domain/Failure.ts"
import type { Viewer } from "../../domain/Viewer.ts"
import { monotonicMillis } from "../../services/time/Monotonic.ts"
import type { Connection } from "./Connections.ts"
import { COMMENT, type Frame, Progress, type Sent } from "./EventStream.ts"
import { problemOf } from "../Problem.ts"
import { requestIdOf } from "../RequestContext.ts"

/** How long a reader can take no bytes while some wait for it. */
const STALL_MAX_MILLIS = 60_000
/** The same for a reader that has more than `BACKLOG_MAX_BYTES` before it. */
const BACKLOG_STALL_MAX_MILLIS = 5000
const BACKLOG_MAX_BYTES = 4 * 1024 * 1024

/** A client that reads a stream, with its state at the last check. Times are monotonic milliseconds. */
export interface StreamReader {
  readonly viewer: Viewer
  readonly requestId: string
  readonly connection: Connection
  readonly progress: Progress
  readonly bytesAfter: Sent["bytesAfter"]
  /** The fiber that writes the stream. */
  readonly fiber: Fiber.RuntimeFiber<unknown, unknown>
  /** The bytes that waited for it. */
  waiting: number
  /** How many pieces it had taken. */
  taken: number
  /** When it last took bytes or had none to take. */
  movedAt: number
  /** When its backlog was last measured, or when it last moved. */
  measuredAt: number
  /** When bytes were last sent to it. */
  sentAt: number
}

/** Makes the reader of a stream. The calling fiber is the one that writes the stream. */
export const makeStreamReader = (
  request: HttpServerRequest.HttpServerRequest,
  connection: Connection,
  viewer: Viewer,
  { after, bytesAfter }: Sent,
): Effect.Effect<StreamReader> =>
  Effect.flatMap(monotonicMillis, (now) =>
    Effect.withFiberRuntime((fiber) =>
      Effect.succeed({
        viewer,
        requestId: requestIdOf(request),
        connection,
        progress: new Progress(after),
        bytesAfter,
        fiber,
        waiting: 0,
        taken: 0,
        movedAt: now,
        measuredAt: now,
        sentAt: now,
      }),
    ),
  )

/**
 * Checks a reader. Cuts its connection if it has taken no bytes for too long. Sends a comment if nothing was sent to it
 * for `heartbeatMillis`.
 */
export const checkReader = (
  reader: StreamReader,
  now: number,
  heartbeatMillis: number,
): Effect.Effect<void, StorageFailed> =>
  Effect.gen(function* () {
    const { connection, progress } = reader
    const waiting = connection.waiting()
    const took = progress.taken !== reader.taken
    if (took) reader.sentAt = now
    if (took || waiting === 0 || waiting < reader.waiting) reader.movedAt = reader.measuredAt = now
    reader.waiting = waiting
    reader.taken = progress.taken
    if (now - reader.movedAt >= STALL_MAX_MILLIS) return connection.cut()
    if (now - reader.measuredAt >= BACKLOG_STALL_MAX_MILLIS) {
      reader.measuredAt = now
      const stored = yield* reader.bytesAfter(progress.cursor)
      if (waiting + progress.unwritten + stored > BACKLOG_MAX_BYTES) return connection.cut()
    }
    if (waiting === 0 && progress.isIdle && now - reader.sentAt >= heartbeatMillis) {
      reader.sentAt = now
      connection.write(COMMENT)
    }
  })

/**
 * Ends a stream, optionally with a last event: at once if it waits for events, else when its given bytes are written.
 */
export const end = ({ progress, connection, fiber }: StreamReader, last?: Frame): Effect.Effect<void> =>
  Effect.sync(() => {
    if (progress.isOver) return
    if (last === undefined) progress.isOver = true
    else progress.giveLast(last)
    if (!progress.isIdle) return
    progress.isIdle = false
    connection.end(progress.next() ?? NOTHING)
    // The fiber waits for events that nobody will read.
    fiber.unsafeInterruptAsFork(FiberId.none)
  })

const NOTHING = new Uint8Array()

/** Ends the stream of a client whose token was revoked, with the problem `unauthorized`. */
export const endRevoked = (reader: StreamReader): Effect.Effect<void> =>
  end(reader, {
    seq: reader.progress.cursor,
    part: reader.progress.part,
    event: "error",
    data: JSON.stringify(problemOf(new Unauthorized(), reader.requestId)),
  })
