import { setTimeout as sleep } from "node:timers/promises"
import { describe, expect, it } from "@effect/vitest"
import { Follower } from "./support/Follower.ts"
import { memoryOf, socketsOf } from "./support/ProcessTable.ts"
import { scale } from "./support/Scale.ts"
import { ask, post, serviceUnderTest } from "./support/Service.ts"
import { fileForm } from "./support/Scripted.ts"

/** Many clients follow the log while much happens, on a service in a process of its own. */

const MEBIBYTE = 1024 * 1024
const FOLLOWERS = scale.followers
const EVENTS = scale.followedEvents
const INTERVAL_MILLIS = 50
/** Of all of five hundred together, while they are told a hundred and sixty events each. */
const GROWTH_MAX_BYTES = 192 * MEBIBYTE

const { start, adminToken } = serviceUnderTest()

/** Waits for what a loaded machine may take long for; whether it came. */
const eventually = async (holds: () => boolean): Promise<boolean> => {
  for (let n = 0; n < 1200 && !holds(); n++) await sleep(100)
  return holds()
}

/** An event as the list has it. */
interface Listed {
  readonly seq: number
  readonly type: string
  readonly token: string | null
}

describe(`${FOLLOWERS} clients that follow the log`, () => {
  it("are told all that is theirs, in order and once, and cost little; when they go, nothing is left", async () => {
    const server = await start()
    const pid = server.process.pid
    const admin = adminToken()
    const mint = async (name: string) =>
      (await post(server.url, "/admin/tokens", admin, { name })).json as { token: string; name: string }
    const recipes = await mint("recipes")
    const garden = await mint("garden")
    const { json } = await ask(server.url, "GET", "/events?limit=1", admin)
    const before: string = String(json.events[0].seq)
    const sockets = socketsOf(pid).length
    const memory = memoryOf(pid, "VmRSS")

    const group = (percent: number, query: string, token: string, theirs: (event: Listed) => boolean) =>
      Array.from({ length: (percent * FOLLOWERS) / 100 }, () => ({
        follower: new Follower(`${server.url}/events/stream${query}`, token),
        theirs,
      }))
    const resuming = [
      ...group(8, "", admin, () => true),
      ...group(4, "", garden.token, ({ token }) => token === "garden"),
    ]
    const crowd = [
      ...resuming,
      ...group(48, "", admin, () => true),
      ...group(16, "?type=token.revoke", admin, ({ type }) => type === "token.revoke"),
      ...group(12, "", recipes.token, ({ token }) => token === "recipes"),
      ...group(12, "?type=file.upload", garden.token, (event) => event.token === "garden"),
    ]
    expect(crowd.length).toBe(FOLLOWERS)
    for (let n = 0; n < crowd.length; n += 20)
      await Promise.all(crowd.slice(n, n + 20).map(({ follower }) => follower.open()))
    expect(socketsOf(pid).length).toBeGreaterThanOrEqual(FOLLOWERS)

    const upload = async (token: string) => {
      const headers = { authorization: `Bearer ${token}` }
      const answer = await fetch(`${server.url}/files`, { method: "POST", headers, body: fileForm("a") })
      await answer.text()
      return answer.status
    }
    const revoke = async (name: string) =>
      (await ask(server.url, "DELETE", `/admin/tokens/${name}`, admin)).status
    /** Makes one event, of four sorts in turn. */
    const write = async (n: number): Promise<number> => {
      if (n % 4 === 0) return post(server.url, "/admin/tokens", admin, { name: `app-${n}` }).then(() => 200)
      if (n % 4 === 1) return upload(recipes.token)
      if (n % 4 === 2) return upload(garden.token)
      await written[n - 3]
      return revoke(`app-${n - 3}`)
    }
    const written: Array<Promise<number>> = []
    const resumed: Array<Promise<void>> = []
    const from = performance.now()
    for (let n = 0; n < EVENTS; n++) {
      // A machine that cannot keep up is not asked for more at a time.
      await written[n - 8]
      written.push(write(n))
      // Four hang up and come back, each of them every fifteen events.
      const some = resuming.slice((n % 15) * 4, (n % 15) * 4 + 4)
      resumed.push(...some.map(({ follower }) => follower.reopen(before)))
      await sleep(Math.max(0, from + (n + 1) * INTERVAL_MILLIS - performance.now()))
    }
    expect(new Set(await Promise.all(written))).toEqual(new Set([200]))
    await Promise.all(resumed)

    const listed = await ask(server.url, "GET", `/events?after=${before}&limit=500`, admin)
    const all: ReadonlyArray<Listed> = listed.json.events
    expect(all.length).toBe(EVENTS)
    for (const { follower, theirs } of crowd) {
      const ids = all.filter(theirs).map(({ seq }) => String(seq))
      expect(ids.length).toBeGreaterThanOrEqual(EVENTS / 4)
      await eventually(() => follower.events.length >= ids.length)
      expect(follower.events.map(({ id }) => id)).toEqual(ids)
    }
    expect(memoryOf(pid, "VmHWM") - memory).toBeLessThan(GROWTH_MAX_BYTES)

    for (const { follower } of crowd) follower.close()
    expect(await eventually(() => socketsOf(pid).length <= sockets)).toBe(true)
  })
})
