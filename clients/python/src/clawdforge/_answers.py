"""The answers of calls. They ignore fields that a newer service adds."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Dict, List, Mapping, Optional, Type, TypeVar

from ._errors import UnexpectedAnswer
from ._sse import turn_text

A = TypeVar("A")


def answer(cls: Type[A], json: Mapping[str, Any], **more: Any) -> A:
    """Makes an answer from a JSON object. Ignores unknown fields. Raises UnexpectedAnswer if a required one is missing."""
    given = {**json, **more}
    known: Dict[str, Any] = {}
    for one in fields(cls):
        if one.name in given:
            known[one.name] = given[one.name]
        elif one.default is MISSING and one.default_factory is MISSING:
            raise UnexpectedAnswer(f"the answer has no {one.name}", code="unexpected_answer", status=200)
    return cls(**known)


@dataclass(frozen=True)
class Health:
    ok: bool
    claude_present: bool = False
    claude_version: Optional[str] = None
    acpx_present: bool = False
    acpx_version: Optional[str] = None
    open_sessions: int = 0
    #: `ok`, `expiring`, `missing`, `limited` or `unknown`.
    login: str = "unknown"


@dataclass(frozen=True)
class Readiness:
    ok: bool
    #: One line for each check: `ok`, `warn` (it works, but look) or `fail`, the check's name, and a text for the operator.
    lines: List[str]


@dataclass(frozen=True)
class RunAnswer:
    #: The JSON value if the answer is JSON, else the text.
    result: Any
    #: From start to answer, without the wait in the queue.
    duration_ms: int
    stop_reason: str
    run_id: Optional[str] = None
    #: Whether this is the answer of an earlier request with the same idempotency key.
    replayed: bool = False
    #: The next four fields are set with `include_usage=True` only.
    usage: Optional[Dict[str, Any]] = None
    cost_usd: Optional[float] = None
    model: Optional[str] = None
    session_id: Optional[str] = None


@dataclass(frozen=True)
class TurnAnswer:
    session_id: str
    #: The turn's number in its session, from 1.
    turn_index: int
    stop_reason: str
    duration_ms: int
    #: The agent's messages of the Agent Client Protocol, in order.
    events: List[Dict[str, Any]] = field(default_factory=list)
    run_id: Optional[str] = None
    replayed: bool = False
    #: The next three fields are set with `include_usage=True` only, and if the agent has told them.
    usage: Optional[Dict[str, Any]] = None
    cost_usd: Optional[float] = None
    model: Optional[str] = None
    #: The text as the service has it. None if it was not asked for.
    joined_text: Optional[str] = field(default=None, repr=False, compare=False)

    def text(self) -> str:
        """The text of the agent's answer, without its thoughts and tool calls."""
        if self.joined_text is not None:
            return self.joined_text
        return "".join(turn_text(event) for event in self.events)


@dataclass(frozen=True)
class RunState:
    """The state of a run or a turn, without its texts. Times are Unix seconds."""

    run_id: str
    kind: str
    status: str
    created_at: int
    session_id: Optional[str] = None
    turn_index: Optional[int] = None
    model: Optional[str] = None
    started_at: Optional[int] = None
    finished_at: Optional[int] = None
    duration_ms: Optional[int] = None
    stop_reason: Optional[str] = None
    code: Optional[str] = None
    usage: Optional[Dict[str, Any]] = None
    cost_usd: Optional[float] = None
    prompt_chars: int = 0
    response_chars: Optional[int] = None


@dataclass(frozen=True)
class RunList:
    runs: List[RunState]
    #: The `cursor` of the next page; None if there are no more runs.
    next_cursor: Optional[str]


@dataclass(frozen=True)
class SessionState:
    """Times are Unix seconds."""

    session_id: str
    agent: str
    status: str
    created_at: int
    turn_count: int = 0
    model: Optional[str] = None
    meta: Optional[Dict[str, Any]] = None
    last_turn_at: Optional[int] = None
    closed_at: Optional[int] = None


@dataclass(frozen=True)
class UploadedFile:
    #: The token for the `files` of a prompt.
    file_token: str
    ttl_secs: int
    #: Size in bytes.
    size: int
