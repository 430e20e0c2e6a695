import { statSync } from "node:fs"

/** Loads `.env` of the current directory, if there is one. Variables that are already set keep their values. */
export const loadEnvFile = () => {
  // A directory named `.env`, such as a Python environment, is not ours.
  if (!statSync(".env", { throwIfNoEntry: false })?.isFile()) return
  try {
    process.loadEnvFile()
  } catch (error) {
    console.error(`.env cannot be read: ${error.message}`)
    process.exit(2)
  }
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
export const loadEnvFileOfClient = () => {
  if (CLIENT_VARIABLES.every((name) => !process.env[name])) loadEnvFile()
}
