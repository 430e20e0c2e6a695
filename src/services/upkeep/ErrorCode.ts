/** The system's code of an error or of its cause, such as `ENOSPC`. A message is not given: it may have paths in it. */
export const errorCodeOf = (error: unknown): string => {
  if (typeof error !== "object" || error === null) return "unknown"
  if ("code" in error && typeof error.code === "string") return error.code
  return "cause" in error ? errorCodeOf(error.cause) : "unknown"
}
