import { readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { vocabulary } from "../../src/cli/Cli.ts"

/** Both command lines, `clawdforge` and `cf`, have one word for one thing. */

const CF = readFileSync(join(import.meta.dirname, "..", "..", "clients", "bash", "cf"), "utf8")

/** The commands of cf with their options, as its source takes them. */
const wordsOfCf = (): ReadonlyMap<string, ReadonlyArray<string>> => {
  const found = new Map<string, ReadonlyArray<string>>()
  for (const [, name = "", body = ""] of CF.matchAll(/^cmd_(\w+)\(\) \{\n([^]*?)^\}$/gm)) {
    let subcommands = [name]
    for (const line of body.split("\n")) {
      const [, label] = /^ {4}([a-z| ]+)\)$/.exec(line) ?? []
      if (label !== undefined) subcommands = label.split(" | ").map((subcommand) => `${name} ${subcommand}`)
      const [, options] = /take_options "([^"]*)"/.exec(line) ?? []
      if (options === undefined) continue
      for (const subcommand of subcommands)
        found.set(
          subcommand,
          options
            .split(" ")
            .filter(Boolean)
            .map((option) => option.replace(/:$/, ""))
            .sort(),
        )
    }
  }
  // cf has its list of events, and the stream of a run, in one command.
  const events = found.get("events") ?? []
  found.delete("events")
  return found.set("events list", events)
}

const wordsOfCommand = new Map(
  [...vocabulary].map(([name, { options }]) => [
    name,
    options
      .flatMap(({ names }) => names)
      // cf prints JSON always, and lets the option pass.
      .filter((option) => option !== "--json")
      .sort(),
  ]),
)

/** What one of them has and the other has not, each for a reason. */
const ONLY_COMMAND = {
  // About the machine of the service, where the command is.
  commands: ["serve", "backup", "restore", "doctor", "openapi"],
  // Follows the log; cf follows runs only.
  more: ["events tail"],
}
const ONLY_CF = {
  // `doctor` says more.
  commands: ["healthz", "readyz"],
  options: {
    // The command streams to a terminal by itself.
    run: ["--stream"],
    "session turn": ["--stream"],
    // Of the stream of a run.
    "events list": ["--usage"],
  } as Readonly<Record<string, ReadonlyArray<string>>>,
}

describe("the two command lines", () => {
  it("have the same commands, but for those that one has for a reason", () => {
    const ofCf = [...wordsOfCf().keys()].filter((name) => !ONLY_CF.commands.includes(name))
    const only = [...ONLY_COMMAND.commands, ...ONLY_COMMAND.more]
    expect([...wordsOfCommand.keys()].filter((name) => !only.includes(name)).sort()).toEqual(ofCf.sort())
    expect([...wordsOfCommand.keys()]).toEqual(expect.arrayContaining(only))
    expect([...wordsOfCf().keys()]).toEqual(expect.arrayContaining(ONLY_CF.commands))
  })

  it.each([...wordsOfCf().keys()].filter((name) => wordsOfCommand.has(name)))(
    "have the same options: %s",
    (name) => {
      const only = ONLY_CF.options[name] ?? []
      const ofCf = wordsOfCf().get(name) ?? []
      expect(ofCf).toEqual(expect.arrayContaining([...only]))
      expect(ofCf.filter((option) => !only.includes(option))).toEqual(wordsOfCommand.get(name))
    },
  )

  it("have them all in cf's help, but for old words", () => {
    const [, help = ""] = /^usage\(\) \{\n {2}cat <<'END'\n([^]*?)^END$/m.exec(CF) ?? []
    for (const [name, options] of wordsOfCf())
      for (const word of [...name.split(" "), ...options])
        if (word !== "--permissions") expect(help).toContain(word)
  })
})
