import { readdir, readFile, rename, rm, writeFile } from "node:fs/promises"
import { homedir } from "node:os"
import { join } from "node:path"
import { Effect, Layer, Option } from "effect"
import { isWithin } from "../../domain/JsonScan.ts"
import type { AgentSessionRef } from "../../domain/Session.ts"
import { AcpxRecords } from "../../services/agents/acpx/AcpxRecords.ts"
import { LINE_LIMITS } from "../../services/agents/LineLimits.ts"
import { tryStorage } from "../TryStorage.ts"

/** acpx's settings file. One in a working directory could redefine agents, permissions and credentials. */
const SETTINGS_FILE = ".acpxrc.json"

interface RecordFile {
  readonly acp_session_id: AgentSessionRef
  readonly cwd: string
  readonly agent_command: string
  readonly imported_from?: unknown
}

/** The records of acpx 0.19 in `.acpx/sessions` of the home directory that acpx gets by `env`. */
export const layer = (env: Readonly<Record<string, string>>) => {
  const dir = join(env["HOME"] ?? homedir(), ".acpx", "sessions")
  const fileOf = (ref: AgentSessionRef) => join(dir, `${nameOf(ref)}.json`)

  const read = async (ref: AgentSessionRef): Promise<RecordFile | undefined> =>
    parseRecord(await readFile(fileOf(ref), "utf8").catch(nullIfMissing)) ?? undefined

  const prepare = async (ref: AgentSessionRef, agent: string, mustResume: boolean): Promise<boolean> => {
    const record = await read(ref)
    if (record === undefined) return false
    const isRequired = !mustResume || record.imported_from !== undefined
    if (isRequired && record.agent_command === agent) return true
    // Only for an imported session does acpx resume the same session or fail. Others it may replace by a new one.
    const origin = {
      record_id: ref,
      cwd_original: record.cwd,
      exported_by: "clawdforge",
      exported_at: new Date(0).toISOString(),
    }
    const changed = { ...record, agent_command: agent, ...(isRequired ? {} : { imported_from: origin }) }
    const draft = `${fileOf(ref)}.clawdforge`
    await writeFile(draft, JSON.stringify(changed), { mode: 0o600 })
    await rename(draft, fileOf(ref))
    return true
  }

  const remove = async (ref: AgentSessionRef): Promise<void> => {
    const names = await readdir(dir).catch(emptyIfMissing)
    const own = names.filter((name) => name.startsWith(`${nameOf(ref)}.`))
    await Promise.all(own.map((name) => rm(join(dir, name), { force: true })))
  }

  return Layer.succeed(AcpxRecords, {
    agentRef: (ref) =>
      Effect.map(
        tryStorage("reading acpx's record of a session", () => read(ref)),
        (record) => Option.fromNullable(record?.acp_session_id),
      ),
    prepare: (ref, agent, mustResume) =>
      tryStorage("changing acpx's record of a session", () => prepare(ref, agent, mustResume)),
    remove: (ref) => tryStorage("removing acpx's record of a session", () => remove(ref)),
    dropSettings: (cwd) =>
      tryStorage("removing a working directory's settings for acpx", () =>
        rm(join(cwd, SETTINGS_FILE), { recursive: true, force: true }),
      ),
  })
}

const nameOf = (ref: AgentSessionRef): string => encodeURIComponent(ref)

/** Replaces the parser's error, which quotes the text: a record has prompts, which must not be in a log. */
const parseRecord = (record: string): RecordFile | null => {
  try {
    // The agent of a session can write the file, too.
    if (!isWithin(record, LINE_LIMITS)) throw new Error()
    return JSON.parse(record)
  } catch {
    throw new Error("the record is no JSON")
  }
}

const nullIfMissing = (error: NodeJS.ErrnoException): string => {
  if (error.code === "ENOENT") return "null"
  throw error
}

const emptyIfMissing = (error: NodeJS.ErrnoException): ReadonlyArray<string> => {
  if (error.code === "ENOENT") return []
  throw error
}
