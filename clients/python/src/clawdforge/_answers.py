"""What calls answer with. Fields that a newer service adds are ignored."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Dict, List, Mapping, Optional, Type, TypeVar

from ._errors import UnexpectedAnswer
from ._sse import Event

A = TypeVar("A")


def answer(cls: Type[A], json: Mapping[str, Any], **more: Any) -> A:
    """The fields that it knows of a JSON object."""
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


@dataclass(frozen=True)
class Readiness:
    ok: bool
    #: One for each check: `ok` or `fail`, its name, what an operator should know.
    lines: List[str]


@dataclass(frozen=True)
class RunAnswer:
    #: The value if the answer is JSON, else the text.
    result: Any
    #: From start to answer, without the queue.
    duration_ms: int
    stop_reason: str
    run_id: Optional[str] = None
    #: Whether it was given before, under the same idempotency key.
    replayed: bool = False
    #: These four with `include_usage=True`.
    usage: Optional[Dict[str, Any]] = None
    cost_usd: Optional[float] = None
    model: Optional[str] = None
    session_id: Optional[str] = None


@dataclass(frozen=True)
class TurnAnswer:
    session_id: str
    #: Counts the session's turns, from 1.
    turn_index: int
    stop_reason: str
    duration_ms: int
    #: What the agent sent, in order: messages of the Agent Client Protocol.
    events: List[Dict[str, Any]] = field(default_factory=list)
    run_id: Optional[str] = None
    replayed: bool = False

    def text(self) -> str:
        """The agent's words."""
        return "".join(Event("", "message", event).text() for event in self.events)


@dataclass(frozen=True)
class RunState:
    """A run or a turn; never its text. Times are Unix seconds."""

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
    #: For the next list; None: there are no more.
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
    #: What `files` of a prompt takes.
    file_token: str
    ttl_secs: int
    #: Bytes.
    size: int
