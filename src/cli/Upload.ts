import { openAsBlob } from "node:fs"
import { basename } from "node:path"
import { Effect, Option } from "effect"
import type { ForgeMethods } from "../client/ForgeClient.ts"
import { definedOptions } from "./DefinedOptions.ts"

/** Sends a file, read from the disk as it goes out. */
export const upload = (
  forge: ForgeMethods,
  file: {
    readonly path: string
    readonly ttlSecs: Option.Option<number>
    readonly key: Option.Option<string>
  },
) =>
  Effect.gen(function* () {
    const blob = yield* Effect.tryPromise({
      try: () => openAsBlob(file.path),
      catch: () => new Error(`${file.path} cannot be read`),
    })
    const form = new FormData()
    if (Option.isSome(file.ttlSecs)) form.set("ttl_secs", String(file.ttlSecs.value))
    form.set("file", blob, basename(file.path))
    return yield* forge.files.upload({
      payload: form,
      headers: definedOptions({ "idempotency-key": file.key }),
    })
  })

/** Sends files that a prompt is about; returns what its `files` takes. */
export const attach = (
  forge: ForgeMethods,
  { file, key }: { readonly file: ReadonlyArray<string>; readonly key: Option.Option<string> },
) =>
  Effect.if(Option.isSome(key) && file.length > 0, {
    // Each upload gets another token, and a request with another token is another request.
    onTrue: () => Effect.fail(new Error("--key cannot go with --file")),
    onFalse: () => uploaded(forge, file),
  })

const uploaded = (forge: ForgeMethods, paths: ReadonlyArray<string>) =>
  Effect.forEach(paths, (path) =>
    Effect.map(
      upload(forge, { path, ttlSecs: Option.none(), key: Option.none() }),
      ({ file_token }) => file_token,
    ),
  )
