/**
 * The entry for tests: a mock or in-memory layer for each service, and a whole clawdforge in memory. Nothing here
 * starts a process, opens a socket or uses a disk.
 */
export * as Failure from "./domain/Failure.ts"
export {
  acpxClient,
  AgentScript,
  type MockPrompt,
  ScriptedAgents,
  scriptedAgents,
} from "./testing/AcpxClient.ts"
export {
  claudeAnswer,
  type ClaudeReply,
  claudeRunner,
  ClaudeScript,
  ScriptedClaude,
  scriptedClaude,
} from "./testing/Claude.ts"
export { type Fetch, Forge, forge, type ForgeOptions } from "./testing/Forge.ts"
export { ForgeMemory } from "./testing/forge/Memory.ts"
export type { ForgeSettings } from "./testing/forge/Settings.ts"
export { InMemoryServer, layer as inMemoryServer } from "./testing/http/InMemoryServer.ts"
export { layer as webRequestBody } from "./testing/http/WebRequestBody.ts"
export { ids, secrets } from "./testing/Ids.ts"
export { ledger } from "./testing/Ledger.ts"
export { LedgerMemory, type RunInMemory, type SessionInMemory } from "./testing/ledger/LedgerMemory.ts"
export { ManualClock } from "./testing/ManualClock.ts"
export {
  acpxRecords,
  credentialFile,
  CredentialMemory,
  disks,
  fileContents,
  jsonSchemas,
  outputSchemas,
  processes,
  sessionDirs,
  workDirs,
} from "./testing/Machine.ts"
export { type Held, type Say, Script } from "./testing/Script.ts"
export {
  admitEverybody,
  clis,
  idempotency,
  journal,
  loginMonitor,
  noFiles,
  readiness,
  refusals,
  retention,
  revocation,
  runEngine,
  runs,
  sweeper,
  tokenStore,
} from "./testing/Services.ts"
export { type MockTurn, sessionPool, turnReport } from "./testing/SessionPool.ts"
export { type HeldPrompt, type RunningForge, type Scripting, startForge } from "./testing/StartForge.ts"
