import { existsSync, readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { Option } from "effect"
import type { Executable } from "../services/agents/Processes.ts"

/**
 * Finds `claude`: the operator's command, else the one that is installed next to this package, else the one in `PATH`.
 * The installed one comes with the SDK of the ACP adapter, so that sessions and one-shot runs use the same version.
 */
export const claudeExecutable = (named: Option.Option<string>): Executable =>
  Option.match(named, {
    onSome: (command) => ({ command, args: [] }),
    onNone: () => ({ command: installedClaude() ?? "claude", args: [] }),
  })

/** Finds `acpx`: the operator's command, else the one that is installed next to this package, else the one in `PATH`. */
export const acpxExecutable = (named: Option.Option<string>): Executable => {
  if (Option.isSome(named)) return { command: named.value, args: [] }
  const script = installedAcpx()
  // Started with our own Node: the one that `env` finds for the script may be too old for it.
  return script === undefined ? { command: "acpx", args: [] } : { command: process.execPath, args: [script] }
}

/** A package's folder, searched for from the file `from` upwards as Node does. Undefined when it is not installed. */
const packageDir = (name: string, from: string): string | undefined => {
  for (const base of createRequire(from).resolve.paths(name) ?? []) {
    const dir = join(base, name)
    if (existsSync(join(dir, "package.json"))) return dir
  }
  return undefined
}

const installedClaude = (): string | undefined => {
  const adapter = packageDir("@agentclientprotocol/claude-agent-acp", import.meta.filename)
  const from = adapter === undefined ? import.meta.filename : join(adapter, "package.json")
  const platform = `@anthropic-ai/claude-agent-sdk-${process.platform}-${process.arch}`
  for (const name of [platform, `${platform}-musl`]) {
    const dir = packageDir(name, from)
    if (dir !== undefined) return join(dir, process.platform === "win32" ? "claude.exe" : "claude")
  }
  return undefined
}

const installedAcpx = (): string | undefined => {
  const dir = packageDir("acpx", import.meta.filename)
  if (dir === undefined) return undefined
  const { bin } = JSON.parse(readFileSync(join(dir, "package.json"), "utf8")) as { bin: { acpx: string } }
  return join(dirname(join(dir, "package.json")), bin.acpx)
}
