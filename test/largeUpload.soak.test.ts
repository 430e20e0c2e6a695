import { once } from "node:events"
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it } from "@effect/vitest"
import { expectWithin } from "./support/Pace.ts"
import { scale } from "./support/Scale.ts"
import { type ServerProcess, startServerProcess } from "./support/ServerProcess.ts"
import { fileForm, scriptedClaude } from "./support/Scripted.ts"

/** Uploads far beyond the limit, to the service as a process of its own: what they cost it. */

const MEBIBYTE = 1024 * 1024
const LIMIT = 10 * MEBIBYTE
/** A loaded machine was seen to take 40 for what it frees late; an upload that is held would take 96 or more. */
const GROWTH_MAX_MEBIBYTES = 64
const MEBIBYTES = scale.uploadMebibytes
const ADMIN_TOKEN = "an-admin-token-for-tests-only-0123456789"

let dataDir: string
let server: ServerProcess
let token: string

beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), "clawdforge-test-"))
  server = await startServerProcess({
    DATA_DIR: dataDir,
    ADMIN_BOOTSTRAP_TOKEN: ADMIN_TOKEN,
    MAX_UPLOAD_BYTES: String(LIMIT),
    CLAUDE_BIN: scriptedClaude,
    ACPX_BIN: scriptedClaude,
  })
  const minted = await fetch(`${server.url}/admin/tokens`, {
    method: "POST",
    headers: { authorization: `Bearer ${ADMIN_TOKEN}`, "content-type": "application/json" },
    body: '{"name":"recipes"}',
  })
  token = ((await minted.json()) as { token: string }).token
})
afterEach(async () => {
  await server.end("SIGKILL")
  rmSync(dataDir, { recursive: true, force: true })
})

const upload = async (bytes: number) => {
  const response = await fetch(`${server.url}/files`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}` },
    body: fileForm(new Uint8Array(bytes)),
  })
  await response.text()
  return response.status
}

/** Bytes of all uploads, whole and half-written. */
const onDisk = () =>
  readdirSync(join(dataDir, "files")).reduce(
    (sum, name) => sum + statSync(join(dataDir, "files", name)).size,
    0,
  )

/** MiB. */
const resident = () =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${server.process.pid}/status`, "utf8"))?.[1]) / 1024

/**
 * The most memory that it took so far. Buffers that are done with are freed some tens of mebibytes at a time, whoever
 * sends how much: smaller uploads show how many.
 */
const watched = () => {
  let most = 0
  const look = () => (most = Math.max(most, resident()))
  const timer = setInterval(look, 20)
  server.process.once("exit", () => clearInterval(timer))
  return look
}

const chunk = (content: Buffer | string) => Buffer.from(`${content.length.toString(16)}\r\n${content}\r\n`)
const BLOCK = chunk(Buffer.alloc(MEBIBYTE, "x"))

/** Begins a chunked upload on a connection; what comes back gathers in `received`. */
const begin = async () => {
  const socket = connect(Number(new URL(server.url).port), "127.0.0.1")
  const answer = { received: "" }
  socket.on("data", (data) => (answer.received += String(data))).on("error", () => {})
  await once(socket, "connect")
  socket.write(
    `POST /files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: multipart/form-data; boundary=b\r\nTransfer-Encoding: chunked\r\n\r\n`,
  )
  socket.write(chunk('--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'))
  return { socket, answer }
}

/** Sends no faster than it is taken; says whether the connection is still there. */
const send = async (socket: Socket, bytes: Buffer): Promise<boolean> => {
  if (socket.destroyed) return false
  if (socket.write(bytes)) return true
  await new Promise<void>((resolve) => {
    const goOn = () => {
      socket.off("drain", goOn).off("close", goOn)
      resolve()
    }
    socket.on("drain", goOn).on("close", goOn)
  })
  return !socket.destroyed
}

/** Sends that much; whether it is refused, and the next request on its connection is answered, if that is still there. */
const tooLarge = async (mebibytes: number): Promise<boolean> => {
  const { socket, answer } = await begin()
  for (let n = 0; n < mebibytes && (await send(socket, BLOCK)); n++);
  socket.write("0\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
  await until(() => socket.closed || /HTTP\/1\.1 413[^]*HTTP\/1\.1 200/.test(answer.received))
  socket.destroy()
  return /^HTTP\/1\.1 413 [^]*"code":"payload_too_large"/.test(answer.received)
}

const until = async (holds: () => boolean) => {
  for (let n = 0; n < 2400 && !holds(); n++) await new Promise((resolve) => setTimeout(resolve, 50))
  expect(holds()).toBe(true)
}

describe(`an upload of ${MEBIBYTES} MiB without a length`, () => {
  it("is 413, and costs neither memory nor disk; its connection can be used, or is closed", async () => {
    const most = watched()
    for (let n = 0; n < 6; n++) {
      expect(await upload(LIMIT - 1000)).toBe(200)
      expect(await tooLarge(MEBIBYTES / 4)).toBe(true)
    }
    const before = { disk: onDisk(), memory: most() }
    expect(await tooLarge(MEBIBYTES)).toBe(true)
    expect(most() - before.memory).toBeLessThan(GROWTH_MAX_MEBIBYTES)
    expect(onDisk()).toBe(before.disk)
    expect(await upload(1000)).toBe(200)
  })

  it("does not keep the service from stopping, before its limit or beyond", async () => {
    for (const mebibytes of [5, 30]) {
      const { socket } = await begin()
      for (let n = 0; n < mebibytes; n++) await send(socket, BLOCK)
    }
    const asked = performance.now()
    expect(await server.end("SIGTERM")).toBe(0)
    await expectWithin(performance.now() - asked, 5000)
    expect(onDisk()).toBe(0)
  })
})
