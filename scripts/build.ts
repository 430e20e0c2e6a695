/** Compiles `src` to `dist` for `npm pack`: ES modules with types, and the files that are not TypeScript. */
import { execFileSync } from "node:child_process"
import { cpSync, globSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { build } from "esbuild"

const ROOT = join(import.meta.dirname, "..")
const DIST = join(ROOT, "dist")
const inModules = (...path: ReadonlyArray<string>) => join(ROOT, "node_modules", ...path)

rmSync(DIST, { recursive: true, force: true })
execFileSync(process.execPath, [inModules("typescript", "bin", "tsc"), "-p", "tsconfig.build.json"], {
  cwd: ROOT,
  stdio: "inherit",
})
for (const script of ["claude-for-agents.sh", "agent-relay.sh"])
  cpSync(join(ROOT, "src/infra/acp", script), join(DIST, "infra/acp", script))

/**
 * Rewrites `import { Effect } from "effect"` to import each name from its own module, so that a client starts faster. The
 * package's index loads all of `effect`; that of the platform also loads a codec that looks for a compiler.
 */
for (const file of globSync(join(DIST, "**/*.js"))) {
  const text = readFileSync(file, "utf8").replace(
    /^import \{ ([\w, ]+?),? \} from "(effect|@effect\/[a-z-]+)";$/gm,
    (_, names: string, from: string) =>
      names
        .split(", ")
        .map((name) => {
          import.meta.resolve(`${from}/${name}`)
          return `import * as ${name} from "${from}/${name}";`
        })
        .join(" "),
  )
  writeFileSync(file, text)
}

/**
 * Bundles the one package that is not a dependency. What it imports stays external: an embedder must have one copy of
 * `effect` only.
 */
const DRIVER = "@effect/sql-sqlite-node"
await build({
  entryPoints: [join(ROOT, "src/infra/sqlite/Driver.ts")],
  outfile: join(DIST, "infra/sqlite/Driver.js"),
  allowOverwrite: true,
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node22",
  external: ["better-sqlite3", "effect", "@effect/sql", "@effect/experimental"],
  banner: { js: `/*! ${DRIVER}\n${readFileSync(inModules(DRIVER, "LICENSE"), "utf8").trim()}\n*/` },
})
