import { existsSync, readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"

/** Debian's `libfaketime`, by which a process sees another date than the machine's. */

const LIBRARIES = "/usr/lib"

/** The library, if it is installed. Its path has the machine's architecture in it. */
const library = readdirSync(LIBRARIES)
  .map((dir) => join(LIBRARIES, dir, "faketime", "libfaketime.so.1"))
  .find((path) => existsSync(path))

/** A date that a test sets, in a file of that directory. Undefined without the library. */
export const fakeDate = (dir: string) => {
  if (library === undefined) return undefined
  const file = join(dir, "date")
  /** Sets the date so many seconds before or after the machine's. Timers do not notice. */
  const set = (seconds: number) => writeFileSync(file, `${seconds < 0 ? "" : "+"}${seconds}\n`)
  set(0)
  return {
    set,
    env: {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
    },
  }
}
