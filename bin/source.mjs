/**
 * Imports a module of `src` by its path without an extension: the TypeScript file in a checkout, the compiled file in an
 * installed package. Node runs no TypeScript under `node_modules`, and a checkout is never there.
 */
export const source = (name) =>
  /[\\/]node_modules[\\/]/.test(import.meta.dirname)
    ? import(`../dist/${name}.js`)
    : import(`../src/${name}.ts`)
