#!/usr/bin/env node
// Plain JavaScript on purpose: a Node that is too old must be able to parse this file and print one clear line.
// There, better-sqlite3 crashes and TypeScript does not load.
import v8 from "node:v8"
import { loadEnvFile, loadEnvFileOfClient } from "./env.mjs"
import { source } from "./source.mjs"

const [major, minor] = process.versions.node.split(".").map(Number)

if (major < 22 || (major === 22 && minor < 18)) {
  console.error(
    `clawdforge needs Node 22.18 or newer, and this is Node ${process.versions.node}: install Node 24, or in a checkout use \`npm start\`, which brings its own.`,
  )
  process.exit(1)
}
const args = process.argv.slice(2)
// Without options, the service starts without the modules of the command line.
const isService = args.length === 0 || (args.length === 1 && args[0] === "serve")
// These two flags halve the memory at rest, and cut its growth while megabytes pass through to a fifth. They must be set
// before anything is loaded. V8's `--optimize-for-size` saves little more, and under load it runs a full garbage
// collection about once a second.
v8.setFlagsFromString("--semi-space-growth-factor=1")
v8.setFlagsFromString("--heap-growing-percent=30")
// These use the service's own settings, and send nothing anywhere.
if (isService || ["serve", "backup", "restore"].includes(args[0])) await loadEnvFile()
else await loadEnvFileOfClient()
await source(isService ? "main" : "cli/main")
