/**
 * Measures the service against bare counterparts, and prints a Markdown table. The two sides of a pair alternate on the
 * same machine, so the ratios hold even where the absolute figures do not. Arguments select groups of rows: `stand-in`,
 * `scripted`.
 */
import { availableParallelism, loadavg } from "node:os"
import type { Row } from "./measure.ts"
import { startScripted } from "./scripted.ts"
import { startStandIn } from "./stand-in.ts"

const GROUPS = { "stand-in": startStandIn, scripted: startScripted }

const selected = process.argv.slice(2)
const unknown = selected.find((name) => !(name in GROUPS))
if (unknown !== undefined) throw new Error(`${unknown} is not one of ${Object.keys(GROUPS).join(", ")}`)

const line = async ({ what, unit, digits, measure }: Row) => {
  const { left, right, ratio, note } = await measure()
  const write = (value: number) => `${value.toFixed(value < 10 ? 1 : 0)} ${unit}`
  const of = unit === "ms" ? "time" : "rate"
  return {
    cells: `| ${what} | ${write(left)} | ${write(right)} | ${ratio.toFixed(digits)} of its ${of} |`,
    note,
  }
}

const lines: Array<Awaited<ReturnType<typeof line>>> = []
for (const [name, start] of Object.entries(GROUPS)) {
  if (selected.length > 0 && !selected.includes(name)) continue
  const { rows, end } = await start()
  try {
    for (const row of rows) lines.push(await line(row))
  } finally {
    await end()
  }
}
console.log(`load ${loadavg()[0]?.toFixed(1)} on ${availableParallelism()} cores

| what | ours | the bare one | ratio |
|---|---|---|---|
${lines.map(({ cells }) => cells).join("\n")}

${lines.flatMap(({ note }) => note ?? []).join("\n")}`)
