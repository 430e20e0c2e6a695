import { Duration, Effect, Layer } from "effect"
import type { OpenStreamsOptions } from "./http/sse/OpenStreams.ts"
import { serve } from "./http/Server.ts"
import { agentExecutables } from "./infra/Agents.ts"
import * as AdminTokenFile from "./infra/AdminToken.ts"
import * as AcpxRecordFiles from "./infra/acp/AcpxRecordFiles.ts"
import { claudeForAgents } from "./infra/acp/ClaudeForAgents.ts"
import { childEnvironment } from "./infra/ChildEnvironment.ts"
import type { AppConfig } from "./infra/Config.ts"
import { acpxExecutable, claudeExecutable } from "./infra/Executables.ts"
import * as DataDirLock from "./infra/DataDirLock.ts"
import * as FileDirectory from "./infra/FileDirectory.ts"
import * as DiskSpace from "./infra/DiskSpace.ts"
import * as HttpServer from "./infra/http/HttpServer.ts"
import { idsLayer, secretsLayer } from "./infra/Identifiers.ts"
import * as NodeConnections from "./infra/http/NodeConnections.ts"
import * as NodeRequestBody from "./infra/http/NodeRequestBody.ts"
import * as OutputSchemaValidator from "./infra/OutputSchemaValidator.ts"
import * as ProcessGroups from "./infra/processes/ProcessGroups.ts"
import * as SessionDirectories from "./infra/SessionDirectories.ts"
import * as Database from "./infra/sqlite/Database.ts"
import * as SqliteLedger from "./infra/sqlite/SqliteLedger.ts"
import * as WorkDirectories from "./infra/WorkDirectories.ts"
import * as AcpxAgents from "./services/agents/acpx/Acpx.ts"
import * as DirectAgents from "./services/agents/acp/Direct.ts"
import { Admission } from "./services/access/Admission.ts"
import { environment } from "./services/agents/claude/Command.ts"
import { ClaudeRunner } from "./services/agents/ClaudeRunner.ts"
import { Clis } from "./services/agents/Clis.ts"
import { Journal } from "./services/journal/Journal.ts"
import { Files } from "./services/files/Files.ts"
import { Idempotency } from "./services/runs/Idempotency.ts"
import { RunEngine } from "./services/runs/RunEngine.ts"
import type { Processes } from "./services/agents/Processes.ts"
import { Readiness } from "./services/upkeep/Readiness.ts"
import { Revocation } from "./services/access/Revocation.ts"
import { Refusals } from "./services/access/Refusals.ts"
import { Retention } from "./services/journal/Retention.ts"
import { Runs } from "./services/runs/Runs.ts"
import { SessionPool } from "./services/sessions/SessionPool.ts"
import { Sweeper } from "./services/upkeep/Sweeper.ts"
import { TokenStore } from "./services/access/TokenStore.ts"

/**
 * How the service reaches this machine: every port that the services ask for. What a server that died left
 * is removed on the way: its processes once the data directory is ours alone, then, as nobody writes there any more,
 * its runs' directories.
 */
export const machine = (config: AppConfig) =>
  Layer.mergeAll(
    SqliteLedger.layer(config).pipe(Layer.provide(Database.layer(config.dbPath))),
    WorkDirectories.layer(config.runsDir).pipe(Layer.provideMerge(ProcessGroups.layer(config.dataDir))),
    SessionDirectories.layer(config.sessionsDir),
    FileDirectory.layer(config.filesDir),
    DiskSpace.layer([config.dataDir, config.runsDir, config.sessionsDir, config.filesDir, config.dbPath]),
    OutputSchemaValidator.layer,
    idsLayer,
    secretsLayer,
  ).pipe(Layer.provide(DataDirLock.layer(config.dataDir)))

/** The agent: Anthropic's CLI. */
export const agent = (config: AppConfig): Layer.Layer<ClaudeRunner, never, Processes> =>
  ClaudeRunner.layer({ executable: claudeExecutable(config.claudeBin), env: childEnvironment() })

/** What an agent may take to start, and then to open a session. */
const OPEN_PATIENCE = Duration.seconds(60)

/** The agents of sessions, spoken to as the settings say. */
export const sessionAgents = (config: AppConfig, openPatience = OPEN_PATIENCE) =>
  Layer.unwrapEffect(
    Effect.map(agentExecutables(config.agents), (agents) => {
      const claude = claudeExecutable(config.claudeBin).command
      const env = { ...environment(childEnvironment()), ...claudeForAgents(claude) }
      const options = { agents, env, idleSecs: config.agentIdleSecs, openPatience }
      return config.agentBackend === "direct"
        ? DirectAgents.layer(options)
        : AcpxAgents.layer({ ...options, acpx: acpxExecutable(config.acpxBin) }).pipe(
            Layer.provide(AcpxRecordFiles.layer(env)),
          )
    }),
  )

/**
 * Every service, on the real machine, with that agent; what an embedder takes who wants it all without the HTTP API.
 */
export const services = (config: AppConfig, runner = agent(config), acpx = sessionAgents(config)) => {
  const admission = Layer.unwrapEffect(
    Effect.map(AdminTokenFile.AdminToken, ({ token }) => Admission.layer({ ...config, adminToken: token })),
  )
  const files = Files.layer({
    maxUploadBytes: config.maxUploadBytes,
    maxBytesPerToken: config.maxFilesBytesPerToken,
  })
  const sessions = Sweeper.layer(config).pipe(
    Layer.provideMerge(SessionPool.layer(config)),
    Layer.provideMerge(acpx),
  )
  const runs = Layer.merge(Runs.layer(config), sessions).pipe(
    Layer.provideMerge(runner),
    Layer.provideMerge(files),
    Layer.provideMerge(RunEngine.layer(config)),
    Layer.provideMerge(Journal.layer),
    Layer.provideMerge(Retention.layer(config)),
  )
  const clis = Clis.layer({
    claude: claudeExecutable(config.claudeBin),
    acpx: acpxExecutable(config.acpxBin),
    cwd: "/",
    env: environment(childEnvironment()),
    needed: config.agentBackend === "acpx" ? ["claude", "acpx"] : ["claude"],
  })
  return Layer.merge(admission, Readiness.layer).pipe(
    Layer.provideMerge(Layer.merge(runs, clis)),
    Layer.provideMerge(Layer.mergeAll(Revocation.layer, Refusals.layer, Idempotency.layer)),
    Layer.provideMerge(TokenStore.layer),
    Layer.provideMerge(AdminTokenFile.layer(config)),
    Layer.provideMerge(machine(config)),
  )
}

/** What a form may bring around its file. */
const MEBIBYTE = 1024 * 1024

/** The HTTP API on every service; still needs an HttpServer to be served on. */
export const api = (config: AppConfig, streams: OpenStreamsOptions = {}) =>
  serve({ model: config.defaultModel, timeoutSecs: config.defaultTimeoutSecs }, streams).pipe(
    Layer.provide(
      NodeRequestBody.layer({ json: config.maxBodyBytes, form: config.maxUploadBytes + MEBIBYTE }),
    ),
    Layer.provide(NodeConnections.layer),
  )

/** The whole service, listening. */
export const app = (config: AppConfig, runner = agent(config), acpx = sessionAgents(config)) =>
  api(config).pipe(
    Layer.provideMerge(HttpServer.layer(config)),
    Layer.provideMerge(services(config, runner, acpx)),
  )
