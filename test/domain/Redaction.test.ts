import { describe, expect, it } from "@effect/vitest"
import { redact, tail } from "../../src/domain/Redaction.ts"

const none = { secrets: [], texts: [] }
const WITHHELD = "[withheld: it quotes the prompt]"

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

  it("is withheld when it quotes a passage of the prompt, wherever that begins and ends", () => {
    const prompt = `${"padding ".repeat(100)}the patient is Jane Roe, born 1980${" more".repeat(100)}`
    for (let cut = 0; cut < 8; cut++) {
      const passage = prompt.slice(804 + cut, 820 + cut)
      expect(redact(`cannot say: ${passage} (sic)`, { secrets: [], texts: ["", prompt] })).toBe(WITHHELD)
    }
  })

  it("is withheld when it quotes all of a short prompt", () => {
    expect(redact("no such command: /secret-1", { secrets: [], texts: ["/secret-1\n"] })).toBe(WITHHELD)
  })

  it("keeps everything else", () => {
    expect(
      redact("exited with code 3", { secrets: ["hunter2-hunter2"], texts: ["a prompt about flour"] }),
    ).toBe("exited with code 3")
  })

  it.each([
    ["a long prompt", "x".repeat(8000), "lorem ipsum ".repeat(900_000)],
    ["a prompt of one letter", "b".repeat(8000), "a".repeat(10_000_000)],
    [
      "a prompt that is nearly quoted",
      `${"a".repeat(15)}b`.repeat(500),
      `${"a".repeat(9)}c`.repeat(1_000_000),
    ],
  ])(
    "is looked through before anybody would notice, for %s",
    (_, message, prompt) => {
      expect(redact(message, { secrets: [], texts: [prompt] })).toMatch(/./)
    },
    5000,
  )

  it("is cut to its end", () => {
    expect(tail("0123456789", 4)).toBe("…789")
    expect(tail("0123", 4)).toBe("0123")
  })
})
