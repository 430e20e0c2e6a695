import { addAcpMessage, NO_TEXT } from "../../../domain/AnswerText.ts"
import { estimateJsonChars } from "../../../domain/Json.ts"
import { isAnswer, modelOf, sessionCostOf, stopReasonOf } from "../../agents/acp/MessageFields.ts"
import type { AcpMessage } from "../../agents/AcpxClient.ts"
import { isRefusalText } from "../../agents/ProviderFailures.ts"
import type { PartialTurnReport } from "../Report.ts"

/** Far more levels than any agent needs, and far fewer than overflow the stack when they are written as JSON. */
const MESSAGE_MAX_LEVELS = 512
const TOO_DEEP = `it sent a message of more than ${MESSAGE_MAX_LEVELS} levels`

/** The characters of a turn: escaped six times over, they still fit one string of V8's (2^29 characters). */
const TURN_MAX_CHARS = 80 * 1024 * 1024
const TOO_LONG = `it sent more than ${TURN_MAX_CHARS} characters in one turn`

/** Characters of a turn's messages that are held for its answer. A longer turn's answer is read from the journal. */
const HELD_MAX_CHARS = 1024 * 1024

/** What is kept in memory of the messages that came in a turn. Of a long turn, all messages are in the journal only. */
export class ReceivedMessages {
  #chars = 0
  #held: Array<AcpMessage> | undefined = []
  /** The number of characters of the agent's answer. */
  answerChars = 0
  /** Whether the agent has begun to answer. Words of a refusal are no answer, unless it goes on after them. */
  hasAnswer = false
  /** Whether all that the agent has said are the words of a refusal. */
  saidRefusal = false
  /** The newest message: at the end of a turn, its result. */
  last: AcpMessage | undefined
  /** What the session cost so far, as the agent last said; null if it has not. */
  sessionCostUsd: number | null = null
  /** The model that answers, as the agent last said; null if it has not. */
  model: string | null = null

  /** Adds the next messages. Returns why they are more than a turn may have, if they are. */
  readonly add = (messages: ReadonlyArray<AcpMessage>): string | undefined => {
    for (const message of messages) {
      this.#chars += estimateJsonChars(message, MESSAGE_MAX_LEVELS)
      if (this.#chars > TURN_MAX_CHARS) return Number.isFinite(this.#chars) ? TOO_LONG : TOO_DEEP
      if (this.#chars > HELD_MAX_CHARS) this.#held = undefined
      this.#held?.push(message)
      const deltas = addAcpMessage(NO_TEXT, message)[1]
      const isFirstText = this.answerChars === 0 && !this.hasAnswer && !this.saidRefusal
      for (const delta of deltas) {
        this.answerChars = "reset" in delta ? 0 : this.answerChars + delta.text.length
      }
      if (isFirstText && deltas.some((delta) => "text" in delta && isRefusalText(delta.text))) {
        this.saidRefusal = true
      } else if (isAnswer(message) || (this.saidRefusal && stopReasonOf(message) !== undefined)) {
        this.hasAnswer = true
        this.saidRefusal = false
      }
      this.last = message
      this.sessionCostUsd = sessionCostOf(message) ?? this.sessionCostUsd
      this.model = modelOf(message) ?? this.model
    }
    return undefined
  }

  /** All messages; absent if they are too many. */
  get held(): Pick<PartialTurnReport, "events"> {
    return this.#held === undefined ? {} : { events: this.#held }
  }
}
