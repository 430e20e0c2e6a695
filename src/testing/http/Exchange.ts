import { HttpServerResponse } from "@effect/platform"
import { Effect } from "effect"
import type { Connection } from "../../http/sse/Connections.ts"

/** How many bytes can wait for the reader before the writer must wait. */
const BUFFER_MAX_BYTES = 64 * 1024

/** A request and its response. A client in this process reads the body while it is being written. */
export class Exchange implements Connection {
  /** The response. Rejects when the service cuts the exchange, or the client leaves, before there is one. */
  readonly response: Promise<Response>
  readonly #resolve: (response: Response) => void
  readonly #reject: (error: unknown) => void
  readonly #interrupt: () => void
  readonly #closeListeners: Array<() => void> = []
  readonly #drainListeners = new Set<() => void>()
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined
  #pieces: Array<Uint8Array> = []
  #isEnded = false
  #isClosed = false
  /** Delivers to the reader, while it waits for bytes. */
  #wakeReader: (() => void) | undefined

  /** @param interrupt Ends the work on the response. */
  constructor(interrupt: () => void) {
    const { promise, resolve, reject } = Promise.withResolvers<Response>()
    this.response = promise
    this.#resolve = resolve
    this.#reject = reject
    this.#interrupt = interrupt
    // A client that ignores the response must not cause an unhandled rejection.
    promise.catch(() => {})
  }

  /** Sends a response whose body is complete. */
  answer(response: HttpServerResponse.HttpServerResponse, withoutBody: boolean): void {
    this.#isEnded = true
    this.#resolve(HttpServerResponse.toWeb(response, { withoutBody }))
    this.#close()
  }

  /** Sends the head of a response. Its body is then sent by `write` and `end`. */
  begin({ status, headers }: HttpServerResponse.HttpServerResponse): void {
    const body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => void (this.#controller = controller),
        pull: (controller) => this.#pull(controller),
        cancel: () => this.leave(new TypeError("terminated")),
      },
      // No bytes are pulled before the client reads: pulled bytes count as read.
      { highWaterMark: 0 },
    )
    this.#resolve(new Response(body, { status, headers: new Headers(headers) }))
  }

  readonly open = (): void => {}

  readonly waiting = (): number => this.#pieces.reduce((sum, { length }) => sum + length, 0)

  readonly write = (bytes: Uint8Array): boolean => {
    // Writes to a client that is gone are ignored.
    if (this.#isEnded || this.#isClosed) return true
    if (bytes.length > 0) this.#pieces.push(bytes)
    this.#wakeReader?.()
    return this.waiting() < BUFFER_MAX_BYTES
  }

  readonly drained: Effect.Effect<void> = Effect.async((resume) => {
    const listener = () => resume(Effect.void)
    if (this.#isClosed || this.#pieces.length === 0) return listener()
    this.#drainListeners.add(listener)
    return Effect.sync(() => this.#drainListeners.delete(listener))
  })

  readonly end = (bytes: Uint8Array): void => {
    if (this.#isEnded || this.#isClosed) return
    this.write(bytes)
    this.#isEnded = true
    if (this.#wakeReader !== undefined) return this.#wakeReader()
    if (this.#pieces.length === 0) this.#finish()
  }

  readonly cut = (): void => this.leave(new TypeError("terminated"))

  readonly onClosed = (listener: () => void): void => {
    if (this.#isClosed) listener()
    else this.#closeListeners.push(listener)
  }

  /** Ends the exchange because the client is gone. Reading the response or its body fails with that error. */
  leave(error: unknown): void {
    if (this.#isClosed) return
    this.#pieces = []
    this.#reject(error)
    this.#controller?.error(error)
    this.#close()
    if (!this.#isEnded) this.#interrupt()
  }

  #pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> | undefined {
    if (this.#pieces.length === 0 && !this.#isEnded) {
      return new Promise((resolve) => {
        this.#wakeReader = () => {
          if (this.#pieces.length === 0 && !this.#isEnded && !this.#isClosed) return
          this.#wakeReader = undefined
          this.#deliver(controller)
          resolve()
        }
      })
    }
    this.#deliver(controller)
    return undefined
  }

  /** Delivers the next piece to the reader. Ends the body after the last piece. */
  #deliver(controller: ReadableStreamDefaultController<Uint8Array>): void {
    if (this.#isClosed) return
    const piece = this.#pieces.shift()
    if (piece !== undefined) controller.enqueue(piece)
    if (this.#pieces.length > 0) return
    this.#notifyDrained()
    if (this.#isEnded) this.#finish()
  }

  #notifyDrained(): void {
    for (const listener of this.#drainListeners) listener()
    this.#drainListeners.clear()
  }

  #finish(): void {
    this.#controller?.close()
    this.#close()
  }

  #close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#wakeReader?.()
    this.#notifyDrained()
    for (const listener of this.#closeListeners.splice(0)) listener()
  }
}
