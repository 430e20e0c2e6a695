import { describe, expect, it } from "@effect/vitest"
import { Effect, Either } from "effect"
import { checkArguments } from "../../src/cli/Arguments.ts"
import { vocabulary } from "../../src/cli/Cli.ts"
import { cli } from "../support/Cli.ts"

const check = (...words: ReadonlyArray<string>) => checkArguments(words, vocabulary)

describe("the words of a command line", () => {
  it.each<[ReadonlyArray<string>, string]>([
    [["run", "--modle", "x", "hi"], "unknown option --modle; is --model meant? (see clawdforge run --help)"],
    [["run", "hi", "-x"], "unknown option -x (see clawdforge run --help)"],
    [["run", "hi", "--model"], "--model needs a value (see clawdforge run --help)"],
    [["run", "--json=no", "hi"], "--json takes no value (see clawdforge run --help)"],
    [["run"], "missing argument: prompt (see clawdforge run --help)"],
    [["run", "say", "hello"], "unexpected argument: hello (see clawdforge run --help)"],
    [
      ["run", "--timeout", "soon", "hi"],
      "--timeout: given soon, expected a whole number (see clawdforge run --help)",
    ],
    [
      ["run", "--effort=top", "hi"],
      "--effort: given top, expected low, medium, high, xhigh, max (see clawdforge run --help)",
    ],
    [["sesion", "list"], "unknown command sesion; is session meant? (see clawdforge --help)"],
    [["session", "opne"], "unknown command session opne; is session open meant? (see clawdforge --help)"],
    [["frobnicate"], "unknown command frobnicate (see clawdforge --help)"],
    [["--jsno"], "unknown option --jsno (see clawdforge --help)"],
  ])("%j are refused with a reason, and with the word that is meant", (words, reason) => {
    expect(check(...words)).toEqual(Either.left(reason))
  })

  it.each<[ReadonlyArray<string>, ReadonlyArray<string>]>([
    [
      ["run", "hi", "--model=a=b", "--json"],
      ["run", "--model", "a=b", "--json", "true", "--", "hi"],
    ],
    // The library would take `yes` for the value of --json, and --model for an option.
    [
      ["run", "--json", "yes"],
      ["run", "--json", "true", "--", "yes"],
    ],
    [
      ["run", "--", "--model"],
      ["run", "--", "--model"],
    ],
    [
      ["run", "--system", "--terse", "-"],
      ["run", "--system", "--terse", "--", "-"],
    ],
    [
      ["run", "hi", "--help"],
      ["run", "--help"],
    ],
    [["session"], ["session", "--help"]],
    [["--version"], ["--version"]],
    [[], []],
  ])("%j are brought into an order that the library does not misread", (words, order) => {
    expect(check(...words)).toEqual(Either.right(order))
  })
})

describe("the help", () => {
  it.live("has brackets around all that can be left out, and no sentences of the library", () =>
    Effect.gen(function* () {
      const { stdout } = yield* cli(["session", "turn", "--help"])
      expect(stdout).toMatch(
        /^\$ clawdforge session turn \[--json\] .*\[--file file\]\.\.\. .*<session> <prompt>$/m,
      )
      for (const name of vocabulary.keys()) {
        const help = (yield* cli([...name.split(" "), "--help"])).stdout
        expect(help).toMatch(new RegExp(`^\\$ clawdforge ${name}( |$)`, "m"))
        expect(help).not.toMatch(
          /piece of text|true or false|An integer|existing file|setting is optional|zero or more/i,
        )
        const [usage = ""] = /^\$ .*$/m.exec(help) ?? []
        expect(usage.replace(/\[[^\]]*\]/g, "")).not.toContain("--")
      }
    }),
  )
})
