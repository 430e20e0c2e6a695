import { Busboy, type BusboyFileStream } from "@fastify/busboy"
import { Effect, Stream } from "effect"
import { BodyNotForm } from "../../http/HttpFailure.ts"
import type { FormPart } from "../../http/RequestBody.ts"

const LIMITS = { fieldNameSize: 100, fieldSize: 1024, parts: 16, headerPairs: 32 }

/**
 * The parts of a `multipart/form-data` body, with its files' bytes as they arrive. Fails with `BodyNotForm`.
 *
 * The framework's own reader is not used: it spins forever on a body that ends inside a file, and supports no file names
 * beyond Latin-1.
 */
export const formParts = <E, R>(
  contentType: string,
  body: Stream.Stream<Uint8Array, E, R>,
): Stream.Stream<FormPart, E | BodyNotForm, R> =>
  Stream.unwrapScoped(
    Effect.map(
      Effect.acquireRelease(makeParser(contentType), (parser) => parser.close),
      (parser) =>
        Stream.concat(
          Stream.mapConcatEffect(body, parser.write),
          Stream.mapConcatEffect(Stream.make(undefined), () => parser.end),
        ),
    ),
  )

/** A parser that returns the parts of each chunk before it takes the next chunk. */
const makeParser = (contentType: string) =>
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
      let parts: Array<FormPart> = []
      let isBroken = false
      let isFinished = false
      let settle = noop
      const fail = () => {
        isBroken = true
        settle()
      }
      const open = (name: string, file: BusboyFileStream, filename: string) => {
        parts.push({ _tag: "FileStart", name, filename })
        file.on("data", (bytes: Uint8Array) => parts.push({ _tag: "FileBytes", bytes })).on("error", fail)
      }
      busboy
        .on("file", (name, file, filename) => open(name, file, filename))
        .on("field", (name, value) => parts.push({ _tag: "Field", name, value }))
        .on("partsLimit", fail)
        .on("error", fail)
        .on("finish", () => {
          isFinished = true
          settle()
        })

      /**
       * Runs a step of busboy and returns the parts that it finds. A step calls `done`, or finishes busboy; after some
       * broken forms it does neither. All its effects happen before the event loop turns, so a step that has not ended
       * by then never ends: it fails.
       */
      const partsOf = (step: (done: () => void) => void) =>
        Effect.async<ReadonlyArray<FormPart>, BodyNotForm>((resume) => {
          const failStuck = setImmediate(fail)
          settle = () => {
            settle = noop
            clearImmediate(failStuck)
            const found = parts
            parts = []
            resume(isBroken ? new BodyNotForm() : Effect.succeed(found))
          }
          if (isBroken || isFinished) settle()
          else step(() => settle())
        })

      return {
        write: (chunk: Uint8Array) => partsOf((done) => busboy.write(chunk, done)),
        end: partsOf(() => busboy.end()),
        close: Effect.sync(() => {
          busboy.removeAllListeners().on("error", () => {})
          busboy.destroy()
        }),
      }
    }),
  )

const noop = () => {}

/** A part with a file name is a file, whatever its type. */
const isPartAFile = (_: string | undefined, __: string | undefined, filename: string | undefined): boolean =>
  filename !== undefined
