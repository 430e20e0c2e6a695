const NAMES = new Set(["PATH", "HOME", "LANG", "TZ", "TMPDIR", "NODE_EXTRA_CA_CERTS", "CLOUD_ML_REGION"])
const PREFIXES = ["LC_", "ANTHROPIC_", "CLAUDE_", "AWS_", "GOOGLE_"]
/** The service's own variables that a prefix above would let through. */
const OWN = new Set(["CLAUDE_BIN"])

const passes = (name: string, value: string): boolean =>
  !OWN.has(name) &&
  (NAMES.has(name) ||
    PREFIXES.some((prefix) => name.startsWith(prefix)) ||
    /_proxy$/i.test(name) ||
    // Any other value of it makes the CLI refuse to start.
    (name === "IS_SANDBOX" && value === "1"))

/** What agents and CLIs get of our environment: the contract's list, and nothing else. */
export const childEnvironment = (env: NodeJS.ProcessEnv = process.env): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(env).filter(
      (entry): entry is [string, string] => entry[1] !== undefined && passes(entry[0], entry[1]),
    ),
  )
