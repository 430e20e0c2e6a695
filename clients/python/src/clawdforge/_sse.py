"""A parser of server-sent events, by the WHATWG HTML standard (9.2.5 and 9.2.6)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, List, Optional

_END = re.compile(rb"\r\n|\r|\n")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Event:
    """One event. `data` is its parsed JSON, or its text if that is no JSON."""

    id: str
    type: str
    data: Any

    def text(self) -> str:
        """
        The piece of the answer's text in a `delta` event, or the agent's words in a `session.message`. Empty for all other
        events.
        """
        if self.type == "session.message":
            return turn_text(_at(self.data, "data", "message"))
        text = _at(self.data, "text") if self.type == "delta" else None
        return text if isinstance(text, str) else ""

    @property
    def reset(self) -> bool:
        """Whether all text so far is void: the agent begins its answer anew."""
        return self.type == "delta" and isinstance(self.data, dict) and self.data.get("reset") is True


def turn_text(message: Any) -> str:
    """The answer's text in a message of the Agent Client Protocol. Empty for messages without any."""
    update = _at(message, "params", "update")
    if _at(update, "sessionUpdate") != "agent_message_chunk":
        return ""
    text = _at(update, "content", "text")
    return text if isinstance(text, str) else ""


def _at(value: Any, *path: str) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


@dataclass(frozen=True)
class Frame:
    """An event of the wire, with its data as text."""

    id: str
    type: str
    data: str


class Parser:
    """Parses the bytes of one stream, in pieces that may end anywhere. Takes time linear in the number of bytes."""

    def __init__(self) -> None:
        self._begun: List[bytes] = []
        self._after_cr = False
        self._at_start = True
        self._id = ""
        self._type = ""
        self._data: List[bytes] = []
        #: Seconds to wait before a reconnect, if the stream has set them.
        self.retry: Optional[float] = None

    def push(self, piece: bytes) -> List[Frame]:
        """Returns the events that are complete with these bytes."""
        frames: List[Frame] = []
        if piece == b"":
            return frames
        # The LF of a CRLF that the last piece has split ends no second line.
        start = 1 if self._after_cr and piece[:1] == b"\n" else 0
        self._after_cr = piece[-1:] == b"\r"
        for end in _END.finditer(piece, start):
            self._begun.append(piece[start : end.start()])
            start = end.end()
            line = b"".join(self._begun)
            self._begun = []
            frame = self._line(line)
            if frame is not None:
                frames.append(frame)
        self._begun.append(piece[start:])
        return frames

    def _line(self, line: bytes) -> Optional[Frame]:
        if self._at_start:
            self._at_start = False
            if line.startswith(_BOM):
                line = line[len(_BOM) :]
        if line == b"":
            return self._dispatch()
        name, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._type = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit():
            self.retry = int(value) / 1000
        return None

    def _dispatch(self) -> Optional[Frame]:
        data, self._data = self._data, []
        kind, self._type = self._type, ""
        if not data:
            return None
        return Frame(self._id, kind or "message", b"\n".join(data).decode("utf-8", "replace"))
