import { Layer, Logger, LogLevel } from "effect"

/** `{"at":"…","level":"INFO","message":"request","request_id":"…",…}`: annotations are top-level fields. */
const jsonLines = Logger.map(
  Logger.structuredLogger,
  ({ timestamp, logLevel, message, cause, annotations }) =>
    JSON.stringify({
      at: timestamp,
      level: logLevel,
      message,
      ...annotations,
      ...(cause === undefined ? {} : { cause }),
    }),
).pipe(Logger.withConsoleLog)

/** Logs one JSON object per line; on a terminal, one line of logfmt, which people read more easily. */
export const layer = (isTerminal: boolean) =>
  Layer.merge(
    isTerminal ? Logger.logFmt : Logger.replace(Logger.defaultLogger, jsonLines),
    Logger.minimumLogLevel(LogLevel.Info),
  )
