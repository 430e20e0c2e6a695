import { Busboy, type BusboyFileStream } from "@fastify/busboy"
import { Effect, Stream } from "effect"
import { BodyNotForm } from "../../http/HttpFailure.ts"
import type { FormPart } from "../../http/RequestBody.ts"

const LIMITS = { fieldNameSize: 100, fieldSize: 1024, parts: 16, headerPairs: 32 }

/**
 * The parts of a `multipart/form-data` body, its files' bytes as they come.
 *
 * Not the framework's own reader: that spins for ever on a body that ends inside a file, and does not know file
 * names beyond Latin-1.
 */
export const formParts = <E, R>(
  contentType: string,
  body: Stream.Stream<Uint8Array, E, R>,
): Stream.Stream<FormPart, E | BodyNotForm, R> =>
  Stream.unwrapScoped(
    Effect.map(
      Effect.acquireRelease(parserOf(contentType), (parser) => parser.close),
      (parser) =>
        Stream.concat(
          Stream.mapConcatEffect(body, parser.write),
          Stream.mapConcatEffect(Stream.make(undefined), () => parser.end),
        ),
    ),
  )

/** A parser that gives out what it found in each chunk before it takes the next. */
const parserOf = (contentType: string) =>
  Effect.try({
    try: () =>
      new Busboy({
        headers: { "content-type": contentType },
        limits: LIMITS,
        preservePath: true,
        isPartAFile,
      }),
    catch: () => new BodyNotForm(),
  }).pipe(
    Effect.map((busboy) => {
      let found: Array<FormPart> = []
      let broken = false
      let finished = false
      let settled = idle
      const fail = () => {
        broken = true
        settled()
      }
      const open = (name: string, file: BusboyFileStream, filename: string) => {
        found.push({ _tag: "FileStart", name, filename })
        file.on("data", (bytes: Uint8Array) => found.push({ _tag: "FileBytes", bytes })).on("error", fail)
      }
      busboy
        .on("file", (name, file, filename) => open(name, file, filename))
        .on("field", (name, value) => found.push({ _tag: "Field", name, value }))
        .on("partsLimit", fail)
        .on("error", fail)
        .on("finish", () => {
          finished = true
          settled()
        })

      /**
       * What is found by an act that calls back, or ends the parser. After some broken forms it does neither. What it
       * does, it does before the event loop turns: if nothing has come of it by then, nothing will.
       */
      const findings = (act: (done: () => void) => void) =>
        Effect.async<ReadonlyArray<FormPart>, BodyNotForm>((resume) => {
          const stuck = setImmediate(fail)
          settled = () => {
            settled = idle
            clearImmediate(stuck)
            const taken = found
            found = []
            resume(broken ? new BodyNotForm() : Effect.succeed(taken))
          }
          if (broken || finished) settled()
          else act(() => settled())
        })

      return {
        write: (chunk: Uint8Array) => findings((done) => busboy.write(chunk, done)),
        end: findings(() => busboy.end()),
        close: Effect.sync(() => {
          busboy.removeAllListeners().on("error", () => {})
          busboy.destroy()
        }),
      }
    }),
  )

const idle = () => {}

/** A part with a file name is a file, whatever its type. */
const isPartAFile = (_: string | undefined, __: string | undefined, filename: string | undefined): boolean =>
  filename !== undefined
