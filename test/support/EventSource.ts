/** A reader of server-sent events that takes them apart as WHATWG's HTML standard says, 9.2.5 and 9.2.6. */

export interface ServerEvent {
  /** The last id there was, this event's or one before. */
  readonly id: string
  readonly event: string
  readonly data: string
}

/** Bytes in, events out: give it any pieces of a stream. */
export class EventParser {
  readonly comments: Array<string> = []
  readonly #decoder = new TextDecoder()
  /** Of a line that is not whole yet. */
  #begun: Array<string> = []
  #afterCr = false
  #id = ""
  #event = ""
  #data: Array<string> = []

  /** The events that these bytes complete. */
  push(bytes: Uint8Array): Array<ServerEvent> {
    const text = this.#decoder.decode(bytes, { stream: true })
    if (text === "") return []
    const events: Array<ServerEvent> = []
    // The second half of a CRLF ends no line.
    let from = this.#afterCr && text.startsWith("\n") ? 1 : 0
    const ends = /\r\n|\r|\n/g
    ends.lastIndex = from
    for (let end = ends.exec(text); end !== null; end = ends.exec(text)) {
      const event = this.#line([...this.#begun.splice(0), text.slice(from, end.index)].join(""))
      if (event !== undefined) events.push(event)
      from = ends.lastIndex
    }
    this.#begun.push(text.slice(from))
    this.#afterCr = text.endsWith("\r")
    return events
  }

  #line(line: string): ServerEvent | undefined {
    if (line === "") return this.#dispatch()
    const [, name, value = ""] = /^([^:]*)(?::\x20?([\s\S]*))?$/.exec(line) ?? []
    if (name === "") this.comments.push(value)
    if (name === "id" && !value.includes("\0")) this.#id = value
    if (name === "event") this.#event = value
    if (name === "data") this.#data.push(value)
    return undefined
  }

  #dispatch(): ServerEvent | undefined {
    const event = { id: this.#id, event: this.#event || "message", data: this.#data.join("\n") }
    const isEmpty = this.#data.length === 0
    this.#event = ""
    this.#data = []
    return isEmpty ? undefined : event
  }
}

export interface Opened {
  readonly status: number
  readonly headers: Headers
  /** What came so far. */
  readonly events: ReadonlyArray<ServerEvent>
  readonly comments: ReadonlyArray<string>
  /** Waits until what came so far holds that; or until the end, which it returns. */
  readonly until: (
    holds: (events: ReadonlyArray<ServerEvent>) => boolean,
  ) => Promise<"held" | "ended" | "cut">
  /** How it ended: `cut` when the connection broke. */
  readonly ended: Promise<"ended" | "cut">
  /** Hangs up. */
  readonly close: () => void
  /** The body of an answer that is no stream. */
  readonly text: () => Promise<string>
}

/** Opens a stream over a real socket and reads it as fast as it comes. */
export const openEvents = async (
  url: string,
  options: {
    readonly token?: string
    readonly method?: string
    readonly body?: unknown
    readonly headers?: Readonly<Record<string, string>>
  } = {},
): Promise<Opened> => {
  const controller = new AbortController()
  const response = await fetch(url, {
    method: options.method ?? "GET",
    signal: controller.signal,
    headers: {
      accept: "text/event-stream",
      ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
      ...(options.body === undefined ? {} : { "content-type": "application/json" }),
      ...options.headers,
    },
    ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
  })
  const isStream = (response.headers.get("content-type") ?? "").startsWith("text/event-stream")
  const parser = new EventParser()
  const events: Array<ServerEvent> = []
  let waiting: Array<() => void> = []
  const wake = () => waiting.splice(0).forEach((go) => go())
  const read = async (): Promise<"ended" | "cut"> => {
    if (!isStream || response.body === null) return "ended"
    try {
      for await (const bytes of response.body) {
        events.push(...parser.push(bytes))
        wake()
      }
      return "ended"
    } catch {
      return "cut"
    }
  }
  const ended = read().finally(() => wake())
  let how: "ended" | "cut" | undefined
  void ended.then((end) => (how = end))
  return {
    status: response.status,
    headers: response.headers,
    events,
    comments: parser.comments,
    until: async (holds) => {
      for (;;) {
        if (holds(events)) return "held"
        if (how !== undefined) return how
        await Promise.race([new Promise<void>((go) => waiting.push(go)), ended])
      }
    },
    ended,
    close: () => controller.abort(),
    text: () => response.text(),
  }
}
