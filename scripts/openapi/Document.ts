/** An OpenAPI document, as parsed JSON. */
export type Document = any

export interface Operation {
  /** Method and path: `POST /run`. */
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

/** The target of a local `$ref`; undefined if there is none. */
export const resolve = (document: Document, ref: string): unknown =>
  ref
    .replace(/^#\//, "")
    .split("/")
    .reduce((node: any, key) => node?.[key.replaceAll("~1", "/").replaceAll("~0", "~")], document)

/** All objects of the document, each with its JSON pointer. Leaves out the contents of `examples`, which are data. */
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
