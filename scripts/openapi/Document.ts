/** A document of OpenAPI, as JSON. */
export type Document = any

export interface Operation {
  /** As people call it: `POST /run`. */
  readonly name: string
  readonly path: string
  readonly operation: any
}

const METHODS: ReadonlySet<string> = new Set(["get", "put", "post", "delete", "patch", "head", "options"])

export const operationsOf = ({ paths }: Document): ReadonlyArray<Operation> =>
  Object.entries<any>(paths).flatMap(([path, item]) =>
    Object.entries<any>(item)
      .filter(([method]) => METHODS.has(method))
      .map(([method, operation]) => ({ name: `${method.toUpperCase()} ${path}`, path, operation })),
  )

/** What a local reference names; undefined if there is no such thing. */
export const resolve = (document: Document, ref: string): unknown =>
  ref
    .replace(/^#\//, "")
    .split("/")
    .reduce((node: any, key) => node?.[key.replaceAll("~1", "/").replaceAll("~0", "~")], document)

/** Every object of the document with where it stands; not what is inside examples, which are anybody's data. */
export const nodesOf = (document: Document): ReadonlyArray<readonly [where: string, node: any]> => {
  const found: Array<readonly [string, any]> = []
  const walk = (where: string, node: unknown): void => {
    if (typeof node !== "object" || node === null) return
    if (!Array.isArray(node)) found.push([where, node])
    for (const [key, inner] of Object.entries(node))
      if (key !== "examples") walk(`${where}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`, inner)
  }
  walk("#", document)
  return found
}
