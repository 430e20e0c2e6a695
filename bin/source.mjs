/**
 * A module of the service by its name in `src`, without an ending: the TypeScript of a checkout, or what was compiled
 * for a package. Node runs no TypeScript under `node_modules`, and a checkout is never there.
 */
export const source = (name) =>
  /[\\/]node_modules[\\/]/.test(import.meta.dirname)
    ? import(`../dist/${name}.js`)
    : import(`../src/${name}.ts`)
