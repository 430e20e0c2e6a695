import { stripVTControlCharacters } from "node:util"
import { Console, Effect } from "effect"

/** Sentences of the library that say what the usage line shows already. */
const OF_THE_LIBRARY = new Set([
  "A true or false value.",
  "A user-defined piece of text.",
  "An integer.",
  "An existing file.",
  "This setting is optional.",
  "This option may be repeated zero or more times.",
])

const isOfLibrary = (line: string | undefined): boolean => {
  const text = stripVTControlCharacters(line ?? "").trim()
  return OF_THE_LIBRARY.has(text) || text.startsWith("One of the following: ")
}

/**
 * Formats the library's help of a command. Removes what it says of types, puts brackets around options that can be repeated
 * (all of them can be left out), names the whole command in the usage, and puts descriptions of commands on their own lines,
 * which the library pads to the longest one. Other texts stay as they are.
 */
const format = (text: string, path: ReadonlyArray<string>): string =>
  text
    .split("\n")
    // With the empty line before it.
    .filter((line, at, lines) => !isOfLibrary(line) && !(line.trim() === "" && isOfLibrary(lines[at + 1])))
    .map((line) =>
      line
        .replace(/^\$ (\S+)/, path.length === 0 ? "$ $1" : `$ clawdforge ${path.join(" ")}`)
        .replace(/ (--[\w-]+ [\w-]+)\.\.\./g, " [$1]...")
        .replace(/^( *- .*\S) {2,}(\S.*)$/, "$1\n      $2"),
    )
    .join("\n")

/** Runs the command of that name with its help formatted. */
export const withFormattedHelp =
  (path: ReadonlyArray<string>) =>
  <A, E, R>(program: Effect.Effect<A, E, R>) =>
    Console.consoleWith((console) =>
      Effect.withConsole(program, {
        ...console,
        log: (...args) =>
          console.log(...args.map((text) => (typeof text === "string" ? format(text, path) : text))),
      }),
    )
