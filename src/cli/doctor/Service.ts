import type { HttpClient } from "@effect/platform"
import { Effect } from "effect"
import type { ForgeError, SettingsError } from "../../client/Errors.ts"
import type { ForgeMethods } from "../../client/ForgeClient.ts"
import type { ForgeSettings } from "../../client/Settings.ts"
import { clientOf } from "../Connection.ts"
import { type Finding, fault, note, ok } from "./Finding.ts"

const serviceFault = (error: ForgeError): Finding => {
  switch (error.code) {
    case "ip_not_allowed":
      return fault(
        "service",
        "the service's allowlist excludes this machine (403 ip_not_allowed)",
        "where the service runs, add this machine's address to ALLOW_CIDRS; `clawdforge doctor --from ADDRESS` there checks it",
      )
    case "origin_not_allowed":
      return fault(
        "service",
        "the service does not serve the host name in CLAWDFORGE_URL (403 origin_not_allowed)",
        "use the service's address, or add the name to ALLOWED_HOSTS where the service runs",
      )
    case "connection_failed":
    case "deadline_exceeded":
      return fault(
        "service",
        error.message,
        "start it (clawdforge serve), or set CLAWDFORGE_URL to its address",
      )
    default:
      return fault("service", error.message, "set CLAWDFORGE_URL to the address of a clawdforge service")
  }
}

const tokenFault = (error: ForgeError): Finding => {
  switch (error.code) {
    case "unauthorized":
      return fault(
        "token",
        "the service does not know CLAWDFORGE_TOKEN, or has revoked it",
        "ask the operator for a new token: clawdforge token mint NAME",
      )
    case "ip_not_allowed":
      return fault(
        "token",
        "the token may not be used from this machine (403 ip_not_allowed)",
        "ask the operator for a token that allows this machine's address: clawdforge token mint NAME --cidr ADDRESS/32",
      )
    default:
      return fault("token", error.message, "see the service's log")
  }
}

/** The service that should run on this machine does not. */
export const notRunning = (url: string): Finding =>
  fault(
    "service",
    `no service runs at ${url}`,
    "start it: npm start, or clawdforge serve. The other lines say what it needs for that",
  )

/** A line of `/readyz`: its mark, what was checked, and what an operator should know. */
const READY_LINE = /^(ok|warn|fail) (\w+): (.*)$/

/** What the service says of itself at `/readyz`, but for what is well. A service that does not answer there has no lines. */
const readiness = (forge: ForgeMethods, isLoginKnown: boolean): Effect.Effect<ReadonlyArray<Finding>> =>
  Effect.match(forge.system.ready(), {
    onFailure: () => [],
    onSuccess: (text) =>
      text.split("\n").flatMap((line): ReadonlyArray<Finding> => {
        const [, mark = "ok", name, detail] = READY_LINE.exec(line) ?? []
        // Right after its start, the service has not asked `claude` yet. This is no fault.
        if (mark === "ok" || (name === "login" && !isLoginKnown)) return []
        const told = `not ready: ${name}: ${detail}`
        return mark === "warn"
          ? [note("service", `${name}: ${detail}`)]
          : [fault("service", told, "see the service's log, and docs/operating.md, Health")]
      }),
  })

/** Checks that the service admits this machine, that it can do its work, and that it knows the app's token. */
export const service = (
  settings: ForgeSettings,
): Effect.Effect<ReadonlyArray<Finding>, SettingsError, HttpClient.HttpClient> =>
  Effect.gen(function* () {
    const forge = yield* clientOf(settings)
    const health = yield* Effect.either(forge.system.health())
    if (health._tag === "Left") return [serviceFault(health.left)]
    const answers = [
      ok("service", `${settings.baseUrl} answers`),
      ...(yield* readiness(forge, health.right.login !== "unknown")),
    ]
    if (settings.token === undefined) {
      return [
        ...answers,
        note("token", "CLAWDFORGE_TOKEN is not set", "an app needs one: clawdforge token mint NAME"),
      ]
    }
    const runs = yield* Effect.either(forge.runs.listRuns({ urlParams: { limit: 1 } }))
    return [
      ...answers,
      runs._tag === "Left" ? tokenFault(runs.left) : ok("token", "the service knows CLAWDFORGE_TOKEN"),
    ]
  })
