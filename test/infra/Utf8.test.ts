import { describe, expect, it } from "@effect/vitest"
import { Either } from "effect"
import { decodeUtf8 } from "../../src/infra/Utf8.ts"

const TEXT = "NAME=Käse 😀\nNEXT=two\n"

describe("a text file", () => {
  it("is UTF-8, with or without a byte order mark, which is taken off", () => {
    for (const mark of ["", "\uFEFF"])
      expect(decodeUtf8(Buffer.from(mark + TEXT))).toEqual(Either.right(TEXT))
    expect(decodeUtf8(new Uint8Array())).toEqual(Either.right(""))
  })

  it.each<[string, Buffer, string]>([
    ["UTF-16", Buffer.from(`\uFEFF${TEXT}`, "utf16le"), "is UTF-16: save it as UTF-8"],
    [
      "UTF-16, big end first",
      Buffer.from(`\uFEFF${TEXT}`, "utf16le").swap16(),
      "is UTF-16: save it as UTF-8",
    ],
    [
      "UTF-16 without a mark",
      Buffer.from(TEXT, "utf16le"),
      "has NUL bytes, as UTF-16 and binary files do: save it as UTF-8",
    ],
    ["UTF-32", Buffer.from([0xff, 0xfe, 0, 0, 65, 0, 0, 0]), "is UTF-32: save it as UTF-8"],
    ["Latin-1", Buffer.from("A=1\nB=Käse\n", "latin1"), "is not UTF-8 in line 2: save it as UTF-8"],
  ])("is refused as %s, with the reason", (_, bytes, reason) => {
    expect(decodeUtf8(bytes)).toEqual(Either.left(reason))
  })
})
