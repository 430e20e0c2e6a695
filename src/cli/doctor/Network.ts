import { createServer } from "node:net"
import { HttpClient } from "@effect/platform"
import { Duration, Effect, Option, Schema } from "effect"
import { allowlistOf, isLoopback, spellingOf } from "../../services/access/Allowlist.ts"
import { type AppConfig, bindsLoopback } from "../../infra/Config.ts"
import { type Finding, fault, note, ok } from "./Finding.ts"

/** What whoever listens may take to say who it is. */
const PATIENCE = Duration.seconds(3)

/** Takes the address and gives it back; the system's word for why it cannot, if so. */
const bound = (host: string, port: number): Effect.Effect<string | undefined> =>
  Effect.async((resume) => {
    const server = createServer()
    server.once("error", (error: NodeJS.ErrnoException) => resume(Effect.succeed(error.code ?? "unknown")))
    server.listen({ host, port, exclusive: true }, () =>
      server.close(() => resume(Effect.succeed(undefined))),
    )
    return Effect.sync(() => server.close())
  })

const Health = Schema.parseJson(Schema.Struct({ ok: Schema.Boolean, claude_present: Schema.Boolean }))

/** Whether what answers there is a clawdforge. */
const isOurs = (url: string) =>
  Effect.gen(function* () {
    const client = yield* HttpClient.HttpClient
    const response = yield* client.get(`${url}/healthz`)
    return Option.isSome(Schema.decodeOption(Health)(yield* response.text))
  }).pipe(
    Effect.timeout(PATIENCE),
    Effect.orElseSucceed(() => false),
  )

/** The address that the service would listen on: free, its own already, or somebody else's. */
export const port = ({ host, port }: AppConfig): Effect.Effect<Finding, never, HttpClient.HttpClient> =>
  Effect.gen(function* () {
    const where = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`
    const refused = yield* bound(host, port)
    switch (refused) {
      case undefined:
        return ok("port", `${where} is free`)
      case "EADDRINUSE":
        return (yield* isOurs(`http://${reachable(where)}`))
          ? note("port", `a clawdforge listens on ${where} already`)
          : fault(
              "port",
              `${where} is taken by another program`,
              "end that program, or set BIND_PORT to another port",
            )
      case "EACCES":
        return fault("port", `${where} is not for this user`, "set BIND_PORT to a port of 1024 or above")
      case "EADDRNOTAVAIL":
      case "ENOTFOUND":
        return fault("port", `${host} is no address of this machine`, "set BIND_HOST to one, or to 0.0.0.0")
      default:
        return fault("port", `cannot listen on ${where}: ${refused}`, "see BIND_HOST and BIND_PORT")
    }
  })

/** Who listens everywhere can be asked here. */
const reachable = (where: string): string =>
  where.replace(/^0\.0\.0\.0:/, "127.0.0.1:").replace(/^\[::\]:/, "[::1]:")

/** Whom the allowlist lets in: as a whole, and the address that is asked about. */
export const allowlist = (config: AppConfig, from: Option.Option<string>): ReadonlyArray<Finding> => {
  const { allowCidrs, host } = config
  const beyond = !bindsLoopback(host)
  const list = allowCidrs.length === 0 ? "only this host" : `this host, ${allowCidrs.join(", ")}`
  const whole =
    beyond && allowCidrs.length === 0
      ? fault(
          "allowlist",
          `the service listens on ${host}, and lets in nobody but this host`,
          "set ALLOW_CIDRS to the addresses of your apps, such as 192.168.0.0/16",
        )
      : ok("allowlist", list)
  return [whole, ...Option.toArray(Option.map(from, (address) => admitted(address, config)))]
}

/** The operator's token: beyond loopback there is none unless it is set. */
export const adminToken = ({ adminToken, host }: AppConfig): Finding =>
  Option.isSome(adminToken) || bindsLoopback(host)
    ? ok(
        "admin",
        Option.isSome(adminToken)
          ? "ADMIN_BOOTSTRAP_TOKEN is set"
          : "is made and kept in DATA_DIR/admin-token",
      )
    : note(
        "admin",
        `without ADMIN_BOOTSTRAP_TOKEN nobody can mint tokens on ${host}, and without a token the service does not start`,
        "set it to a secret of at least 32 characters",
      )

const admitted = (address: string, { allowCidrs, host }: AppConfig): Finding => {
  const spelling = spellingOf(address)
  if (spelling === undefined)
    return fault("caller", `${address} is no IP address`, "give one, such as 192.168.1.7")
  if (isLoopback(spelling)) return ok("caller", `${spelling} is this host, which is always let in`)
  if (!allowlistOf(allowCidrs).has(spelling)) {
    return fault(
      "caller",
      `${spelling} is not in the allowlist: it gets 403 ip_not_allowed`,
      `add it to ALLOW_CIDRS: ${[...allowCidrs, `${spelling}/${spelling.includes(":") ? 128 : 32}`].join(",")}`,
    )
  }
  return bindsLoopback(host)
    ? fault(
        "caller",
        `${spelling} is let in, but the service listens on ${host} only`,
        "set BIND_HOST=0.0.0.0",
      )
    : ok("caller", `${spelling} is let in`)
}
