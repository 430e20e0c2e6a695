/** Tables for people. */

type Kind = "id" | "time"

const cell = (value: unknown, kind: Kind): string => {
  if (value === null || value === undefined) return "-"
  if (kind === "time" && typeof value === "number") return new Date(value * 1000).toISOString().slice(0, 19)
  return Array.isArray(value) ? value.join(",") || "-" : String(value)
}

/** A table with a header line. Each column is as wide as its longest cell. Times are Unix seconds, printed in UTC. */
export const of = <Row extends object>(
  rows: ReadonlyArray<Row>,
  columns: Readonly<Partial<Record<keyof Row & string, Kind>>>,
): string => {
  const names = Object.keys(columns) as unknown as ReadonlyArray<keyof Row & string>
  const lines = [names, ...rows.map((row) => names.map((name) => cell(row[name], columns[name] ?? "id")))]
  const widths = names.map((_, at) => Math.max(...lines.map((line) => line[at]?.length ?? 0)))
  return lines
    .map((line) =>
      line
        .map((text, at) => text.padEnd(widths[at] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n")
}
