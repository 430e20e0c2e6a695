/** The texts that a CLI's error output must not carry to a client or a log. */
export interface Confidential {
  /** The values of secrets in the process's environment. */
  readonly secrets: ReadonlyArray<string>
  /** Texts that an error could quote: prompt and system prompt. */
  readonly texts: ReadonlyArray<string>
}

/** Returns the values of an environment's variables that have a secret, by their names: keys, tokens, passwords. */
export const secretsIn = (env: Readonly<Record<string, string>>): ReadonlyArray<string> =>
  Object.entries(env)
    .filter(([name]) => /KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL|AUTH|HEADERS/i.test(name))
    .map(([, value]) => value)

/** The shapes of secrets that no environment names: API keys, tokens of apps and files, bearers, logins in URLs. */
const SECRET_SHAPES =
  /\b(?:sk-[A-Za-z0-9]|cf_|ff_)[\w-]{8,}|(?<=\bBearer\s)\S+|(?<=:\/\/)[^\s/@]+:[^\s/@]+(?=@)/gi

/** A common passage of this many characters counts as a quotation. */
const PASSAGE = 16
/** The distance of the samples that are taken of a text: every passage contains a whole sample. */
const SAMPLE = PASSAGE / 2
/** A message with a sample in more places than this is withheld without a closer look. */
const PLACES_MAX = 16

/** Returns the message without secrets, or a placeholder if it quotes one of the confidential texts. */
export const redact = (message: string, { secrets, texts }: Confidential): string => {
  // An error may quote a text as it is, or as JSON. For most texts the two are the same.
  const spellings = new Set(texts.flatMap((text) => [text, JSON.stringify(text).slice(1, -1)]))
  const places = placesOf(message)
  for (const text of spellings) {
    if (quotes(message, places, text)) return "[withheld: it quotes the prompt]"
  }
  let clean = message
  for (const secret of secrets) {
    if (secret.length >= 6) clean = clean.replaceAll(secret, "[secret]")
  }
  return clean.replace(SECRET_SHAPES, "[secret]")
}

/** Cuts a message to at most `limit` characters. Its end is kept: there a CLI says what went wrong. */
export const tail = (message: string, limit: number): string =>
  message.length <= limit ? message : `…${message.slice(message.length - limit + 1)}`

/** The places of each sample in a message. */
type Places = ReadonlyMap<string, ReadonlyArray<number>>

const placesOf = (message: string): Places => {
  const places = new Map<string, Array<number>>()
  for (let at = 0; at + SAMPLE <= message.length; at++) {
    const sample = message.slice(at, at + SAMPLE)
    const known = places.get(sample)
    if (known === undefined) places.set(sample, [at])
    else known.push(at)
  }
  return places
}

/** Whether a message has a passage of a text, or all of a short text. Linear in the text, which may have megabytes. */
const quotes = (message: string, places: Places, text: string): boolean => {
  const whole = text.trim()
  if (whole.length < PASSAGE) return whole.length >= 4 && message.includes(whole)
  for (let at = 0; at + SAMPLE <= whole.length; at += SAMPLE) {
    const found = places.get(whole.slice(at, at + SAMPLE))
    if (found === undefined) continue
    if (found.length > PLACES_MAX || found.some((place) => shared(message, place, whole, at) >= PASSAGE))
      return true
  }
  return false
}

/** Returns the length of the passage that both share around a sample, up to PASSAGE. */
const shared = (message: string, place: number, text: string, at: number): number => {
  let before = 0
  while (
    before < SAMPLE &&
    place > before &&
    at > before &&
    message[place - before - 1] === text[at - before - 1]
  ) {
    before++
  }
  let length = before + SAMPLE
  for (
    let on = SAMPLE;
    length < PASSAGE && place + on < message.length && at + on < text.length;
    on++, length++
  ) {
    if (message[place + on] !== text[at + on]) break
  }
  return length
}
