import * as AutoCorrect from "@effect/cli/AutoCorrect"
import * as CliConfig from "@effect/cli/CliConfig"

/** Finds the known name that a name is a slip of, with at most `limit` wrong letters. Case does not count. */
export const nearest = (name: string, known: Iterable<string>, limit: number): string | undefined => {
  let found: { readonly name: string; readonly distance: number } | undefined
  for (const candidate of known) {
    const distance = AutoCorrect.levensteinDistance(name, candidate, CliConfig.defaultConfig)
    if (distance <= limit && distance < (found?.distance ?? Number.POSITIVE_INFINITY))
      found = { name: candidate, distance }
  }
  return found?.name
}
