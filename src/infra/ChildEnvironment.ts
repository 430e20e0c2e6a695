const NAMES = new Set(["PATH", "HOME", "LANG", "TZ", "TMPDIR", "NODE_EXTRA_CA_CERTS", "CLOUD_ML_REGION"])
const PREFIXES = ["LC_", "ANTHROPIC_", "CLAUDE_", "AWS_", "GOOGLE_"]
/** The service's own variables that a prefix above would let through. */
const OWN = new Set(["CLAUDE_BIN"])

const passes = (name: string, value: string): boolean =>
  !OWN.has(name) &&
  (NAMES.has(name) ||
    PREFIXES.some((prefix) => name.startsWith(prefix)) ||
    /_proxy$/i.test(name) ||
    // The CLI refuses to start with any other value.
    (name === "IS_SANDBOX" && value === "1"))

/** The part of the service's environment that agents and CLIs get: the variables on the contract's list, no others. */
export const childEnvironment = (env: NodeJS.ProcessEnv = process.env): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(env).filter(
      (entry): entry is [string, string] => entry[1] !== undefined && passes(entry[0], entry[1]),
    ),
  )
