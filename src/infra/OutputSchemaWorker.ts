import { parentPort, workerData } from "node:worker_threads"
import { judge } from "./OutputSchemaJudge.ts"
import type { Work } from "./OutputSchemaVerdicts.ts"

/** The script of a worker thread that judges one schema. */

// All modules are loaded. The deadline for the schema begins now.
parentPort?.postMessage("ready")
parentPort?.postMessage(judge(workerData as Work))
