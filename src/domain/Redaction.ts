/** What a CLI's error text must not carry to a client or a log. */
export interface Confidential {
  /** Values of secrets, as they stand in the environment of the process. */
  readonly secrets: ReadonlyArray<string>
  /** Prompt, system prompt: text that an error could quote. */
  readonly texts: ReadonlyArray<string>
}

const SECRET_SHAPES =
  /\b(?:sk-[A-Za-z0-9]|cf_|ff_)[\w-]{8,}|(?<=\bBearer\s)\S+|(?<=:\/\/)[^\s/@]+:[^\s/@]+(?=@)/gi

/** Any passage of a text this long or longer is found, wherever it begins; shorter ones only as whole lines. */
const GRAM = 8

/** `message` without secrets and without passages of the confidential texts. */
export const redact = (message: string, confidential: Confidential): string => {
  let clean = message
  for (const secret of confidential.secrets) {
    if (secret.length >= 6) clean = clean.replaceAll(secret, "[secret]")
  }
  clean = clean.replace(SECRET_SHAPES, "[secret]")
  for (const text of confidential.texts) clean = withoutPassages(clean, text)
  return clean
}

/** Cuts `message` to at most `limit` characters, keeping its end, where a CLI says what went wrong. */
export const tail = (message: string, limit: number): string =>
  message.length <= limit ? message : `…${message.slice(message.length - limit + 1)}`

/**
 * Cuts from `message` what it shares with `text`. The text may be megabytes: it is sampled every GRAM
 * characters, and each sample that the message has is grown to both sides.
 */
const withoutPassages = (message: string, text: string): string => {
  const line = text.trim()
  const short = line.length >= 4 && line.length < 2 * GRAM ? message.replaceAll(line, "[text]") : message
  const places = new Map<string, number>()
  for (let at = 0; at + GRAM <= short.length; at++) places.set(short.slice(at, at + GRAM), at)
  const cuts: Array<readonly [number, number]> = []
  for (let at = 0; at + GRAM <= text.length; at += GRAM) {
    const place = places.get(text.slice(at, at + GRAM))
    if (place === undefined) continue
    let from = place
    let to = place + GRAM
    for (let back = at - 1; from > 0 && back >= 0 && short[from - 1] === text[back]; back--) from--
    for (let on = at + GRAM; to < short.length && on < text.length && short[to] === text[on]; on++) to++
    if (to - from >= 2 * GRAM - 1) cuts.push([from, to])
  }
  let clean = short
  for (const [from, to] of mergeDescending(cuts)) clean = `${clean.slice(0, from)}[text]${clean.slice(to)}`
  return clean
}

/** Overlapping cuts as one, the last in the message first, so that cutting one does not move the others. */
const mergeDescending = (cuts: ReadonlyArray<readonly [number, number]>) => {
  const merged: Array<[number, number]> = []
  for (const [from, to] of cuts.toSorted((a, b) => a[0] - b[0])) {
    const last = merged.at(-1)
    if (last !== undefined && from <= last[1]) last[1] = Math.max(last[1], to)
    else merged.push([from, to])
  }
  return merged.toReversed()
}
