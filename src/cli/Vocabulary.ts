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
  /** The names of its arguments, in order, without their brackets. Those that can be left out come last. */
  readonly words: ReadonlyArray<string>
  readonly requiredWords: number
}

type AnyCommand = Command.Command<any, any, any, any>

/** Reads the words of commands and groups of commands. */
export const vocabularyOf = (commands: ReadonlyArray<AnyCommand>): ReadonlyMap<string, CommandWords> => {
  const found = new Map<string, CommandWords>()
  for (const command of commands) {
    const [name = ""] = HashSet.toValues(Command.getNames(command))
    for (const [subcommand, descriptor] of HashMap.toEntries(Command.getSubcommands(command))) {
      const named = [...namedIn(CommandDescriptor.getUsage(descriptor))]
      const words = named.filter(({ names: [first = ""] }) => first.startsWith("<"))
      found.set(subcommand === name ? name : `${name} ${subcommand}`, {
        options: named
          .filter(({ names: [first = ""] }) => first.startsWith("-"))
          .map(({ names, acceptedValues }) => ({ names, value: acceptedValues })),
        words: words.map(({ names: [first = ""] }) => first.slice(1, -1)),
        requiredWords: words.filter(({ isOptional }) => !isOptional).length,
      })
    }
  }
  return found
}

type Named = Usage.Named & { readonly isOptional: boolean }

function* namedIn(usage: Usage.Usage, isOptional = false): Generator<Named> {
  switch (usage._tag) {
    case "Named":
      return yield { ...usage, isOptional }
    case "Optional":
      return yield* namedIn(usage.usage, true)
    case "Repeated":
      return yield* namedIn(usage.usage, isOptional)
    case "Alternation":
    case "Concat":
      yield* namedIn(usage.left, isOptional)
      return yield* namedIn(usage.right, isOptional)
  }
}
