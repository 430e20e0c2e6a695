/** The result of one check of the doctor. */
export interface Finding {
  /** What was checked, in one word. */
  readonly name: string
  /** `fault`: the service or the app cannot work. `note`: worth knowing, but no fault. */
  readonly level: "ok" | "note" | "fault"
  /** What was found. It holds no secret. */
  readonly detail: string
  /** What the reader can do about it. */
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
