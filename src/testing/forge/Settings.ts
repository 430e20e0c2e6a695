import type { AppConfig } from "../../infra/Config.ts"

/** The operator's settings that have an effect in memory, by their names in `AppConfig`. */
export type ForgeSettings = Pick<
  AppConfig,
  | "allowCidrs"
  | "trustedProxies"
  | "corsOrigins"
  | "allowedHosts"
  | "defaultModel"
  | "defaultTimeoutSecs"
  | "maxConcurrentRuns"
  | "maxQueuedRuns"
  | "maxQueueWaitSecs"
  | "maxLiveSessions"
  | "maxQueuedTurns"
  | "sessionTtlSecs"
  | "sessionHardTtlSecs"
  | "sweepIntervalSecs"
  | "streamRetentionSecs"
  | "eventRetentionDays"
  | "eventMaxRows"
  | "auditRetentionDays"
  | "shutdownGraceSecs"
  | "maxBodyBytes"
  | "maxUploadBytes"
  | "maxFilesBytesPerToken"
>

const MEBIBYTE = 1024 * 1024

/** The service's defaults, without the grace at shutdown, which tests need not wait for. */
export const DEFAULTS: ForgeSettings = {
  allowCidrs: [],
  trustedProxies: [],
  corsOrigins: [],
  allowedHosts: [],
  defaultModel: "sonnet",
  defaultTimeoutSecs: 120,
  maxConcurrentRuns: 8,
  maxQueuedRuns: 256,
  maxQueueWaitSecs: 30,
  maxLiveSessions: 32,
  maxQueuedTurns: 32,
  sessionTtlSecs: 3600,
  sessionHardTtlSecs: 86_400,
  sweepIntervalSecs: 60,
  streamRetentionSecs: 3600,
  eventRetentionDays: 14,
  eventMaxRows: 200_000,
  auditRetentionDays: 365,
  shutdownGraceSecs: 0,
  maxBodyBytes: 12 * MEBIBYTE,
  maxUploadBytes: 100 * MEBIBYTE,
  maxFilesBytesPerToken: 2048 * MEBIBYTE,
}
