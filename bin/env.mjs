/** Reads a `.env` of the directory that we are started in, if there is one; what is set already wins. */
export const loadEnvFile = () => {
  try {
    process.loadEnvFile()
  } catch (error) {
    if (error.code !== "ENOENT") throw error
  }
}
