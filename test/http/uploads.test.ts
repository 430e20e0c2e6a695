import { readdirSync, statSync } from "node:fs"
import { connect } from "node:net"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import { Effect, Option, Random } from "effect"
import { eventually, fileForm, scriptedClaude, startServer, type TestServer } from "../support/TestServer.ts"

const BOUNDARY = "a-boundary"
const START = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n`
const END = `\r\n--${BOUNDARY}--\r\n`
const UPLOADS = 50
const MEGABYTE = 1_000_000

/** Uploads that many bytes; disconnects after that share of the body, if it is given. Returns the answer's status. */
const upload = (server: TestServer, token: string, size: number, share: number | undefined) =>
  Effect.async<number | "gone">((resume) => {
    const body = Buffer.from(`${START}${"x".repeat(size)}${END}`)
    const head = `POST /files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: multipart/form-data; boundary=${BOUNDARY}\r\nContent-Length: ${body.length}\r\n\r\n`
    const socket = connect(Number(new URL(server.url).port), "127.0.0.1")
    socket.on("error", () => {}).on("close", () => resume(Effect.succeed("gone")))
    socket.write(head)
    if (share === undefined) {
      socket.once("data", (answer) => {
        resume(Effect.succeed(Number(String(answer).split(" ")[1])))
        socket.destroy()
      })
      socket.write(body)
    } else socket.write(body.subarray(0, Math.floor(body.length * share)), () => socket.destroy())
  })

/** The sizes of the stored files: by the records, and on the disk. */
const kept = (server: TestServer) => {
  const db = new Sqlite(server.config.dbPath, { readonly: true })
  const rows = db.prepare("SELECT id, size FROM files ORDER BY id").all() as Array<{
    id: string
    size: number
  }>
  db.close()
  const files = readdirSync(server.config.filesDir)
    .toSorted()
    .map((id) => ({ id, size: statSync(join(server.config.filesDir, id)).size }))
  return { rows, files }
}

describe("fifty uploads at once", () => {
  it.live("some of which are cut off, leave exactly the files that were answered with 200", () =>
    Effect.gen(function* () {
      const quota = 60 * MEGABYTE
      const server = yield* startServer({
        claudeBin: Option.some(scriptedClaude),
        maxFilesBytesPerToken: quota,
      })
      const token = yield* server.mint("recipes")
      const plans = yield* Effect.all(
        Array.from({ length: UPLOADS }, (_, n) =>
          Effect.map(Effect.all([Random.nextBoolean, Random.next]), ([breaksOff, share]) => ({
            // Each has its own size, which identifies it.
            size: MEGABYTE + n,
            share: breaksOff ? share : undefined,
          })),
        ),
      ).pipe(Effect.withRandom(Random.make("fifty uploads")))
      const answers = yield* Effect.all(
        plans.map(({ size, share }) => upload(server, token, size, share)),
        { concurrency: "unbounded" },
      )
      const whole = plans.filter(({ share }) => share === undefined).map(({ size }) => size)
      expect(whole.length).toBeGreaterThan(10)
      expect(whole.length).toBeLessThan(40)
      expect(answers).toEqual(plans.map(({ share }) => (share === undefined ? 200 : "gone")))
      yield* eventually(() => {
        const { files, rows } = kept(server)
        expect(files).toEqual(rows)
        expect(rows.map(({ size }) => size).toSorted((a, b) => a - b)).toEqual(whole)
      })

      // Uploads that were cut off have returned their share of the quota: all of the rest can be used.
      const left = quota - whole.reduce((sum, size) => sum + size, 0)
      const more = Array.from({ length: Math.floor(left / MEGABYTE) + 1 }, () =>
        server.upload(token, fileForm("x".repeat(MEGABYTE))),
      )
      const statuses = (yield* Effect.all(more)).map(({ status }) => status)
      expect(statuses).toEqual([...statuses.slice(1).map(() => 200), 429])
    }).pipe(Effect.scoped),
  )
})
