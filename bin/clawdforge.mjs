#!/usr/bin/env node
// Plain JavaScript on purpose: it must still parse, and say so in one line, on a Node that is too old
// for the rest (better-sqlite3 crashes there; TypeScript would not even load).
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
const asked = process.argv.slice(2)
// The service by itself does without the command line, and all that it loads.
const isService = asked.length === 0 || (asked.length === 1 && asked[0] === "serve")
if (isService || asked[0] === "serve") loadEnvFile()
else loadEnvFileOfClient()
// Half the memory at rest that V8 would take, and a fifth of the growth while megabytes pass through; before anything is
// loaded. Its own `--optimize-for-size` saves little more, and collects all garbage about once a second under load.
v8.setFlagsFromString("--semi-space-growth-factor=1")
v8.setFlagsFromString("--heap-growing-percent=30")
await source(isService ? "main" : "cli/main")
