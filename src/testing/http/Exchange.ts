import { HttpServerResponse } from "@effect/platform"
import { Effect } from "effect"
import type { Connection } from "../../http/sse/Connections.ts"

/** How much may wait for its reader before the writer does. */
const ROOM_BYTES = 64 * 1024

/** One request and its answer, which a client in this process reads as it is written. */
export class Exchange implements Connection {
  /** Fails when the service cuts it off, or the client goes away, before there is an answer. */
  readonly response: Promise<Response>
  readonly #settle: { readonly give: (response: Response) => void; readonly refuse: (error: unknown) => void }
  readonly #interrupt: () => void
  readonly #closed: Array<() => void> = []
  readonly #drained = new Set<() => void>()
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined
  #pieces: Array<Uint8Array> = []
  #isEnded = false
  #isClosed = false
  /** Gives the reader, who waits, what there is. */
  #give: (() => void) | undefined

  /** @param interrupt Ends what answers. */
  constructor(interrupt: () => void) {
    const { promise, resolve, reject } = Promise.withResolvers<Response>()
    this.response = promise
    this.#settle = { give: resolve, refuse: reject }
    this.#interrupt = interrupt
    // Who never looks at the answer is not told that there is none.
    promise.catch(() => {})
  }

  /** Answers with what is whole. */
  answer(response: HttpServerResponse.HttpServerResponse, withoutBody: boolean): void {
    this.#isEnded = true
    this.#settle.give(HttpServerResponse.toWeb(response, { withoutBody }))
    this.#close()
  }

  /** Answers with what comes. */
  begin({ status, headers }: HttpServerResponse.HttpServerResponse): void {
    const body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => void (this.#controller = controller),
        pull: (controller) => this.#pull(controller),
        cancel: () => this.leave(new TypeError("terminated")),
      },
      // Nothing is taken before the client reads: what is taken is read.
      { highWaterMark: 0 },
    )
    this.#settle.give(new Response(body, { status, headers: new Headers(headers) }))
  }

  readonly open = (): void => {}

  readonly waiting = (): number => this.#pieces.reduce((sum, { length }) => sum + length, 0)

  readonly write = (bytes: Uint8Array): boolean => {
    // To one that is gone all can be written.
    if (this.#isEnded || this.#isClosed) return true
    if (bytes.length > 0) this.#pieces.push(bytes)
    this.#give?.()
    return this.waiting() < ROOM_BYTES
  }

  readonly drained: Effect.Effect<void> = Effect.async((resume) => {
    const goOn = () => resume(Effect.void)
    if (this.#isClosed || this.#pieces.length === 0) return goOn()
    this.#drained.add(goOn)
    return Effect.sync(() => this.#drained.delete(goOn))
  })

  readonly end = (bytes: Uint8Array): void => {
    if (this.#isEnded || this.#isClosed) return
    this.write(bytes)
    this.#isEnded = true
    if (this.#give !== undefined) return this.#give()
    if (this.#pieces.length === 0) this.#finish()
  }

  readonly cut = (): void => this.leave(new TypeError("terminated"))

  readonly onClosed = (listener: () => void): void => {
    if (this.#isClosed) listener()
    else this.#closed.push(listener)
  }

  /** Nobody reads it any more: whoever does sees that error. */
  leave(error: unknown): void {
    if (this.#isClosed) return
    this.#pieces = []
    this.#settle.refuse(error)
    this.#controller?.error(error)
    this.#close()
    if (!this.#isEnded) this.#interrupt()
  }

  #pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> | undefined {
    if (this.#pieces.length === 0 && !this.#isEnded) {
      return new Promise((resolve) => {
        this.#give = () => {
          if (this.#pieces.length === 0 && !this.#isEnded && !this.#isClosed) return
          this.#give = undefined
          this.#hand(controller)
          resolve()
        }
      })
    }
    this.#hand(controller)
    return undefined
  }

  /** Hands the reader the next piece; after the last one there is no more. */
  #hand(controller: ReadableStreamDefaultController<Uint8Array>): void {
    if (this.#isClosed) return
    const piece = this.#pieces.shift()
    if (piece !== undefined) controller.enqueue(piece)
    if (this.#pieces.length > 0) return
    for (const goOn of this.#drained) goOn()
    this.#drained.clear()
    if (this.#isEnded) this.#finish()
  }

  #finish(): void {
    this.#controller?.close()
    this.#close()
  }

  #close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#give?.()
    for (const goOn of this.#drained) goOn()
    this.#drained.clear()
    for (const listener of this.#closed.splice(0)) listener()
  }
}
