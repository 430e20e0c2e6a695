import { Context, Layer, Option, Redacted } from "effect"
import { AgentName } from "../../domain/Session.ts"
import { Admission } from "../../services/access/Admission.ts"
import { Journal } from "../../services/journal/Journal.ts"
import { Files } from "../../services/files/Files.ts"
import { Idempotency } from "../../services/runs/Idempotency.ts"
import { RunEngine } from "../../services/runs/RunEngine.ts"
import { LoginMonitor } from "../../services/upkeep/LoginMonitor.ts"
import { Readiness } from "../../services/upkeep/Readiness.ts"
import { Revocation } from "../../services/access/Revocation.ts"
import { Refusals } from "../../services/access/Refusals.ts"
import { Retention } from "../../services/journal/Retention.ts"
import { Runs } from "../../services/runs/Runs.ts"
import { SessionPool } from "../../services/sessions/SessionPool.ts"
import { Sweeper } from "../../services/upkeep/Sweeper.ts"
import { TokenStore } from "../../services/access/TokenStore.ts"
import { type AgentScript, scriptedAgents } from "../AcpxClient.ts"
import { type ClaudeScript, scriptedClaude } from "../Claude.ts"
import { countingIds, countingSecrets } from "../Ids.ts"
import { ledger } from "../Ledger.ts"
import {
  credentialFile,
  disks,
  fileContents,
  jsonSchemas,
  processes,
  sessionDirs,
  workDirs,
} from "../Machine.ts"
import { clis } from "../Services.ts"
import type { ForgeMemory } from "./Memory.ts"
import type { ForgeSettings } from "./Settings.ts"

/** The operator's bearer token. */
export const ADMIN_TOKEN = "an-admin-token-for-tests-only-0123456789"

const PLENTY_BYTES = 1024 ** 4

/** The options of a clawdforge in memory, all of them filled in. */
export interface ForgeParts {
  readonly settings: ForgeSettings
  readonly memory: ForgeMemory
  readonly claude: ClaudeScript
  readonly agents: AgentScript
  /** The agents that a session can be opened with. */
  readonly agentNames: ReadonlyArray<string>
  /** Whether time passes only by `advance`. */
  readonly isClockManual: boolean
}

/** Every port of the services, in memory. */
const machine = ({ settings, memory }: ForgeParts) =>
  Layer.mergeAll(
    ledger(memory.ledger, settings),
    workDirs,
    sessionDirs(memory.sessionDirs),
    fileContents(memory.uploads, memory.attached),
    disks(PLENTY_BYTES),
    processes(() => ({ lines: [], exit: { code: 0, signal: null } })),
    jsonSchemas,
    countingIds(memory.counters.ids),
    countingSecrets(memory.counters.secrets),
    credentialFile(),
    clis({ claude: Option.some("0.0.0 (in memory)"), acpx: Option.none() }),
  )

/** The login of `claude`, which says that it has one. */
const login = Layer.tap(LoginMonitor.layer, (context) => Context.get(context, LoginMonitor).asked(true))

/** Every service of production, on ports in memory and scripted agents. */
export const services = (parts: ForgeParts) => {
  const { settings } = parts
  const adminToken = Option.some(Redacted.make(ADMIN_TOKEN))
  const agents = new Set(parts.agentNames.map((name) => AgentName.make(name)))
  const files = Files.layer({
    maxUploadBytes: settings.maxUploadBytes,
    maxBytesPerToken: settings.maxFilesBytesPerToken,
  })
  const sessions = Sweeper.layer(settings).pipe(
    Layer.provideMerge(SessionPool.layer({ ...settings, agents })),
    Layer.provideMerge(scriptedAgents(parts.agents)),
  )
  const runs = Layer.merge(Runs.layer(settings), sessions).pipe(
    Layer.provideMerge(scriptedClaude(parts.claude)),
    Layer.provideMerge(files),
    Layer.provideMerge(RunEngine.layer(settings)),
    Layer.provideMerge(Layer.mergeAll(Journal.layer, Retention.layer(settings))),
  )
  return Layer.merge(Admission.layer({ ...settings, adminToken }), Readiness.layer).pipe(
    Layer.provideMerge(runs),
    Layer.provideMerge(Layer.mergeAll(Revocation.layer, Refusals.layer, Idempotency.layer)),
    Layer.provideMerge(Layer.merge(TokenStore.layer, login)),
    Layer.provideMerge(machine(parts)),
  )
}
