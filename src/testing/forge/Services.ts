import { Layer, Option, Redacted } from "effect"
import { AgentName } from "../../domain/Session.ts"
import { Admission } from "../../services/access/Admission.ts"
import { Journal } from "../../services/journal/Journal.ts"
import { Files } from "../../services/files/Files.ts"
import { Idempotency } from "../../services/runs/Idempotency.ts"
import { RunEngine } from "../../services/runs/RunEngine.ts"
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
import { idsOf, secretsOf } from "../Ids.ts"
import { ledger } from "../Ledger.ts"
import { disks, fileContents, jsonSchemas, sessionDirs, workDirs } from "../Machine.ts"
import { clis } from "../Services.ts"
import type { ForgeMemory } from "./Memory.ts"
import type { ForgeSettings } from "./Settings.ts"

/** The operator's bearer. */
export const ADMIN_TOKEN = "an-admin-token-for-tests-only-0123456789"

const PLENTY_BYTES = 1024 ** 4

/** What a clawdforge in memory is made of. */
export interface Parts {
  readonly settings: ForgeSettings
  readonly memory: ForgeMemory
  readonly claude: ClaudeScript
  readonly agents: AgentScript
  /** Which agents sessions may ask for. */
  readonly agentNames: ReadonlyArray<string>
  /** Whether time passes only when it is told to. */
  readonly isManual: boolean
}

/** The ports of the services, all of them in memory. */
const machine = ({ settings, memory }: Parts) =>
  Layer.mergeAll(
    ledger(memory.ledger, settings),
    workDirs,
    sessionDirs(memory.sessionDirs),
    fileContents(memory.uploads, memory.attached),
    disks(PLENTY_BYTES),
    jsonSchemas,
    idsOf(memory.counters.ids),
    secretsOf(memory.counters.secrets),
    clis({
      claude: Option.some("0.0.0 (in memory)"),
      acpx: Option.none(),
      loggedIn: Option.some(true),
    }),
  )

/** Every service, as it is in production, in memory and on scripted agents. */
export const services = (parts: Parts) => {
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
    Layer.provideMerge(TokenStore.layer),
    Layer.provideMerge(machine(parts)),
  )
}
