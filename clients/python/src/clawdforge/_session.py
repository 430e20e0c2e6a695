"""A session: a conversation with an agent, which keeps its context."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Literal, Optional, Union

from ._answers import SessionState, TurnAnswer, UploadedFile, answer
from ._errors import ForgeError, Headers
from ._http import JsonBody, Transport, segment
from ._stream import EventStream, begin, read

OnDisconnect = Literal["continue", "cancel"]
Files = Iterable[Union[str, UploadedFile]]

#: The service's default limits for a run's work and for its wait in the queue; and a margin for the network.
DEFAULT_TIMEOUT_SECS = 120
QUEUE_SECS = 30
SPARE_SECS = 30

#: Streams have the answer's text in pieces: the agent's messages alone may hold half an answer and then the whole.
DELTAS = {"deltas": "1"}


def deadline_of(timeout_secs: Optional[int], deadline: Optional[float]) -> float:
    if deadline is not None:
        return deadline
    return (DEFAULT_TIMEOUT_SECS if timeout_secs is None else timeout_secs) + QUEUE_SECS + SPARE_SECS


def given(**options: Any) -> Dict[str, Any]:
    """Returns the options that are not None."""
    return {name: value for name, value in options.items() if value is not None}


def tokens_of(files: Optional[Files]) -> Optional[List[str]]:
    if files is None:
        return None
    if isinstance(files, (str, bytes)):
        raise TypeError("files must be a list of uploaded files or of their tokens")
    return [file.file_token if isinstance(file, UploadedFile) else file for file in files]


class Session:
    """
    A session. The service takes its turns one at a time, in the order of their requests. The end of a `with` statement
    closes it.
    """

    def __init__(self, transport: Transport, session_id: str) -> None:
        self.session_id = session_id
        self._transport = transport
        self._path = f"/sessions/{segment(session_id)}"

    def __repr__(self) -> str:
        return f"Session({self.session_id!r})"

    def turn(
        self,
        prompt: str,
        *,
        files: Optional[Files] = None,
        timeout_secs: Optional[int] = None,
        include_usage: bool = False,
        include_events: bool = True,
        on_disconnect: Optional[OnDisconnect] = None,
        idempotency_key: Optional[str] = None,
        deadline: Optional[float] = None,
    ) -> TurnAnswer:
        """
        Takes a turn, and waits for the agent's answer: for `timeout_secs` (by default 120) plus 60 seconds, or for
        `deadline` seconds. A turn that waits behind others may need a longer `deadline`. Without `include_events` the
        answer has the agent's text only, not its messages, which may be many megabytes.
        """
        json, headers = self._transport.call(
            "POST",
            f"{self._path}/turn",
            query={
                "include": _include(text=not include_events, usage=include_usage),
                "events": None if include_events else "none",
            },
            body=_turn_body(prompt, files, timeout_secs, on_disconnect),
            key=idempotency_key,
            deadline=deadline_of(timeout_secs, deadline),
        )
        return turn_answer(json, headers)

    def stream(
        self,
        prompt: str,
        *,
        files: Optional[Files] = None,
        timeout_secs: Optional[int] = None,
        include_usage: bool = False,
        on_disconnect: Optional[OnDisconnect] = None,
        idempotency_key: Optional[str] = None,
    ) -> EventStream[TurnAnswer]:
        """
        Takes a turn, and streams the agent's messages and the answer's text in pieces; the last event is the `result`.
        """
        return begin(
            self._transport,
            f"{self._path}/turn",
            _turn_body(prompt, files, timeout_secs, on_disconnect),
            query={"include": _include(usage=include_usage), **DELTAS},
            key=idempotency_key,
            to_answer=streamed_turn,
            keeps_messages=True,
        )

    def turn_events(
        self, turn_index: int, *, after: Optional[str] = None, include_usage: bool = False
    ) -> EventStream[TurnAnswer]:
        """
        Streams a turn's events: the past ones from the beginning or after an event, then the live ones. The `events` of
        `result()` are only the messages that this stream has delivered; its `text()` is whole.
        """
        return read(
            self._transport,
            f"{self._path}/turns/{int(turn_index)}/events",
            query={"include": _include(text=after is not None, usage=include_usage), **DELTAS},
            after=after,
            to_answer=streamed_turn,
            keeps_messages=True,
        )

    def events(self, *, after: Optional[str] = None) -> EventStream[None]:
        """
        Streams what happens to the session beside its turns: what its agent says while no turn is open
        (`session.message`), and its own events. The past ones from the beginning or after an event, then the live ones,
        until the session is closed.
        """
        return read(
            self._transport,
            f"{self._path}/events",
            query={},
            after=after,
            to_answer=lambda _, __: None,
            last=frozenset(["session.close", "session.sweep_close"]),
        )

    def state(self) -> SessionState:
        json, _ = self._transport.call("GET", self._path)
        return answer(SessionState, json)

    def cancel(self) -> bool:
        """Cancels the running turn and all waiting turns. Returns False if there were none. It may be called again."""
        # The service answers when the turns have ended; an agent that ignores the cancellation delays that.
        json, _ = self._transport.call("POST", f"{self._path}/cancel", deadline=60)
        return json.get("cancelled") is True

    def close(self) -> bool:
        """Cancels the session's turns and closes it. Returns False if it was closed before. It may be called again."""
        json, _ = self._transport.call("DELETE", self._path, deadline=60)
        return json.get("already_closed") is not True

    def __enter__(self) -> Session:
        return self

    def __exit__(self, _: object, error: object, __: object) -> None:
        try:
            self.close()
        except ForgeError:
            # An exception inside the `with` block is more important than a failed close.
            if error is None:
                raise


def _turn_body(
    prompt: str, files: Optional[Files], timeout_secs: Optional[int], on_disconnect: Optional[OnDisconnect]
) -> JsonBody:
    options = given(files=tokens_of(files), timeout_secs=timeout_secs, on_disconnect=on_disconnect)
    return JsonBody({"prompt": prompt, **options})


def _include(*, text: bool = False, usage: bool = False) -> Optional[str]:
    return ",".join([*(["text"] if text else []), *(["usage"] if usage else [])]) or None


def replayed(headers: Headers) -> bool:
    return headers.get("Idempotent-Replayed") == "true"


def turn_answer(json: Any, headers: Headers) -> TurnAnswer:
    return answer(
        TurnAnswer, json, joined_text=json.get("text"), run_id=headers.get("X-Run-Id"), replayed=replayed(headers)
    )


def streamed_turn(json: Any, messages: List[Dict[str, Any]]) -> TurnAnswer:
    return answer(TurnAnswer, json, joined_text=json.get("text"), events=messages)
