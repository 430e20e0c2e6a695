import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** Debian's nginx, in front of a service as docs/operating.md says. */

const executable = (): string => {
  const { NGINX_BIN, PATH } = process.env
  // An ordinary user's PATH has no /usr/sbin.
  const found = `${PATH ?? ""}:/usr/sbin`.split(":").map((dir) => join(dir, "nginx"))
  const path = NGINX_BIN ?? found.find((path) => existsSync(path))
  if (path === undefined) throw new Error("no nginx on PATH: install Debian's, or set NGINX_BIN")
  return path
}

const OPERATING = join(import.meta.dirname, "..", "..", "docs", "operating.md")
const UPSTREAM = "http://127.0.0.1:8800"

/** The location in docs/operating.md, for a service that listens elsewhere. */
const documentedLocation = (upstream: string): string => {
  const [, block] = /```nginx\n([\s\S]*?)```/.exec(readFileSync(OPERATING, "utf8")) ?? []
  if (block === undefined || !block.includes(UPSTREAM))
    throw new Error("docs/operating.md has no location for nginx")
  return block.replace(UPSTREAM, upstream)
}

/** What a test may change in the documented configuration. */
export interface Variant {
  readonly location?: (documented: string, upstream: string) => string
  /** Beside the server. */
  readonly http?: (upstream: string) => string
}

/** One process, also as root, that keeps everything in its directory; of what Debian's configuration sets, what matters. */
const configuration = (dir: string, port: number, location: string, http: string) => `
daemon off; master_process off; pid ${dir}/pid; error_log stderr;
events {}
http {
  sendfile on; tcp_nopush on; gzip on; access_log off;
  client_body_temp_path ${dir}/body; proxy_temp_path ${dir}/proxy; fastcgi_temp_path ${dir}/fastcgi;
  uwsgi_temp_path ${dir}/uwsgi; scgi_temp_path ${dir}/scgi;
  ${http}
  server {
    listen 127.0.0.1:${port};
    location = /up { return 200 ${dir}; }
    ${location}
  }
}
`

export interface Nginx {
  readonly url: string
  readonly end: () => Promise<void>
}

/** Starts it and waits until it listens. */
export const startNginx = async (upstream: string, variant: Variant = {}): Promise<Nginx> => {
  const dir = mkdtempSync(join(tmpdir(), "clawdforge-nginx-"))
  const documented = documentedLocation(upstream)
  const location = variant.location?.(documented, upstream) ?? documented
  for (let attempts = 3; ; attempts--) {
    const port = await freePort()
    writeFileSync(join(dir, "nginx.conf"), configuration(dir, port, location, variant.http?.(upstream) ?? ""))
    const child = spawn(executable(), ["-p", dir, "-c", join(dir, "nginx.conf"), "-e", "stderr"], {
      stdio: ["ignore", "ignore", "pipe"],
    })
    let printed = ""
    child.stderr.on("data", (data) => (printed += String(data)))
    const closed = once(child, "close")
    const url = `http://127.0.0.1:${port}`
    if (await isUp(child, `${url}/up`, dir)) {
      const end = async () => {
        child.kill("SIGKILL")
        await closed
        rmSync(dir, { recursive: true, force: true })
      }
      return { url, end }
    }
    await closed
    // Somebody else may have taken the port meanwhile.
    if (attempts === 1 || !printed.includes("bind()")) throw new Error(`nginx ended: ${printed}`)
  }
}

const isUp = async (child: ChildProcess, url: string, name: string): Promise<boolean> => {
  while (child.exitCode === null && child.signalCode === null) {
    const answer = await fetch(url).then(
      (response) => response.text(),
      () => "",
    )
    if (answer === name) return true
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return false
}

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  server.close()
  await once(server, "close")
  if (address === null || typeof address === "string") throw new Error("no port")
  return address.port
}
