import { createServer } from "node:net"
import { HttpClient } from "@effect/platform"
import { Duration, Effect, Option, Schema } from "effect"
import { allowlistOf, isLoopback, canonicalAddress } from "../../services/access/Allowlist.ts"
import { type AppConfig, bindsLoopback } from "../../infra/Config.ts"
import { localUrl } from "../Connection.ts"
import { type Finding, fault, note, ok } from "./Finding.ts"

/** The program that listens has to answer a request within this time. */
const TIMEOUT = Duration.seconds(3)

/** Listens on the address for a moment. Returns the system's error code if that fails, else undefined. */
const listenError = (host: string, port: number): Effect.Effect<string | undefined> =>
  Effect.async((resume) => {
    const server = createServer()
    server.once("error", (error: NodeJS.ErrnoException) => resume(Effect.succeed(error.code ?? "unknown")))
    server.listen({ host, port, exclusive: true }, () =>
      server.close(() => resume(Effect.succeed(undefined))),
    )
    return Effect.sync(() => server.close())
  })

const Health = Schema.parseJson(Schema.Struct({ ok: Schema.Boolean, claude_present: Schema.Boolean }))

/** Whether a clawdforge answers at that URL. */
const isClawdforge = (url: string) =>
  Effect.gen(function* () {
    const client = yield* HttpClient.HttpClient
    const response = yield* client.get(`${url}/healthz`)
    return Option.isSome(Schema.decodeOption(Health)(yield* response.text))
  }).pipe(
    Effect.timeout(TIMEOUT),
    Effect.orElseSucceed(() => false),
  )

/** Checks the address that the service would listen on: free, in use by a clawdforge, or not available. */
export const port = ({ host, port }: AppConfig): Effect.Effect<Finding, never, HttpClient.HttpClient> =>
  Effect.gen(function* () {
    const where = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`
    const error = yield* listenError(host, port)
    switch (error) {
      case undefined:
        return ok("port", `${where} is free`)
      case "EADDRINUSE":
        return (yield* isClawdforge(localUrl(host, port)))
          ? note("port", `a clawdforge already listens on ${where}`)
          : fault(
              "port",
              `${where} is taken by another program`,
              "stop that program, or set BIND_PORT to another port",
            )
      case "EACCES":
        return fault(
          "port",
          `this user may not listen on ${where}`,
          "set BIND_PORT to a port of 1024 or above",
        )
      case "EADDRNOTAVAIL":
      case "ENOTFOUND":
        return fault(
          "port",
          `${host} is no address of this machine`,
          "set BIND_HOST to an address of this machine, or to 0.0.0.0",
        )
      default:
        return fault("port", `cannot listen on ${where}: ${error}`, "check BIND_HOST and BIND_PORT")
    }
  })

/** Checks that the allowlist admits anyone, and the address `from` if it is given. */
export const allowlist = (config: AppConfig, from: Option.Option<string>): ReadonlyArray<Finding> => {
  const { allowCidrs, host } = config
  const admitted = allowCidrs.length === 0 ? "only this host" : `this host, ${allowCidrs.join(", ")}`
  const finding =
    !bindsLoopback(host) && allowCidrs.length === 0
      ? fault(
          "allowlist",
          `the service listens on ${host}, but admits nobody but this host`,
          "set ALLOW_CIDRS to the addresses of your apps, such as 192.168.0.0/16",
        )
      : ok("allowlist", admitted)
  return [finding, ...Option.toArray(Option.map(from, (address) => checkCaller(address, config)))]
}

/** Checks that the operator has a token. Only a service on loopback generates one by itself. */
export const adminToken = ({ adminToken, host }: AppConfig): Finding =>
  Option.isSome(adminToken) || bindsLoopback(host)
    ? ok(
        "admin",
        Option.isSome(adminToken)
          ? "ADMIN_BOOTSTRAP_TOKEN is set"
          : "the service generates a token and keeps it in DATA_DIR/admin-token",
      )
    : note(
        "admin",
        `without ADMIN_BOOTSTRAP_TOKEN nobody can mint tokens on ${host}, and without a token the service does not start`,
        "set it to a secret of at least 32 characters",
      )

const checkCaller = (address: string, { allowCidrs, host }: AppConfig): Finding => {
  const spelling = canonicalAddress(address)
  if (spelling === undefined)
    return fault("caller", `${address} is no IP address`, "give an address such as 192.168.1.7")
  if (isLoopback(spelling)) return ok("caller", `${spelling} is this host, which is always admitted`)
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
        `${spelling} is admitted, but the service listens on ${host} only`,
        "set BIND_HOST=0.0.0.0",
      )
    : ok("caller", `${spelling} is admitted`)
}
