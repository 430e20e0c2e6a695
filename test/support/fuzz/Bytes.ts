/** What goes over the wire, in a form that is short to print: repetitions are not written out. */
export type Piece = string | { readonly repeat: string; readonly times: number } | { readonly hex: string }

export type Pieces = ReadonlyArray<Piece>

/** Text is sent as UTF-8. */
export const bytesOf = (pieces: Pieces): Buffer =>
  Buffer.concat(
    pieces.map((piece) => {
      if (typeof piece === "string") return Buffer.from(piece)
      return "hex" in piece ? Buffer.from(piece.hex, "hex") : Buffer.from(piece.repeat.repeat(piece.times))
    }),
  )

/** Drops all but the first bytes. */
export const cutAfter = (bytes: Buffer, share: number): Buffer =>
  bytes.subarray(0, Math.floor(bytes.length * share))
