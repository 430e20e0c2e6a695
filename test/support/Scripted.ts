import { join } from "node:path"
import { expect } from "@effect/vitest"

/**
 * What tests of a service in a process of its own need of the scripted executables. It loads nothing of the service,
 * which would take such a test's process two seconds.
 */

/** A stand-in for the `claude` executable. */
export const scriptedClaude = join(import.meta.dirname, "scripted-claude.mjs")

const SCRIPTED_AGENT = join(import.meta.dirname, "scripted-agent.mjs")

/** The command of the scripted agent, which keeps its sessions and its log in that directory. */
export const scriptedAgent = (dir: string, flags = ""): string =>
  `${process.execPath} ${SCRIPTED_AGENT} --state ${dir}/state --log ${dir}/log ${flags}`.trim()

/** The text that the agent says in a turn that went well. */
export const said = ({
  status,
  text,
  json,
}: {
  readonly status: number
  readonly text?: string
  readonly json: any
}): string => {
  expect([status, status === 200 ? "" : (text ?? json)]).toEqual([200, ""])
  return (json.events as ReadonlyArray<any>)
    .filter(({ params }) => params?.update?.sessionUpdate === "agent_message_chunk")
    .map(({ params }) => params.update.content.text)
    .join("")
}

/** A form with one file, and perhaps a `ttl_secs`. */
export const fileForm = (
  content: string | Uint8Array<ArrayBuffer>,
  name = "notes.txt",
  ttlSecs?: number,
): FormData => {
  const form = new FormData()
  if (ttlSecs !== undefined) form.set("ttl_secs", String(ttlSecs))
  form.set("file", new Blob([content]), name)
  return form
}
