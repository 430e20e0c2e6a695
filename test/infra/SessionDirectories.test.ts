import { execFile } from "node:child_process"
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { join, relative } from "node:path"
import { promisify } from "node:util"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import type { StorageFailed } from "../../src/domain/Failure.ts"
import type { SessionId } from "../../src/domain/Ids.ts"
import * as SessionDirectories from "../../src/infra/SessionDirectories.ts"
import { SessionDirs } from "../../src/services/sessions/SessionDirs.ts"
import { temporaryDirectory } from "../support/TestServer.ts"

const session = "6fd2c1a4-9f0e-4d5b-8a37-2b1c0d9e8f70" as SessionId
const removal = join(import.meta.dirname, "../support/unprivileged-removal.ts")

/** Session directories under a root that does not exist yet, and next to it a directory that must not change. */
const withDirs = <A, E>(
  test: (dirs: typeof SessionDirs.Service, root: string, outside: string) => Effect.Effect<A, E>,
) =>
  Effect.scoped(
    Effect.gen(function* () {
      const dir = yield* temporaryDirectory
      const [root, outside] = [join(dir, "data", "sessions"), join(dir, "outside")]
      mkdirSync(outside)
      writeFileSync(join(outside, "kept"), "kept")
      return yield* Effect.flatMap(SessionDirs, (dirs) => test(dirs, root, outside)).pipe(
        Effect.provide(SessionDirectories.layer(relative(process.cwd(), root))),
      )
    }),
  )

const modeOf = (path: string) => statSync(path).mode & 0o777

const begun = (what: Effect.Effect<void, StorageFailed>) =>
  Effect.fork(what).pipe(Effect.zipLeft(Effect.yieldNow()), Effect.flatMap(Fiber.interrupt))

describe("what claude leaves in its home of a session", () => {
  const [first, second] = ["12", "34"].map((end) => session.replace(/..$/, end)) as [SessionId, SessionId]
  const conversation = "0a1b2c3d-9f0e-4d5b-8a37-2b1c0d9e8f70"

  it.live("is removed with the session's directory, as far as it is empty, and nothing else is", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const dir = yield* temporaryDirectory
        const root = join(dir, "data_1", "sessions")
        const home = join(dir, "claude")
        const projectOf = (id: string, of = root) =>
          join(home, "projects", `${of.replace(/[^a-zA-Z0-9]/g, "-")}-${id}`)
        const projects = () => readdirSync(join(home, "projects")).map((name) => join(home, "projects", name))
        for (const id of [session, first, second]) mkdirSync(projectOf(id), { recursive: true })
        // A session with a transcript, of which the conversation has an environment; and what is not the service's.
        const transcript = join(projectOf(second), `${conversation}.jsonl`)
        writeFileSync(transcript, "said")
        const environments = [conversation, first].map((id) => join(home, "session-env", id))
        for (const environment of environments) mkdirSync(environment, { recursive: true })
        const others = [projectOf(session, "/elsewhere"), projectOf("notes")]
        for (const other of others) mkdirSync(other)

        yield* Effect.gen(function* () {
          const dirs = yield* SessionDirs
          yield* dirs.make(first)
          expect((yield* dirs.list).toSorted()).toEqual([first, session].toSorted())
          for (const id of [session, first, second]) yield* dirs.remove(id)
          expect(yield* dirs.list).toEqual([])
          expect(projects().toSorted()).toEqual([...others, projectOf(second)].toSorted())
          expect(environments.map((environment) => existsSync(environment))).toEqual([false, true])
          rmSync(transcript)
          expect(yield* dirs.list).toEqual([second])
          yield* dirs.remove(second)
          expect(projects().toSorted()).toEqual(others.toSorted())
        }).pipe(Effect.provide(SessionDirectories.layer(root, { CLAUDE_CONFIG_DIR: home })))
      }),
    ),
  )
})

describe("the directory of a session", () => {
  it.effect("is private, and exists until it is removed", () =>
    withDirs((dirs, root) =>
      Effect.gen(function* () {
        expect(dirs.of(session)).toBe(join(root, session))
        expect(existsSync(dirs.of(session))).toBe(false)
        yield* dirs.make(session)
        writeFileSync(join(dirs.of(session), "notes.txt"), "notes")
        yield* dirs.make(session)
        expect([modeOf(root), modeOf(dirs.of(session))]).toEqual([0o700, 0o700])
        expect(readdirSync(dirs.of(session))).toEqual(["notes.txt"])
        yield* dirs.remove(session)
        yield* dirs.remove(session)
        expect(readdirSync(root)).toEqual([])
      }),
    ),
  )

  it.effect("is listed after a restart; other entries are left alone", () =>
    withDirs((dirs, root, outside) =>
      Effect.gen(function* () {
        yield* dirs.make(session)
        mkdirSync(join(root, "lost+found"))
        writeFileSync(join(root, session.replace("6", "7")), "")
        symlinkSync(outside, join(root, session.replace("6", "8")))
        const listed = yield* Effect.flatMap(SessionDirs, ({ list }) => list).pipe(
          Effect.provide(SessionDirectories.layer(root)),
        )
        expect(listed).toEqual([session])
        expect(readdirSync(root)).toHaveLength(4)
      }),
    ),
  )

  it.effect("fails when it cannot be made or listed", () =>
    withDirs((dirs, root) =>
      Effect.gen(function* () {
        rmSync(root, { recursive: true })
        const failures: ReadonlyArray<StorageFailed> = yield* Effect.all([
          Effect.flip(dirs.make(session)),
          Effect.flip(dirs.forFiles(session, 1)),
          Effect.flip(dirs.list),
        ])
        expect(failures.map(({ _tag }) => _tag)).toEqual(["StorageFailed", "StorageFailed", "StorageFailed"])
        writeFileSync(root, "")
        const failure = yield* Effect.flip(
          Effect.scoped(Effect.provide(Effect.void, SessionDirectories.layer(root))),
        )
        expect(failure).toMatchObject({ during: "making the directory of all sessions" })
      }),
    ),
  )

  it.effect("gets a new directory for the files of each turn, whatever the agent has put there", () =>
    withDirs((dirs, _, outside) =>
      Effect.gen(function* () {
        yield* dirs.make(session)
        const dir = dirs.of(session)
        expect(yield* dirs.forFiles(session, 1)).toBe(join(dir, "attached-1"))
        expect(modeOf(join(dir, "attached-1"))).toBe(0o700)
        symlinkSync(outside, join(dir, "attached-2"))
        symlinkSync(join(outside, "new"), join(dir, "attached-3"))
        writeFileSync(join(dir, "attached-4"), "")
        mkdirSync(join(dir, "attached-5"), { mode: 0o777 })
        for (const turn of [2, 3, 4, 5]) {
          const made = yield* dirs.forFiles(session, turn)
          expect(made.startsWith(join(dir, `attached-${turn}-`))).toBe(true)
          expect([modeOf(made), readdirSync(made)]).toEqual([0o700, []])
        }
        expect(readdirSync(outside)).toEqual(["kept"])
      }),
    ),
  )

  it.effect("is made again when the agent has removed it or replaced it by a link", () =>
    withDirs((dirs, _, outside) =>
      Effect.gen(function* () {
        yield* dirs.make(session)
        rmSync(dirs.of(session), { recursive: true })
        expect(readdirSync(yield* dirs.forFiles(session, 1))).toEqual([])
        rmSync(dirs.of(session), { recursive: true })
        symlinkSync(outside, dirs.of(session))
        expect(readdirSync(yield* dirs.forFiles(session, 2))).toEqual([])
        expect(readdirSync(outside)).toEqual(["kept"])
      }),
    ),
  )

  it.effect("is removed without the targets of its links", () =>
    withDirs((dirs, root, outside) =>
      Effect.gen(function* () {
        yield* dirs.make(session)
        symlinkSync(outside, join(dirs.of(session), "link"))
        symlinkSync(join(outside, "kept"), join(dirs.of(session), "file"))
        yield* dirs.remove(session)
        symlinkSync(outside, dirs.of(session))
        yield* dirs.remove(session)
        expect(readdirSync(root)).toEqual([])
        expect(readFileSync(join(outside, "kept"), "utf8")).toBe("kept")
      }),
    ),
  )

  it.live("is removed although the agent has taken away the permission to do so", () =>
    withDirs((dirs, root, outside) =>
      Effect.gen(function* () {
        yield* dirs.make(session)
        const dir = dirs.of(session)
        const deep = join(dir, "a", "b", "c")
        mkdirSync(deep, { recursive: true })
        writeFileSync(join(deep, "file"), "")
        symlinkSync(outside, join(deep, "link"))
        const tree = [dir, join(dir, "a"), join(dir, "a", "b"), deep]
        if (process.getuid?.() === 0) {
          for (const path of [join(root, "../.."), join(root, ".."), root]) chmodSync(path, 0o777)
          for (const path of [...tree, join(deep, "file")]) chownSync(path, 65_534, 65_534)
        }
        for (const path of tree.toReversed()) chmodSync(path, 0o500)
        chmodSync(deep, 0)
        chmodSync(outside, 0o500)
        yield* Effect.promise(() => promisify(execFile)(process.execPath, [removal, root, session]))
        expect(readdirSync(root)).toEqual([])
        expect([modeOf(outside), readdirSync(outside)]).toEqual([0o500, ["kept"]])
      }),
    ),
  )

  it.live("does not change after its making or its removal was interrupted", () =>
    withDirs((dirs) =>
      Effect.gen(function* () {
        yield* begun(dirs.make(session))
        expect(existsSync(dirs.of(session))).toBe(true)
        yield* begun(dirs.remove(session))
        expect(existsSync(dirs.of(session))).toBe(false)
      }),
    ),
  )
})
