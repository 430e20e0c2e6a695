import { Layer, Logger, LogLevel } from "effect"

/** `{"at":"…","level":"INFO","message":"request","request_id":"…",…}`: annotations stand beside the message. */
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

/** One JSON object a line; on a terminal, a line for people. */
export const layer = (isTerminal: boolean) =>
  Layer.merge(
    isTerminal ? Logger.logFmt : Logger.replace(Logger.defaultLogger, jsonLines),
    Logger.minimumLogLevel(LogLevel.Info),
  )
