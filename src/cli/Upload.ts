import { openAsBlob } from "node:fs"
import { basename } from "node:path"
import { Effect, Option } from "effect"
import type { ForgeMethods } from "../client/ForgeClient.ts"
import { definedOptions } from "./DefinedOptions.ts"

/** Uploads a file. Reads it from the disk piece by piece, while it is sent. */
export const upload = (
  forge: ForgeMethods,
  file: {
    readonly path: string
    /** By default the file's own name. */
    readonly name: Option.Option<string>
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
    form.set(
      "file",
      blob,
      Option.getOrElse(file.name, () => basename(file.path)),
    )
    return yield* forge.files.upload({
      payload: form,
      headers: definedOptions({ "idempotency-key": file.key }),
    })
  })

/** Uploads the files of a prompt, and returns their tokens. Fails if there is also a `--key`. */
export const uploadFiles = (
  forge: ForgeMethods,
  { file, key }: { readonly file: ReadonlyArray<string>; readonly key: Option.Option<string> },
) =>
  Effect.if(Option.isSome(key) && file.length > 0, {
    // Each upload has a new token, so a repeated request would be a different one under the same key.
    onTrue: () => Effect.fail(new Error("--key cannot be used with --file")),
    onFalse: () =>
      Effect.forEach(file, (path) =>
        Effect.map(
          upload(forge, { path, name: Option.none(), ttlSecs: Option.none(), key: Option.none() }),
          ({ file_token }) => file_token,
        ),
      ),
  })
