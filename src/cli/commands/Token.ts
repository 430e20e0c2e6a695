import { Args, Command, Options } from "@effect/cli"
import { Effect } from "effect"
import { TokenName } from "../../domain/Token.ts"
import { client } from "../Connection.ts"
import { reportErrors } from "../ReportErrors.ts"
import { Output } from "../Output.ts"
import * as Table from "../Table.ts"
import { json } from "./Options.ts"

const tokenName = Args.text({ name: "name" }).pipe(
  Args.withSchema(TokenName),
  Args.withDescription("The app's name: a-z, 0-9, _ and -."),
)

const mint = Command.make(
  "mint",
  {
    json,
    cidr: Options.text("cidr").pipe(
      Options.withDescription("Addresses that may use the token, such as 192.168.1.7/32. Can be repeated."),
      Options.repeated,
    ),
    name: tokenName,
  },
  ({ json, cidr, name }) =>
    Effect.gen(function* () {
      const out = yield* Output
      const minted = yield* (yield* client).admin.mintToken({ payload: { name, ip_cidrs: cidr } })
      yield* json ? out.json(minted) : out.line(minted.token)
    }).pipe(reportErrors(json)),
).pipe(Command.withDescription("Mints a token for an app, and prints it. It is shown this one time only."))

const COLUMNS = {
  name: "id",
  ip_cidrs: "id",
  created_at: "time",
  last_used_at: "time",
  revoked_at: "time",
} as const

const list = Command.make("list", { json }, ({ json }) =>
  Effect.gen(function* () {
    const out = yield* Output
    const listed = yield* (yield* client).admin.listTokens()
    yield* json ? out.json(listed) : out.line(Table.of(listed.tokens, COLUMNS))
  }).pipe(reportErrors(json)),
).pipe(Command.withDescription("Lists all tokens, without their secrets."))

const revoke = Command.make("revoke", { json, name: tokenName }, ({ json, name }) =>
  Effect.gen(function* () {
    const out = yield* Output
    const done = yield* (yield* client).admin.revokeToken({ path: { name } })
    yield* json ? out.json(done) : out.line(done.already_revoked ? "was revoked already" : "revoked")
  }).pipe(reportErrors(json)),
).pipe(
  Command.withDescription(
    "Revokes an app's token at once. Its open sessions are closed, and its streams end.",
  ),
)

/** The operator's commands. They need CLAWDFORGE_ADMIN_TOKEN, unless they run on the machine of the service. */
export const token = Command.make("token").pipe(
  Command.withDescription("The tokens of apps. For the operator."),
  Command.withSubcommands([mint, list, revoke]),
)
