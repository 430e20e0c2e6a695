import { HttpServer } from "@effect/platform"
import { Console, Effect, Layer, Option, Redacted } from "effect"
import { AdminToken } from "./AdminToken.ts"

/**
 * Says that the service listens, and what to do next. Only a terminal is shown the token itself: what goes to a
 * log file names the file that holds it.
 */
export const layer = (isTerminal: boolean) =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const server = yield* HttpServer.HttpServer
      const admin = yield* AdminToken
      const url = urlOf(server.address)
      if (!isTerminal) {
        return yield* Effect.logInfo("listening").pipe(
          Effect.annotateLogs({ url, admin_token_file: Option.getOrNull(admin.file) }),
        )
      }
      yield* Console.log(`\nclawdforge listens on ${url}\n`)
      if (Option.isNone(admin.file) || Option.isNone(admin.token)) return
      yield* Console.log(
        [
          `The admin token is kept in ${admin.file.value}. Mint a token for an app:`,
          "",
          `  curl -s ${url}/admin/tokens -H 'Authorization: Bearer ${Redacted.value(admin.token.value)}' \\`,
          `    -H 'Content-Type: application/json' -d '{"name":"my-app"}'`,
          "",
          "and ask with it:",
          "",
          `  curl -s ${url}/run -H 'Authorization: Bearer cf_…' \\`,
          `    -H 'Content-Type: application/json' -d '{"prompt":"Say hello in five words."}'`,
          "",
        ].join("\n"),
      )
    }),
  )

/** The framework writes an IPv6 host without its brackets. */
const urlOf = (address: HttpServer.Address): string =>
  address._tag === "TcpAddress" && address.hostname.includes(":")
    ? `http://[${address.hostname}]:${address.port}`
    : HttpServer.formatAddress(address)
