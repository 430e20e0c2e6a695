"""A plain script: runs one prompt, then a session. CLAWDFORGE_URL and CLAWDFORGE_TOKEN name the service."""

import sys

from clawdforge import Forge, ForgeError

try:
    forge = Forge()
    answer = forge.run(prompt="Say hello in five words.", timeout_secs=60)
    print(f"{answer.result!r} after {answer.duration_ms} ms")

    with forge.session(agent="claude") as session:
        print(session.turn("My pancakes take 2 cups of flour for two people.").text())
        for event in session.stream("And for five?"):
            print("\n" if event.reset else event.text(), end="", flush=True)
        print()
except ForgeError as error:
    sys.exit(f"{error.code}: {error}")
