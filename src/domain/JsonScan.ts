/** How complex JSON may be that is parsed in one go. */
export interface JsonLimits {
  /** Lists and objects inside each other. */
  readonly levels: number
  /** Lists, objects, and all but the first of their entries. */
  readonly values: number
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const LINE_FEED = 0x0a
const OPENING = new Set([0x5b, 0x7b])
const CLOSING = new Set([0x5d, 0x7d])

/**
 * Measures JSON while it is read, before it is parsed: `JSON.parse` keeps everything else waiting until it is done, which
 * takes seconds and hundreds of megabytes for twelve megabytes of brackets, and milliseconds for twelve megabytes of text.
 * Does not check that it is JSON.
 */
export class JsonScan {
  readonly #limits: JsonLimits
  readonly #isLines: boolean
  #levels = 0
  #values = 0
  #inString = false
  /** Whether the first byte of the next piece is escaped. */
  #isEscaped = false

  /** @param options.lines Whether each line is JSON of its own. By default all bytes together are one text. */
  constructor(limits: JsonLimits, options: { readonly lines?: boolean } = {}) {
    this.#limits = limits
    this.#isLines = options.lines ?? false
  }

  /** Takes the next bytes of UTF-8. Returns false when the JSON exceeds a limit; nothing is to be added after that. */
  add(bytes: Uint8Array): boolean {
    let at = this.#isEscaped ? 1 : 0
    this.#isEscaped = this.#isEscaped && bytes.length === 0
    while (at < bytes.length) {
      if (this.#inString) at = this.#skipString(bytes, at)
      else if (!this.#count(bytes[at++] as number)) return false
    }
    return true
  }

  /** Returns where the string ends, or the bytes. */
  #skipString(bytes: Uint8Array, from: number): number {
    let at = from
    while (at < bytes.length) {
      const byte = bytes[at++]
      if (byte === BACKSLASH) {
        this.#isEscaped = at === bytes.length
        at += 1
      } else if (byte === QUOTE || (byte === LINE_FEED && this.#isLines)) {
        this.#inString = false
        // A line break ends a string that has no end, and counts.
        return byte === QUOTE ? at : at - 1
      }
    }
    return at
  }

  #count(byte: number): boolean {
    if (byte === QUOTE) this.#inString = true
    else if (byte === COMMA) this.#values += 1
    else if (OPENING.has(byte)) {
      this.#values += 1
      this.#levels += 1
    } else if (CLOSING.has(byte)) this.#levels -= 1
    else if (byte === LINE_FEED && this.#isLines) this.#levels = this.#values = 0
    return this.#levels <= this.#limits.levels && this.#values <= this.#limits.values
  }
}

const PIECE_CHARS = 64 * 1024

/** Whether a text is within the limits, as far as it is JSON. */
export const isWithin = (text: string, limits: JsonLimits): boolean => {
  const scan = new JsonScan(limits)
  const encoder = new TextEncoder()
  for (let at = 0; at < text.length; at += PIECE_CHARS) {
    if (!scan.add(encoder.encode(text.slice(at, at + PIECE_CHARS)))) return false
  }
  return true
}
