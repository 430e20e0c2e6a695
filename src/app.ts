import { Duration, Effect, Layer } from "effect"
import { bodyLimits, serve } from "./http/Server.ts"
import type { OpenStreamsOptions } from "./http/sse/OpenStreams.ts"
import * as AcpxRecordFiles from "./infra/acp/AcpxRecordFiles.ts"
import * as AgentRelaySockets from "./infra/acp/AgentRelaySockets.ts"
import { claudeForAgents } from "./infra/acp/ClaudeForAgents.ts"
import * as AdminTokenFile from "./infra/AdminToken.ts"
import { findAgents } from "./infra/Agents.ts"
import { childEnvironment } from "./infra/ChildEnvironment.ts"
import type { AppConfig } from "./infra/Config.ts"
import * as CredentialFile from "./infra/CredentialFile.ts"
import * as DataDirLock from "./infra/DataDirLock.ts"
import * as DiskSpace from "./infra/DiskSpace.ts"
import { acpxExecutable, claudeExecutable } from "./infra/Executables.ts"
import * as FileDirectory from "./infra/FileDirectory.ts"
import * as HttpServer from "./infra/http/HttpServer.ts"
import * as NodeConnections from "./infra/http/NodeConnections.ts"
import * as NodeRequestBody from "./infra/http/NodeRequestBody.ts"
import { idsLayer, secretsLayer } from "./infra/Identifiers.ts"
import * as Memory from "./infra/Memory.ts"
import * as OutputSchemaValidator from "./infra/OutputSchemaValidator.ts"
import * as ProcessGroups from "./infra/processes/ProcessGroups.ts"
import * as SessionDirectories from "./infra/SessionDirectories.ts"
import * as Database from "./infra/sqlite/Database.ts"
import * as SqliteLedger from "./infra/sqlite/SqliteLedger.ts"
import * as WorkDirectories from "./infra/WorkDirectories.ts"
import { Admission } from "./services/access/Admission.ts"
import { Refusals } from "./services/access/Refusals.ts"
import { Revocation } from "./services/access/Revocation.ts"
import { TokenStore } from "./services/access/TokenStore.ts"
import * as DirectAgents from "./services/agents/acp/DirectAgents.ts"
import * as AcpxAgents from "./services/agents/acpx/AcpxAgents.ts"
import { claudeEnvironment } from "./services/agents/claude/Command.ts"
import { ClaudeRunner } from "./services/agents/ClaudeRunner.ts"
import { Clis } from "./services/agents/Clis.ts"
import type { Processes } from "./services/agents/Processes.ts"
import { Files } from "./services/files/Files.ts"
import { Journal } from "./services/journal/Journal.ts"
import { Retention } from "./services/journal/Retention.ts"
import { Idempotency } from "./services/runs/Idempotency.ts"
import { RunEngine } from "./services/runs/RunEngine.ts"
import { Runs } from "./services/runs/Runs.ts"
import { SessionPool } from "./services/sessions/SessionPool.ts"
import { LoginMonitor } from "./services/upkeep/LoginMonitor.ts"
import { Readiness } from "./services/upkeep/Readiness.ts"
import { Sweeper } from "./services/upkeep/Sweeper.ts"

/**
 * The composition root: every layer of the service, from the machine up to the listening server. Embedders take the
 * part that they need.
 */

/** How long an agent can take to start, and then to open a session. */
const AGENT_OPEN_TIMEOUT = Duration.seconds(60)

// The machine

/**
 * Every port of the services on this machine: the database, directories, processes, output schemas and random numbers.
 * When it is built, it removes what a server that died left behind: first its processes, once the data directory is
 * locked, then the directories of its runs, because nothing writes there any longer.
 */
export const machine = (config: AppConfig) =>
  Layer.mergeAll(
    SqliteLedger.layer(config).pipe(Layer.provide(Database.layer(config.dbPath))),
    WorkDirectories.layer(config.runsDir).pipe(Layer.provideMerge(ProcessGroups.layer(config.dataDir))),
    SessionDirectories.layer(config.sessionsDir, childEnvironment()),
    FileDirectory.layer(config.filesDir),
    DiskSpace.layer(
      [config.dataDir, config.runsDir, config.sessionsDir, config.filesDir, config.dbPath],
      [
        { setting: "RUNS_DIR", path: config.runsDir, isRemade: true },
        { setting: "ACPX_SESSIONS_CWD", path: config.sessionsDir, isRemade: false },
        { setting: "FILES_DIR", path: config.filesDir, isRemade: false },
      ],
    ),
    OutputSchemaValidator.layer,
    CredentialFile.layer(childEnvironment()),
    idsLayer,
    secretsLayer,
  ).pipe(Layer.provide(DataDirLock.layer(config.dataDir)))

// The agents

/** The agent of one-shots: the `claude` CLI. */
export const agent = (config: AppConfig): Layer.Layer<ClaudeRunner, never, Processes> =>
  ClaudeRunner.layer({ executable: claudeExecutable(config.claudeBin), env: childEnvironment() })

/** The agents of sessions: reached directly, or through acpx, as `agentBackend` says. */
export const sessionAgents = (config: AppConfig, openTimeout = AGENT_OPEN_TIMEOUT) =>
  Layer.unwrapEffect(
    Effect.map(findAgents(config.agents), ({ executables: agents }) => {
      const claude = claudeExecutable(config.claudeBin).command
      const env = { ...claudeEnvironment(childEnvironment()), ...claudeForAgents(claude) }
      const options = { agents, env, idleSecs: config.agentIdleSecs, openTimeout }
      return config.agentBackend === "direct"
        ? DirectAgents.layer(options)
        : AcpxAgents.layer({ ...options, acpx: acpxExecutable(config.acpxBin) }).pipe(
            Layer.provide([AcpxRecordFiles.layer(env), AgentRelaySockets.layer(env)]),
          )
    }),
  )

/** The checks whether the CLIs that the agents need are installed. */
const clis = (config: AppConfig) =>
  Clis.layer({
    claude: claudeExecutable(config.claudeBin),
    acpx: acpxExecutable(config.acpxBin),
    cwd: "/",
    env: claudeEnvironment(childEnvironment()),
    needed: config.agentBackend === "acpx" ? ["claude", "acpx"] : ["claude"],
  })

// The services

/** The admission of requests, with the operator's token from the settings or its file. */
const admission = (config: AppConfig) =>
  Layer.unwrapEffect(
    Effect.map(AdminTokenFile.AdminToken, ({ token }) => Admission.layer({ ...config, adminToken: token })),
  )

/** The uploads of apps. */
const files = (config: AppConfig) =>
  Files.layer({
    maxUploadBytes: config.maxUploadBytes,
    maxBytesPerToken: config.maxFilesBytesPerToken,
  })

/** Conversations with the agents that can be started. */
const sessionPool = (config: AppConfig) =>
  Layer.unwrapEffect(
    Effect.map(findAgents(config.agents), ({ executables }) =>
      SessionPool.layer({ ...config, agents: executables }),
    ),
  )

/**
 * Every service on this machine, without the HTTP API. `runner` is the agent of one-shots. `acpx` are the agents of
 * sessions; those of another layer are taken to have all agents of the settings. A line can use the services of the lines
 * below it.
 */
export const services = (
  config: AppConfig,
  runner = agent(config),
  acpx?: ReturnType<typeof sessionAgents>,
) => {
  const sessions = Sweeper.layer(config).pipe(
    Layer.provideMerge(acpx === undefined ? sessionPool(config) : SessionPool.layer(config)),
    Layer.provideMerge(acpx ?? sessionAgents(config)),
  )
  const runs = Layer.merge(Runs.layer(config), sessions).pipe(
    Layer.provideMerge(runner),
    Layer.provideMerge(files(config)),
    Layer.provideMerge(RunEngine.layer(config)),
    Layer.provideMerge(Journal.layer),
    Layer.provideMerge(Retention.layer(config)),
  )
  return Layer.merge(admission(config), Readiness.layer).pipe(
    Layer.provideMerge(Layer.merge(runs, clis(config))),
    Layer.provideMerge(LoginMonitor.layer),
    Layer.provideMerge(Layer.mergeAll(Revocation.layer, Refusals.layer, Idempotency.layer)),
    Layer.provideMerge(TokenStore.layer),
    Layer.provideMerge(AdminTokenFile.layer(config)),
    Layer.provideMerge(machine(config)),
    Layer.provideMerge(Memory.layer(config)),
  )
}

// The server

/** The HTTP API. It needs the services and an `HttpServer`. */
export const api = (config: AppConfig, streams: OpenStreamsOptions = {}) =>
  serve({ model: config.defaultModel, timeoutSecs: config.defaultTimeoutSecs }, streams).pipe(
    Layer.provide(NodeRequestBody.layer(bodyLimits(config))),
    Layer.provide(NodeConnections.layer),
  )

/** The whole service, which listens as soon as it is built. */
export const app = (config: AppConfig, runner = agent(config), acpx?: ReturnType<typeof sessionAgents>) =>
  api(config).pipe(
    Layer.provideMerge(HttpServer.layer(config)),
    Layer.provideMerge(services(config, runner, acpx)),
  )
