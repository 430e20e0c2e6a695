import { Effect, HashMap, Layer, Logger, LogLevel, Option } from "effect"
import { Logs } from "../services/upkeep/Logs.ts"
import type { LogWriter } from "./LogWriter.ts"

/** `{"at":"…","level":"INFO","message":"request","request_id":"…",…}`: annotations are top-level fields. */
const jsonLine = Logger.map(Logger.structuredLogger, ({ timestamp, logLevel, message, cause, annotations }) =>
  JSON.stringify({
    at: timestamp,
    level: logLevel,
    message,
    ...annotations,
    ...(cause === undefined ? {} : { cause }),
  }),
)

/** Writes each line; before it, a warning if lines were lost. */
const writtenBy = (line: Logger.Logger<unknown, string>, log: LogWriter) =>
  Logger.make<unknown, void>((options) => {
    const lines = log.takeLost()
    if (lines > 0)
      log.write(
        line.log({
          ...options,
          logLevel: LogLevel.Warning,
          message: ["lines of the log are lost: it could not be written"],
          annotations: HashMap.make(["lines", lines]),
        }),
      )
    log.write(line.log(options))
  })

/**
 * Logs one JSON object per line; on a terminal, one line of logfmt, which people read more easily. A log that cannot be
 * written does no harm: its state is in `Logs`.
 */
export const layer = (log: LogWriter, isTerminal: boolean) =>
  Layer.mergeAll(
    Logger.replace(Logger.defaultLogger, writtenBy(isTerminal ? Logger.logfmtLogger : jsonLine, log)),
    Logger.minimumLogLevel(LogLevel.Info),
    Layer.succeed(Logs, { state: Effect.sync(() => Option.some(log.state())) }),
  )
