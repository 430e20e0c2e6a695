import { Effect, type Scope } from "effect"
import type { FileId } from "../../domain/Ids.ts"

/** Which files are in use: these are not removed, whatever their time. */
export class FilesInUse {
  readonly #holders = new Map<FileId, number>()

  has(id: FileId): boolean {
    return this.#holders.has(id)
  }

  /** FilesInUse the file until the scope closes. */
  take(id: FileId): Effect.Effect<void, never, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.sync(() => this.#add(id, 1)),
      () => Effect.sync(() => this.#add(id, -1)),
    )
  }

  #add(id: FileId, holders: number): void {
    const now = (this.#holders.get(id) ?? 0) + holders
    if (now > 0) this.#holders.set(id, now)
    else this.#holders.delete(id)
  }
}
