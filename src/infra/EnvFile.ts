import { readFileSync, statSync } from "node:fs"
import { parseEnv } from "node:util"
import { Either } from "effect"
import { decodeUtf8 } from "./Utf8.ts"

const FILE = ".env"

let names: ReadonlyArray<string> | undefined

const exists = (): boolean => statSync(FILE, { throwIfNoEntry: false })?.isFile() === true

/**
 * Loads `.env` of the current directory into the environment, if there is one. Variables that are already set keep their
 * values. Returns why the file cannot be used, in one line, else undefined.
 */
export const loadEnvFile = (): string | undefined => {
  // A directory named `.env`, such as a Python environment, is not ours.
  if (!exists()) return undefined
  return Either.match(
    Either.flatMap(
      Either.try({
        try: () => readFileSync(FILE),
        catch: (error) => `cannot be read: ${(error as Error).message}`,
      }),
      decodeUtf8,
    ),
    {
      onLeft: (reason) => `${FILE} ${reason}`,
      onRight: (text) => {
        const variables = parseEnv(text)
        names = Object.keys(variables)
        for (const [name, value] of Object.entries(variables)) process.env[name] ??= value
        return undefined
      },
    },
  )
}

/** The names of the variables in the file that was loaded; none without one. */
export const namesInEnvFile = (): ReadonlyArray<string> => names ?? []

/** Whether there is a `.env` that was not loaded. */
export const isEnvFileUnread = (): boolean => names === undefined && exists()
