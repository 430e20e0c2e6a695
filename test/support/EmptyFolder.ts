import { execFile } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, dirname, join } from "node:path"
import { afterAll, beforeAll, expect } from "@effect/vitest"
import { promisify } from "node:util"

export interface Ended {
  readonly code: number
  readonly output: string
}

export const DONE: Ended = { code: 0, output: "" }

/** What tools would otherwise tell their makers, and people. */
const QUIET = { REDOCLY_TELEMETRY: "off", REDOCLY_SUPPRESS_UPDATE_NOTICE: "true", NO_UPDATE_NOTIFIER: "1" }

/** A program's end, whatever it is; its output is what it printed, and where it failed also its complaint. */
export const exec = (
  cwd: string,
  file: string,
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>> = {},
): Promise<Ended> => {
  // Our own Node first, and nothing of this checkout: what is found is what is installed there.
  const PATH = [dirname(process.execPath), ...(process.env["PATH"] ?? "").split(delimiter)]
    .filter((dir) => !dir.includes(join("node_modules", ".bin")))
    .join(delimiter)
  const options = { cwd, env: { ...process.env, ...QUIET, PATH, ...env }, maxBuffer: 1e8 }
  return promisify(execFile)(file, args, options).then(
    ({ stdout }) => ({ code: 0, output: stdout }),
    (error) => ({ code: Number(error.code), output: `${error.stdout}${error.stderr}` }),
  )
}

/** A folder of its own for a file of tests, with those packages of the registry, or of a file, and nothing else. */
export const folderWith = (
  packages: Readonly<Record<string, string>> | (() => Promise<Readonly<Record<string, string>>>),
) => {
  let dir: string
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "clawdforge-folder-"))
    const devDependencies = typeof packages === "function" ? await packages() : packages
    writeFileSync(
      join(dir, "package.json"),
      JSON.stringify({ private: true, type: "module", devDependencies }),
    )
    // Most of it came with `npm ci`: what is in npm's cache is not asked for again.
    const quietly = ["--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    expect(await exec(dir, "npm", ["install", ...quietly])).toMatchObject({ code: 0 })
  }, 300_000)
  afterAll(() => rmSync(dir, { recursive: true, force: true }))
  const there = {
    dir: () => dir,
    exec: (file: string, args: ReadonlyArray<string>, env?: Readonly<Record<string, string>>) =>
      exec(dir, file, args, env),
    node: (args: ReadonlyArray<string>, env?: Readonly<Record<string, string>>) =>
      exec(dir, process.execPath, args, env),
  }
  return there
}
