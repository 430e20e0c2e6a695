import { Command, CommandDescriptor, type Usage } from "@effect/cli"
import { HashMap, HashSet, Option } from "effect"

/** The words of the command line, as the commands declare them. */

export interface OptionWord {
  /** All names, the main one first, each with its dashes. */
  readonly names: ReadonlyArray<string>
  /** The kind of its value, such as `text`, or all values that are accepted. None for a flag. */
  readonly value: Option.Option<string>
}

/** A command that does something. Its name is that of its group, if it is in one, and its own: `session open`. */
export interface CommandWords {
  readonly options: ReadonlyArray<OptionWord>
  /** The names of its arguments, in order, without their brackets. */
  readonly words: ReadonlyArray<string>
}

type AnyCommand = Command.Command<any, any, any, any>

/** Reads the words of commands and groups of commands. */
export const vocabularyOf = (commands: ReadonlyArray<AnyCommand>): ReadonlyMap<string, CommandWords> => {
  const found = new Map<string, CommandWords>()
  for (const command of commands) {
    const [name = ""] = HashSet.toValues(Command.getNames(command))
    for (const [subcommand, descriptor] of HashMap.toEntries(Command.getSubcommands(command))) {
      const named = [...namedIn(CommandDescriptor.getUsage(descriptor))]
      found.set(subcommand === name ? name : `${name} ${subcommand}`, {
        options: named
          .filter(({ names: [first = ""] }) => first.startsWith("-"))
          .map(({ names, acceptedValues }) => ({ names, value: acceptedValues })),
        words: named.flatMap(({ names: [first = ""] }) =>
          first.startsWith("<") ? [first.slice(1, -1)] : [],
        ),
      })
    }
  }
  return found
}

function* namedIn(usage: Usage.Usage): Generator<Usage.Named> {
  switch (usage._tag) {
    case "Named":
      return yield usage
    case "Optional":
    case "Repeated":
      return yield* namedIn(usage.usage)
    case "Alternation":
    case "Concat":
      yield* namedIn(usage.left)
      return yield* namedIn(usage.right)
  }
}
