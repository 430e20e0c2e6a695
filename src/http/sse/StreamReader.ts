import type { HttpServerRequest } from "@effect/platform"
import { Clock, Effect, type Fiber, FiberId } from "effect"
import { type StorageFailed, Unauthorized } from "../../domain/Failure.ts"
import type { Viewer } from "../../domain/Viewer.ts"
import type { Connection } from "./Connections.ts"
import { COMMENT, type Frame, Progress, type Sent } from "./EventStream.ts"
import { problemOf } from "../Problem.ts"
import { requestIdOf } from "../RequestContext.ts"

/** How long a reader may take nothing while something waits for it, and while more than `MUCH_BYTES` do. */
const PATIENCE_MILLIS = 60_000
const IMPATIENCE_MILLIS = 5000
const MUCH_BYTES = 4 * 1024 * 1024

/** A client that reads a stream, and its state at the last check. */
export interface StreamReader {
  readonly viewer: Viewer
  readonly requestId: string
  readonly connection: Connection
  readonly progress: Progress
  readonly bytesAfter: Sent["bytesAfter"]
  /** The fiber that writes the stream. */
  readonly fiber: Fiber.RuntimeFiber<unknown, unknown>
  waiting: number
  taken: number
  /** When it last took something or had nothing to take. */
  movedAt: number
  /** When it was last measured how much waits for it. */
  askedAt: number
  /** When it was last sent something. */
  spokeAt: number
}

/** Makes the reader of a stream that the calling fiber writes. */
export const readerOf = (
  request: HttpServerRequest.HttpServerRequest,
  connection: Connection,
  viewer: Viewer,
  { after, bytesAfter }: Sent,
): Effect.Effect<StreamReader> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
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
        askedAt: now,
        spokeAt: now,
      }),
    ),
  )

/** Cuts a reader that has taken nothing for too long. Sends a comment to a reader that was sent nothing for the heartbeat. */
export const lookAt = (
  reader: StreamReader,
  now: number,
  heartbeatMillis: number,
): Effect.Effect<void, StorageFailed> =>
  Effect.gen(function* () {
    const { connection, progress } = reader
    const waiting = connection.waiting()
    const took = progress.taken !== reader.taken
    if (took) reader.spokeAt = now
    if (took || waiting === 0 || waiting < reader.waiting) reader.movedAt = reader.askedAt = now
    reader.waiting = waiting
    reader.taken = progress.taken
    if (now - reader.movedAt >= PATIENCE_MILLIS) return connection.cut()
    if (now - reader.askedAt >= IMPATIENCE_MILLIS) {
      reader.askedAt = now
      const ahead = yield* reader.bytesAfter(progress.cursor)
      if (waiting + progress.unwritten + ahead > MUCH_BYTES) return connection.cut()
    }
    if (waiting === 0 && progress.isIdle && now - reader.spokeAt >= heartbeatMillis) {
      reader.spokeAt = now
      connection.write(COMMENT)
    }
  })

/** Ends a stream, with a last event or without: at once if it waits for more, else after what it has is written. */
export const end = ({ progress, connection, fiber }: StreamReader, last?: Frame): Effect.Effect<void> =>
  Effect.sync(() => {
    if (progress.isOver) return
    if (last === undefined) progress.isOver = true
    else progress.giveLast(last)
    if (!progress.isIdle) return
    progress.isIdle = false
    connection.end(progress.next() ?? NOTHING)
    // It waits for events that nobody will read.
    fiber.unsafeInterruptAsFork(FiberId.none)
  })

const NOTHING = new Uint8Array()

/** Ends the stream of a client whose token was revoked, with that problem. */
export const refuse = (reader: StreamReader): Effect.Effect<void> =>
  end(reader, {
    seq: reader.progress.cursor,
    event: "error",
    data: JSON.stringify(problemOf(new Unauthorized(), reader.requestId)),
  })
