import { resolve } from "node:path"
import { HttpServer } from "@effect/platform"
import { Console, Effect, Layer, Option } from "effect"
import { AdminToken } from "./AdminToken.ts"

/** Says that the service listens, and what to do next. It names the file of the admin token, and never shows the token. */
export const layer = (isTerminal: boolean) =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const server = yield* HttpServer.HttpServer
      const admin = yield* AdminToken
      const url = urlOf(server.address)
      const generated = Option.map(admin.file, (path) => {
        // The curl may be pasted in another directory than the service's.
        const file = resolve(path)
        return { admin_token_file: file, mint_a_token: mintCurl(url, `$(cat '${file}')`) }
      })
      if (!isTerminal) {
        return yield* Effect.annotateLogs(Effect.logInfo("listening"), {
          url,
          ...Option.getOrUndefined(generated),
        })
      }
      yield* Console.log(`\nclawdforge listens on ${url}\n`)
      if (Option.isSome(generated)) yield* Console.log(welcome(url, generated.value))
    }),
  )

const mintCurl = (url: string, bearer: string): string =>
  `curl -s ${url}/admin/tokens -H "Authorization: Bearer ${bearer}" -H 'Content-Type: application/json' -d '{"name":"my-app"}'`

const welcome = (
  url: string,
  admin: { readonly admin_token_file: string; readonly mint_a_token: string },
): string =>
  `The admin token is in ${admin.admin_token_file}. Mint a token for an app:

  ${admin.mint_a_token}

and ask with it (after a login: npm run claude -- /login):

  curl -s ${url}/run -H "Authorization: Bearer cf_…" -H 'Content-Type: application/json' -d '{"prompt":"Say hello in five words."}'
`

/** The framework writes an IPv6 host without its brackets. */
const urlOf = (address: HttpServer.Address): string =>
  address._tag === "TcpAddress" && address.hostname.includes(":")
    ? `http://[${address.hostname}]:${address.port}`
    : HttpServer.formatAddress(address)
