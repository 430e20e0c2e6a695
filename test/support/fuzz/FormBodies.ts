import { FastCheck as fc } from "effect"
import type { Piece, Pieces } from "./Bytes.ts"
import type { JsonSchema } from "./Routes.ts"
import { texts } from "./Values.ts"

/** Forms: good ones, and ones that end too early, have the wrong boundary, or parts that nobody asked for. */

export const BOUNDARY = "a-boundary"

/** A file larger than the fuzzed service takes. */
const TOO_LARGE = 1_100_000

const content = fc.oneof(
  fc.constantFrom<Piece>(
    "",
    "two cups",
    "60",
    "86401",
    "-1",
    "6e1",
    " 60",
    "٦٠",
    `\r\n--${BOUNDARY}`,
    `\r\n--${BOUNDARY}--`,
    `--${BOUNDARY}--\r\n`,
    { hex: "0d0a2d2d00ff" },
    { repeat: "\r\n--", times: 2000 },
    { repeat: "6", times: 5000 },
    { repeat: "x", times: 70_000 },
    { repeat: "x", times: TOO_LARGE },
  ),
  fc.uint8Array({ maxLength: 300 }).map((bytes): Piece => ({ hex: Buffer.from(bytes).toString("hex") })),
)

const fileNames = fc.constantFrom(
  'filename="a.txt"',
  'filename=""',
  "filename=a.txt",
  'filename="../../etc/passwd"',
  'filename="a\u0000b"',
  'filename="\u202Etxt.exe"',
  'filename="a\\"b\\\\"',
  'filename="unclosed',
  "filename*=UTF-8''na%C3%AFve%zz",
  "filename*=x-nothing''%ff",
  `filename="${"n".repeat(3000)}"`,
  'filename="a"; filename="b"',
)

const extraHeaders = fc.constantFrom<Piece>(
  "",
  "",
  "",
  "Content-Type: text/plain\r\n",
  "Content-Type: multipart/mixed; boundary=inner\r\n",
  "Content-Transfer-Encoding: base64\r\n",
  "Content-Type: text/plain; charset=utf-7\r\n",
  "content-disposition: form-data; name=again\r\n",
  "No colon\r\n",
  ": no name\r\n",
  { repeat: "X: y\r\n", times: 500 },
  { repeat: "x", times: 20_000 },
)

const part = (names: ReadonlyArray<string>): fc.Arbitrary<Pieces> =>
  fc
    .tuple(
      fc.oneof(
        fc.constantFrom(...names),
        fc.constantFrom("", "__proto__", "constructor", "file\u0000", "n".repeat(200)),
      ),
      fc.option(fileNames, { nil: "" }),
      extraHeaders,
      content,
      fc.constantFrom("form-data", "form-data", "form-data", "form-data", "attachment", ""),
    )
    .map(([name, fileName, headers, content, disposition]) => [
      `--${BOUNDARY}\r\nContent-Disposition: ${disposition}; name="${name}"${fileName && "; "}${fileName}\r\n`,
      headers,
      "\r\n",
      content,
      "\r\n",
    ])

const field = (ttl: number | undefined) =>
  ttl === undefined
    ? ""
    : `--${BOUNDARY}\r\nContent-Disposition: form-data; name="ttl_secs"\r\n\r\n${ttl}\r\n`

/** What a client sends that does it right. */
const good = fc
  .tuple(texts, fc.option(fc.integer({ min: 60, max: 86_400 }), { nil: undefined }))
  .map(
    ([text, ttl]): Pieces => [
      field(ttl),
      `--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n`,
      text,
      `\r\n--${BOUNDARY}--\r\n`,
    ],
  )

const strange = fc.constantFrom<Pieces>(
  [""],
  ["\r\n"],
  [`--${BOUNDARY}--`],
  [`--${BOUNDARY}`],
  [`--${BOUNDARY}\r\n\r\n`],
  [`--another\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n--another--\r\n`],
  [`--${BOUNDARY}\nContent-Disposition: form-data; name="file"; filename="a"\n\nx\n--${BOUNDARY}--\n`],
  [{ repeat: `--${BOUNDARY}\r\n\r\n\r\n`, times: 1000 }],
  [{ repeat: `--${BOUNDARY}\r\nContent-Disposition: form-data; name="f"\r\n\r\nx\r\n`, times: 1000 }],
  [{ repeat: "-", times: 100_000 }],
  ['{"file":"x"}'],
)

const ending = fc.constantFrom(
  `--${BOUNDARY}--\r\n`,
  `--${BOUNDARY}--\r\n`,
  `--${BOUNDARY}--`,
  `--${BOUNDARY}--\r\ntrailing`,
  `--${BOUNDARY}`,
  "",
)

export const formBody = (schema: JsonSchema): fc.Arbitrary<Pieces> => {
  const names = Object.keys(schema.properties ?? {})
  return fc.oneof(
    { weight: 4, arbitrary: good },
    {
      weight: 6,
      arbitrary: fc
        .tuple(fc.array(part(["file", ...names]), { maxLength: 4 }), ending)
        .map(([parts, ending]): Pieces => parts.flat().concat(ending)),
    },
    { weight: 2, arbitrary: strange },
  )
}

export const formTypes = fc.constantFrom(
  ...Array.from({ length: 12 }, () => `multipart/form-data; boundary=${BOUNDARY}`),
  `multipart/form-data; boundary="${BOUNDARY}"`,
  `Multipart/Form-Data;BOUNDARY=${BOUNDARY}`,
  "multipart/form-data; boundary=another",
  "multipart/form-data",
  "multipart/form-data; boundary=",
  'multipart/form-data; boundary=""',
  `multipart/form-data; boundary=${"b".repeat(5000)}`,
  `multipart/form-data; charset=utf-7; boundary=${BOUNDARY}; boundary=b`,
  `multipart/mixed; boundary=${BOUNDARY}`,
)
