import { Duration } from "effect"

/** The time that an agent has to end a turn after it was asked to. Then its session is closed, or its process ended. */
export const CANCEL_TIMEOUT = Duration.seconds(4)

/** The time that an agent has to close a session. */
export const CLOSE_TIMEOUT = Duration.seconds(2)

/** The time that a process has to exit after the end of its output. After it, a failure is reported without exit code. */
export const EXIT_TIMEOUT = Duration.seconds(1)
