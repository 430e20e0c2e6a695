/** The HTTP API as it is declared: for clients and generators. It brings no server, and runs in a browser. */
export { Api } from "./http/Api.ts"
