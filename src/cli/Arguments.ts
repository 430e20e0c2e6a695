import { Either, Option } from "effect"
import { nearest } from "../infra/Nearest.ts"
import type { CommandWords, OptionWord } from "./Vocabulary.ts"

/** Old names of commands, which are still understood. */
const ALIASES: Readonly<Record<string, string>> = {
  "admin token-mint": "token mint",
  "admin token-list": "token list",
  "admin token-revoke": "token revoke",
}

/** Options of every command. The library answers them. */
const HELP = new Set(["--help", "-h"])
const BUILT_IN = new Set(["--version", "--completions", "--log-level", "--wizard"])

/**
 * Checks the words of a command line before the library parses them: it takes an option that it does not know for an
 * argument. Returns them in an order that the library does not misread: options first, then arguments. The left side is
 * what is wrong, for the user.
 */
export const checkArguments = (
  args: ReadonlyArray<string>,
  vocabulary: ReadonlyMap<string, CommandWords>,
): Either.Either<ReadonlyArray<string>, string> => {
  const [first = "", second = ""] = args
  if (first === "" || HELP.has(first) || BUILT_IN.has(first.split("=")[0] ?? "")) return Either.right(args)
  if (first.startsWith("-")) return Either.left(`unknown option ${first}${ADVICE}`)
  // As in `cf`, `events` alone lists them.
  if (first === "events" && !HELP.has(second) && (second === "" || second.startsWith("-")))
    return checkArguments(["events", "list", ...args.slice(1)], vocabulary)
  const pair = ALIASES[`${first} ${second}`] ?? `${first} ${second}`
  const name = vocabulary.has(first) ? first : pair
  const command = vocabulary.get(name)
  if (command !== undefined) return checkCommand(name, command, args.slice(first === name ? 1 : 2))
  const inGroup = [...vocabulary.keys()].filter((known) => known.startsWith(`${first} `))
  // The library prints the help of a group.
  if (inGroup.length > 0 && (second === "" || second.startsWith("-"))) return Either.right([first, "--help"])
  const known = inGroup.length > 0 ? inGroup : [...vocabulary.keys()]
  const given = inGroup.length > 0 ? pair : first
  const groups = new Set([...vocabulary.keys()].map((command) => command.split(" ")[0] ?? ""))
  return Either.left(
    `unknown command ${given}${meant(nearest(given, inGroup.length > 0 ? known : groups, 2))}${ADVICE}`,
  )
}

const ADVICE = " (see clawdforge --help)"
const meant = (name: string | undefined) => (name === undefined ? "" : `; is ${name} meant?`)

const checkCommand = (
  name: string,
  { options, words, requiredWords }: CommandWords,
  args: ReadonlyArray<string>,
): Either.Either<ReadonlyArray<string>, string> => {
  const path = name.split(" ")
  const refused = (reason: string) => Either.left(`${reason} (see clawdforge ${name} --help)`)
  const given: Array<string> = []
  const values: Array<string> = []
  for (let at = 0; at < args.length; at++) {
    const arg = args[at] ?? ""
    if (arg === "--") {
      values.push(...args.slice(at + 1))
      break
    }
    if (!arg.startsWith("-") || arg === "-") {
      values.push(arg)
      continue
    }
    if (HELP.has(arg)) return Either.right([...path, "--help"])
    const equals = arg.indexOf("=")
    const flag = equals === -1 ? arg : arg.slice(0, equals)
    if (BUILT_IN.has(flag)) return Either.right([...path, ...args])
    const option = options.find(({ names }) => names.includes(flag))
    if (option === undefined) {
      const known = options.flatMap(({ names }) => names)
      return refused(`unknown option ${flag}${meant(nearest(flag, known, 2))}`)
    }
    if (Option.isNone(option.value)) {
      if (equals !== -1) return refused(`${flag} takes no value`)
      // Without a value of its own, the library takes an argument such as `yes` for it.
      given.push(flag, "true")
      continue
    }
    const value = equals === -1 ? args[(at += 1)] : arg.slice(equals + 1)
    if (value === undefined) return refused(`${flag} needs a value`)
    const expected = expectedOf(option, value)
    if (expected !== undefined) return refused(`${flag}: given ${value}, expected ${expected}`)
    given.push(flag, value)
  }
  if (values.length < requiredWords) return refused(`missing argument: ${words[values.length]}`)
  if (values.length > words.length) return refused(`unexpected argument: ${values[words.length]}`)
  return Either.right([...path, ...given, "--", ...values])
}

/** What a value should be if it is none of the accepted ones, or no whole number; else undefined. */
const expectedOf = ({ value }: OptionWord, given: string): string | undefined => {
  const kind = Option.getOrElse(value, () => "")
  if (kind === "integer") return /^-?\d{1,15}$/.test(given) ? undefined : "a whole number"
  const choices = kind.split(" | ")
  return choices.length === 1 || choices.includes(given) ? undefined : choices.join(", ")
}
