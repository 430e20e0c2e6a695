import { settingNames } from "./Config.ts"
import { nearest } from "./Nearest.ts"
import { MARKER_VARIABLE } from "./processes/ProcessMarker.ts"

const PREFIX = "CLAWDFORGE_"
/** The settings of clients. An environment can hold them beside the service's own. */
const OF_CLIENTS = ["CLAWDFORGE_URL", "CLAWDFORGE_TOKEN", "CLAWDFORGE_ADMIN_TOKEN", "CLAWDFORGE_PROXY"]

/**
 * Finds names of variables that nothing reads, one line each: those that begin with `CLAWDFORGE_`, and those of `.env` that
 * are nearly a setting's name. Other names belong to other programs. The lines hold no values.
 */
export const unknownSettings = (
  names: Iterable<string>,
  namesInEnvFile: Iterable<string>,
): ReadonlyArray<string> => {
  const known = new Set([...settingNames, ...OF_CLIENTS])
  const isUnknown = (name: string) => !known.has(name) && name !== MARKER_VARIABLE
  const lines = new Map<string, string>()
  for (const name of names) {
    if (!name.startsWith(PREFIX) || !isUnknown(name)) continue
    const meant = nearest(name, known, Math.floor((name.length - PREFIX.length) / 2))
    lines.set(name, lineOf(name, meant))
  }
  for (const name of namesInEnvFile) {
    if (lines.has(name) || !isUnknown(name)) continue
    const meant = nearest(name, known, Math.max(1, Math.floor(name.length / 4)))
    if (meant !== undefined) lines.set(name, lineOf(name, meant))
  }
  return [...lines.values()]
}

const lineOf = (name: string, meant: string | undefined): string =>
  `${name} is not a setting, and is ignored${meant === undefined ? "" : `: is ${meant} meant?`}`
