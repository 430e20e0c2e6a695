// Uses that must not type-check. This file is never run.
import createClient from "openapi-fetch"
import type { components, paths } from "./api.ts"

const client = createClient<paths, `application/${string}`>()

// @ts-expect-error an unknown field
const body: components["schemas"]["RunRequest"] = { prompt: "x", promt: "x" }
await client.POST("/run", { body })
// @ts-expect-error a missing field
await client.POST("/run", { body: { model: "opus" } })
// @ts-expect-error a wrong word
await client.POST("/run", { body: { prompt: "x", effort: "huge" } })
// @ts-expect-error a wrong type
await client.POST("/run", { body: { prompt: "x", timeout_secs: "60" } })
// @ts-expect-error a path that is not there
await client.POST("/runs", {})
// @ts-expect-error a method that is not there
await client.DELETE("/runs/{id}", { params: { path: { id: "x" } } })
// @ts-expect-error a path without its parameter
await client.GET("/runs/{id}")
// @ts-expect-error an unknown parameter
await client.GET("/runs", { params: { query: { page: 2 } } })
// @ts-expect-error a wrong value of a parameter
await client.GET("/runs", { params: { query: { status: "done" } } })
// @ts-expect-error a path on the client's own disk
await client.POST("/files", { body: { file: "/etc/passwd" } })

const { data, error } = await client.POST("/run", { body: { prompt: "x" } })
// @ts-expect-error a code that is not there
if (error?.code === "time_out") console.log(error)
// @ts-expect-error another route's code
if (error?.code === "session_busy") console.log(error)
// @ts-expect-error a status that it never has
if (error?.status === 418) console.log(error)
// @ts-expect-error a field of the answer that is not there
console.log(data?.text)
// @ts-expect-error an answer that may not be there
console.log(data.result)
// @ts-expect-error a result is not known to be a text
console.log(data?.result.length)
