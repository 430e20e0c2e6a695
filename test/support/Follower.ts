import { get, type ClientRequest } from "node:http"
import { EventParser, type ServerEvent } from "./EventSource.ts"

/** One of many who follow a stream: on a connection of its own, and cheap enough to be one of hundreds. */
export class Follower {
  /** All that it was told, over however many connections. */
  readonly events: Array<ServerEvent> = []
  readonly #url: string
  readonly #token: string
  #request: ClientRequest | undefined

  constructor(url: string, token: string) {
    this.#url = url
    this.#token = token
  }

  /** Asks for what comes after that event, or from now on, and waits for the head of the answer. */
  open(lastId?: string): Promise<void> {
    const request = get(this.#url, {
      agent: false,
      headers: {
        authorization: `Bearer ${this.#token}`,
        ...(lastId === undefined ? {} : { "last-event-id": lastId }),
      },
    })
    this.#request = request
    return new Promise((resolve, reject) => {
      // Whoever hangs up before there is an answer wanted it so.
      request.on("error", (error) => (this.#request === request ? reject(error) : resolve()))
      request.on("response", (response) => {
        if (response.statusCode !== 200) return reject(new Error(`answered with ${response.statusCode}`))
        const parser = new EventParser()
        response.on("data", (bytes: Buffer) => {
          // What was on its way when it hung up, it has not seen.
          if (this.#request === request) this.events.push(...parser.push(bytes))
        })
        response.on("error", () => {})
        resolve()
      })
    })
  }

  /** Hangs up. */
  close(): void {
    this.#request?.destroy()
    this.#request = undefined
  }

  /** Hangs up in the middle of whatever comes, and goes on after what it has seen last. */
  reopen(lastId: string): Promise<void> {
    this.close()
    return this.open(this.events.at(-1)?.id ?? lastId)
  }
}
