import { describe, expect, it } from "@effect/vitest"
import { redact, tail } from "../../src/domain/Redaction.ts"

const none = { secrets: [], texts: [] }

describe("an error text", () => {
  it("loses the values of secrets", () => {
    expect(redact("key hunter2-hunter2 refused", { secrets: ["hunter2-hunter2"], texts: [] })).toBe(
      "key [secret] refused",
    )
  })

  it.each(["sk-ant-api03-abcdefgh", "cf_0123456789abcdef", "ff_0123456789abcdef"])(
    "loses what looks like a secret: %s",
    (secret) => {
      expect(redact(`bad ${secret}!`, none)).toBe("bad [secret]!")
    },
  )

  it("loses bearers and the passwords of URLs", () => {
    expect(redact("Authorization: Bearer abc.def", none)).toBe("Authorization: Bearer [secret]")
    expect(redact("via http://me:pw@proxy:3128/", none)).toBe("via http://[secret]@proxy:3128/")
  })

  it("loses passages of the prompt, wherever they begin and end", () => {
    const prompt = `${"padding ".repeat(100)}the patient is Jane Roe, born 1980${" more".repeat(100)}`
    expect(redact("cannot say: patient is Jane Roe, born (sic)", { secrets: [], texts: [prompt] })).toBe(
      "cannot say:[text](sic)",
    )
  })

  it("loses a short prompt as a whole", () => {
    expect(redact("no such command: /secret-1", { secrets: [], texts: ["/secret-1"] })).toBe(
      "no such command: [text]",
    )
  })

  it("keeps everything else", () => {
    expect(
      redact("exited with code 3", { secrets: ["hunter2-hunter2"], texts: ["a prompt about flour"] }),
    ).toBe("exited with code 3")
  })

  it("is looked through in time, however long the prompt", () => {
    const prompt = "lorem ipsum ".repeat(900_000)
    expect(redact("x".repeat(8000), { secrets: [], texts: [prompt] })).toHaveLength(8000)
  })

  it("is cut to its end", () => {
    expect(tail("0123456789", 4)).toBe("…789")
    expect(tail("0123", 4)).toBe("0123")
  })
})
