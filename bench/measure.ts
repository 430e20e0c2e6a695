import { readFileSync } from "node:fs"

/** The two sides of a row. `left` and `right` are medians; `ratio` is the median of the ratios of the pairs. */
export interface Pairs {
  readonly left: number
  readonly right: number
  readonly ratio: number
}

/** A row of the table. */
export interface Row {
  readonly what: string
  readonly unit: "ms" | "req/s" | "runs/s"
  /** The number of decimals of the ratio. */
  readonly digits: number
  /** The service is `left`, its bare counterpart `right`. `note` is printed below the table. */
  readonly measure: () => Promise<Pairs & { readonly note?: string }>
}

/** Rows that share a server. */
export interface Group {
  readonly rows: ReadonlyArray<Row>
  readonly end: () => Promise<void>
}

export const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0

export const millis = async (work: () => Promise<unknown>): Promise<number> => {
  const from = performance.now()
  await work()
  return performance.now() - from
}

/** Measures pairs, the two sides in turn. */
export const alternate = async (
  count: number,
  left: () => Promise<number>,
  right: () => Promise<number>,
): Promise<Pairs> => {
  const pairs: Array<readonly [number, number]> = []
  for (let n = 0; n < count; n++) pairs.push([await left(), await right()])
  return {
    left: median(pairs.map(([a]) => a)),
    right: median(pairs.map(([, b]) => b)),
    ratio: median(pairs.map(([a, b]) => a / b)),
  }
}

/** Sends a request and returns its answer. Fails unless the service accepts it. */
export const post = async <A>(url: string, token: string, body: object): Promise<A> => {
  const response = await fetch(url, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  })
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${await response.text()}`)
  return (await response.json()) as A
}

/** Linux counts the processor time of a process in these units. */
const TICK_MILLIS = 10

/**
 * The processor time that a process has used so far, in milliseconds, without that of its children. Fails where there is
 * no /proc.
 */
export const processorMillis = (pid: number | undefined): number => {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
  // Fields of proc_pid_stat(5). Reading begins after the command in parentheses, which may itself have spaces.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return (Number(fields[11]) + Number(fields[12])) * TICK_MILLIS
}
