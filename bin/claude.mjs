#!/usr/bin/env node
// Starts the same `claude` that the service uses, for the operator: `npm run claude -- /login`.
import { spawn } from "node:child_process"
import { constants } from "node:os"
import { Option } from "effect"
import { loadEnvFile } from "./env.mjs"
import { source } from "./source.mjs"

await loadEnvFile()
const { claudeExecutable } = await source("infra/Executables")
const { command, args } = claudeExecutable(Option.liftPredicate(process.env.CLAUDE_BIN?.trim(), Boolean))
const claude = spawn(command, [...args, ...process.argv.slice(2)], { stdio: "inherit" })
  .on("error", (error) => {
    console.error(`cannot start ${command}: ${error.message}`)
    process.exitCode = 1
  })
  .on("exit", (code, signal) => {
    process.exitCode = code ?? 128 + constants.signals[signal]
  })
// A signal may be meant for this process alone, as npm's is. Without a listener it would leave `claude` behind.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => claude.kill(signal))
