/** What one look found, and what to do about it. */
export interface Finding {
  /** What was looked at, in a word. */
  readonly name: string
  /** `fault`: it does not work. `note`: it works, and is worth knowing. */
  readonly level: "ok" | "note" | "fault"
  /** What is so; never a secret. */
  readonly detail: string
  /** What mends it. */
  readonly remedy: string | null
}

export const ok = (name: string, detail: string): Finding => ({ name, level: "ok", detail, remedy: null })

export const note = (name: string, detail: string, remedy: string | null = null): Finding => ({
  name,
  level: "note",
  detail,
  remedy,
})

export const fault = (name: string, detail: string, remedy: string): Finding => ({
  name,
  level: "fault",
  detail,
  remedy,
})
