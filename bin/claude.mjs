#!/usr/bin/env node
// Starts the same `claude` that the service uses, for the operator: `npm run claude -- /login`.
import { spawn } from "node:child_process"
import { Option } from "effect"
import { loadEnvFile } from "./env.mjs"
import { source } from "./source.mjs"

loadEnvFile()
const { claudeExecutable } = await source("infra/Executables")
const { command, args } = claudeExecutable(Option.liftPredicate(process.env.CLAUDE_BIN?.trim(), Boolean))
spawn(command, [...args, ...process.argv.slice(2)], { stdio: "inherit" })
  .on("error", (error) => {
    console.error(`cannot start ${command}: ${error.message}`)
    process.exitCode = 1
  })
  .on("exit", (code) => {
    process.exitCode = code ?? 1
  })
