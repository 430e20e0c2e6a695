/**
 * Many followers of one stream, in a process of their own: `crowd.ts URL TOKEN COUNT`. Sends `open` to its parent when all
 * streams have an answer. Then receives the requested events, each with its name and time, and sends the 99th percentile
 * of their delays in milliseconds.
 */
import { connect, type Socket } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import { type EventRequest, now } from "./streams.ts"

const [, , address = "", token = "", count = "0"] = process.argv
const { hostname, port, pathname } = new URL(address)
/** Streams that are opened at the same time. More could overrun the server's backlog. */
const OPENING = 20

/** For each stream, when each event arrived. */
const arrivals: Array<Map<string, number>> = []

/** Opens a stream, with as little work as possible: the followers are not what is measured. */
const open = () =>
  new Promise<Socket>((resolve, reject) => {
    const arrived = new Map<string, number>()
    arrivals.push(arrived)
    let rest = ""
    const socket = connect(Number(port), hostname)
    socket.setEncoding("latin1").on("error", reject)
    socket.on("data", (text) => {
      const at = now()
      rest += text
      const names = /"token":"([^"]+)"/g
      let end = 0
      for (let found = names.exec(rest); found !== null; found = names.exec(rest)) {
        arrived.set(found[1] ?? "", at)
        end = names.lastIndex
      }
      rest = rest.slice(Math.max(end, rest.length - 100))
      resolve(socket)
    })
    socket.write(
      `GET ${pathname} HTTP/1.1\r\nHost: ${hostname}\r\nAccept: text/event-stream\r\nAuthorization: Bearer ${token}\r\n\r\n`,
    )
  })

const sockets: Array<Socket> = []
while (sockets.length < Number(count)) {
  sockets.push(...(await Promise.all(Array.from({ length: OPENING }, open))))
}

process.once("message", async (requests: ReadonlyArray<EventRequest>) => {
  const haveAllArrived = () => arrivals.every((arrived) => requests.every(({ name }) => arrived.has(name)))
  while (!haveAllArrived()) await sleep(100)
  const delays = arrivals.flatMap((arrived) => requests.map(({ name, at }) => (arrived.get(name) ?? 0) - at))
  process.send?.(delays.toSorted((a, b) => a - b)[Math.floor(delays.length * 0.99)])
  for (const socket of sockets) socket.destroy()
  process.disconnect()
})
process.send?.("open")
