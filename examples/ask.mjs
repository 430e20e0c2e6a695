/** A plain script: runs one prompt, then a session. CLAWDFORGE_URL and CLAWDFORGE_TOKEN name the service. */
import { Forge, ForgeError } from "clawdforge/client"

try {
  const forge = new Forge({
    baseUrl: process.env.CLAWDFORGE_URL ?? "http://127.0.0.1:8800",
    token: process.env.CLAWDFORGE_TOKEN,
  })
  const { result, duration_ms } = await forge.run({ prompt: "Say hello in five words.", timeout_secs: 60 })
  console.log(`${JSON.stringify(result)} after ${duration_ms} ms`)

  await using session = await forge.session({ agent: "claude" })
  const turn = await session.turn("My pancakes take 2 cups of flour for two people.")
  console.log(turn.text())
  for await (const event of session.stream("And for five?")) {
    if (event.type === "delta") process.stdout.write("reset" in event.data ? "\n" : event.data.text)
  }
  console.log()
} catch (error) {
  if (!(error instanceof ForgeError)) throw error
  console.error(`${error.code}: ${error.message}`)
  process.exitCode = 1
}
