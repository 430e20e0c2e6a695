import { Duration } from "effect"

/** How long an agent may take to end a turn after it is asked to. Then its session is closed, or its process ended. */
export const CANCEL_TIMEOUT = Duration.seconds(4)

/** How long an agent may take to close a session. */
export const CLOSE_TIMEOUT = Duration.seconds(2)

/** How long a process that has nothing more to say may take to exit, so that its exit code can be reported. */
export const EXIT_TIMEOUT = Duration.seconds(1)
