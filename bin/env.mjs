import { source } from "./source.mjs"

/** Loads `.env` of the current directory. A file that cannot be used ends the process, with one line. */
export const loadEnvFile = async () => {
  const { loadEnvFile } = await source("infra/EnvFile")
  const fault = loadEnvFile()
  if (fault === undefined) return
  console.error(fault)
  process.exit(2)
}

/** The variables that give a client the service's address or a token. */
const CLIENT_VARIABLES = [
  "CLAWDFORGE_URL",
  "CLAWDFORGE_TOKEN",
  "CLAWDFORGE_ADMIN_TOKEN",
  "ADMIN_BOOTSTRAP_TOKEN",
]

/**
 * Loads `.env` for a client command, unless one of its variables is already set: a `.env` of any directory must not decide
 * to which address a token of the environment is sent.
 */
export const loadEnvFileOfClient = async () => {
  if (CLIENT_VARIABLES.every((name) => !process.env[name])) await loadEnvFile()
}
