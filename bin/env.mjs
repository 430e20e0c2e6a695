import { statSync } from "node:fs"

/** Reads a `.env` of the directory that we are started in, if there is one; what is set already wins. */
export const loadEnvFile = () => {
  // A directory of that name is somebody else's business.
  if (!statSync(".env", { throwIfNoEntry: false })?.isFile()) return
  try {
    process.loadEnvFile()
  } catch (error) {
    console.error(`.env cannot be read: ${error.message}`)
    process.exit(2)
  }
}

/** What says whom to ask, and with what. */
const CLIENTS = ["CLAWDFORGE_URL", "CLAWDFORGE_TOKEN", "CLAWDFORGE_ADMIN_TOKEN", "ADMIN_BOOTSTRAP_TOKEN"]

/** The same for what asks the service: a file that lies around must not say where a token that is set is sent. */
export const loadEnvFileOfClient = () => {
  if (CLIENTS.every((name) => !process.env[name])) loadEnvFile()
}
