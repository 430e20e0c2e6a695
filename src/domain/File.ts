import { Schema } from "effect"
import { expected } from "./Failure.ts"
import { FileId, TokenId } from "./Ids.ts"

const FILE_TTL_MIN_SECS = 60
const FILE_TTL_MAX_SECS = 86_400
export const FILE_TTL_DEFAULT_SECS = 3600

export const FILE_TTL_EXPECTED = `must be a whole number of seconds from ${FILE_TTL_MIN_SECS} to ${FILE_TTL_MAX_SECS}`

/** How long an upload is kept, in seconds. */
export const FileTtlSecs = Schema.Int.pipe(
  Schema.between(FILE_TTL_MIN_SECS, FILE_TTL_MAX_SECS),
  Schema.annotations({
    message: expected(FILE_TTL_EXPECTED),
    description: "Seconds the file is kept; by default 3600.",
    examples: [3600],
  }),
)

/** An uploaded file as the ledger knows it. Its `ff_…` token is stored as a hash only. */
export const StoredFile = Schema.Struct({
  id: FileId,
  tokenId: TokenId,
  /** The app's own name for it. It is data: shown to the model, never a path. */
  name: Schema.String,
  size: Schema.Number,
  createdAt: Schema.Number,
  expiresAt: Schema.Number,
})
export type StoredFile = typeof StoredFile.Type

/**
 * The answer to an upload, as it is stored for the same request sent again. It is the one place where the token is kept
 * as it is, not as a hash, for as long as the key: an app that never received the token could not use its file.
 */
export const UploadAnswer = Schema.Struct({
  token: Schema.Redacted(Schema.String),
  size: Schema.Number,
  ttlSecs: Schema.Number,
})
export type UploadAnswer = typeof UploadAnswer.Type

/** A file in a run's directory. */
export interface AttachedFile {
  readonly path: string
  readonly name: string
}

/**
 * Returns a safe name for the copy that an agent reads. It keeps the extension only, which tells the agent's Read tool
 * whether it reads an image or a PDF.
 */
export const attachmentName = (index: number, name: string): string => {
  const extension = /\.([A-Za-z0-9]{1,10})$/.exec(name)?.[1]
  return extension === undefined ? `file-${index}` : `file-${index}.${extension.toLowerCase()}`
}

const SHOWN_NAME_MAX_CHARS = 100

/** Returns the last part of a client's file name, without characters that break a line or reverse the text. */
const shownName = (name: string): string =>
  (name.split(/[/\\]/).at(-1) ?? "")
    .replace(/[\p{C}\p{Zl}\p{Zp}"]/gu, "")
    .trim()
    .slice(0, SHOWN_NAME_MAX_CHARS)
    .toWellFormed()

/** Returns the prompt, preceded by a list of the attached files. */
export const withAttachments = (prompt: string, files: ReadonlyArray<AttachedFile>): string => {
  if (files.length === 0) return prompt
  const lines = files.map(({ path, name }) => {
    const shown = shownName(name)
    return shown === "" ? `- ${path}` : `- ${path} (uploaded as "${shown}")`
  })
  return `[Attached files]\n${lines.join("\n")}\n\n${prompt}`
}
