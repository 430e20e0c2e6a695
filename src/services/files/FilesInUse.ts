import { Effect, type Scope } from "effect"
import type { FileId } from "../../domain/Ids.ts"

/** Counts the users of each file. A file in use is not removed, even when it has expired. */
export class FilesInUse {
  readonly #users = new Map<FileId, number>()

  has(id: FileId): boolean {
    return this.#users.has(id)
  }

  /** Marks the file as in use until the scope closes. */
  take(id: FileId): Effect.Effect<void, never, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.sync(() => this.#add(id, 1)),
      () => Effect.sync(() => this.#add(id, -1)),
    )
  }

  #add(id: FileId, change: number): void {
    const users = (this.#users.get(id) ?? 0) + change
    if (users > 0) this.#users.set(id, users)
    else this.#users.delete(id)
  }
}
