/**
 * Says what is not checked, as a tool is not installed. `.ci/run` installs all tools, and sets `TESTS_NEED_ALL_TOOLS`: there
 * it is an error.
 */
export const notChecked = (what: string, tool: string) => {
  const message = `not checked: ${what} (needs ${tool})`
  if (process.env["TESTS_NEED_ALL_TOOLS"] === "1") throw new Error(message)
  console.warn(message)
}
