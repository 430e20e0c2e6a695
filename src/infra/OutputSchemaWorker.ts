import { parentPort, workerData } from "node:worker_threads"
import { judge } from "./OutputSchemaJudge.ts"
import type { Work } from "./OutputSchemaVerdicts.ts"

/** Runs in a worker thread. */

// All is loaded: from here on, time is the schema's.
parentPort?.postMessage("ready")
parentPort?.postMessage(judge(workerData as Work))
