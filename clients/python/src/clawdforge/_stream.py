"""A stream of events that resumes after a lost connection."""

from __future__ import annotations

import json
from collections import deque
from typing import Any, Callable, Container, Deque, Dict, Generic, Iterator, List, Mapping, Optional, TypeVar

from ._errors import ForgeError, Gone, TransportError, UnexpectedAnswer, error_of
from ._http import Body, Patience, Response, Transport, passes, segment
from ._sse import Event, Frame, Parser

T = TypeVar("T")

#: The status of a stream that has ended, and has nothing after the place that was asked for.
NOTHING_MORE = 204
#: The last event of a run's stream, unless it is an `error`.
RESULT = frozenset(["result"])


class EventStream(Generic[T], Iterator[Event]):
    """
    The events of a run or a turn, each exactly once and in order; the `result` is the last. An `error` event raises its
    exception. The answer's text comes in pieces (`event.text()`); if the agent begins it anew, an event with `event.reset`
    comes first.

    After a lost connection, or 45 seconds without a byte, the stream reconnects and resumes after its last event. Closing
    the stream, also by the end of a `with` statement, does not end the run, unless it has `on_disconnect="cancel"`.
    """

    def __init__(
        self,
        transport: Transport,
        response: Response,
        *,
        path: Optional[str],
        query: Mapping[str, Any],
        after: Optional[str],
        to_answer: Callable[[Any, List[Dict[str, Any]]], T],
        keeps_messages: bool,
        last: Container[str] = RESULT,
    ) -> None:
        #: The run's id; None for the log of events and for a session's stream.
        self.run_id: Optional[str] = response.headers.get("X-Run-Id")
        #: The id of the last event that was delivered: the stream resumes after it.
        self.last_event_id = after
        self._transport = transport
        self._response: Optional[Response] = response
        self._parser = Parser()
        self._path = path if path is not None else f"/runs/{segment(self.run_id or '')}/events"
        self._query = query
        self._to_answer = to_answer
        self._messages: Optional[List[Dict[str, Any]]] = [] if keeps_messages else None
        self._arrived: Deque[Frame] = deque()
        self._patience: Optional[Patience] = None
        self._answer: Optional[T] = None
        self._failure: Optional[ForgeError] = None
        self._is_over = False
        self._last = last
        #: The pieces of the answer's text since the last reset.
        self._pieces: List[str] = []
        if response.status == NOTHING_MORE:
            self.close()

    def __iter__(self) -> EventStream[T]:
        return self

    def __next__(self) -> Event:
        while not self._arrived:
            if self._is_over:
                raise StopIteration
            self._receive()
        return self._deliver(self._arrived.popleft())

    def text(self) -> str:
        """The answer's text so far: the pieces since the last reset. Reads nothing."""
        return "".join(self._pieces)

    def result(self) -> T:
        """Reads the rest of the stream, and returns the answer."""
        for _ in self:
            pass
        if self._failure is not None:
            raise self._failure
        if self._answer is None:
            raise ValueError("the stream was closed before its result, or began after it")
        return self._answer

    def close(self) -> None:
        """Stops reading. It may be called again."""
        self._is_over = True
        self._arrived.clear()
        if self._response is not None:
            self._response.close()
            self._response = None

    def __enter__(self) -> EventStream[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _receive(self) -> None:
        try:
            if self._response is None:
                response = self._reopened()
                if self._is_over:
                    return
                self._response = response
                self._parser = Parser()
            piece = self._response.read_some()
            if piece == b"":
                self._response.close()
                raise TransportError("the stream ended before its result", sent=True)
        except ForgeError as error:
            self._response = None
            self._wait_after(error)
            return
        # Any bytes count, also a comment: while an agent thinks for long, the service sends comments only.
        if self._patience is not None:
            self._patience.renew()
        self._arrived.extend(self._parser.push(piece))

    def _reopened(self) -> Response:
        response = self._transport.stream("GET", self._path, query=self._query, after=self.last_event_id)
        if response.status == NOTHING_MORE:
            self.close()
            if self._last is not RESULT:
                return response
            # The result would have closed this stream.
            self._failure = Gone("the rest of the stream is no longer stored", code="gone")
            self._failure.run_id = self.run_id
            raise self._failure
        return response

    def _wait_after(self, error: ForgeError) -> None:
        if self._patience is None:
            self._patience = self._transport.patience()
        if not passes(error):
            self.close()
            raise error
        if not self._patience.wait(max(error.retry_after or 0.0, self._parser.retry or 0.0)):
            self.close()
            raise TransportError(
                f"the stream could not be resumed: {error.message}",
                sent=True,
                run_id=self.run_id,
                last_event_id=self.last_event_id,
            ) from error

    def _deliver(self, frame: Frame) -> Event:
        self._patience = None
        if frame.id != "":
            self.last_event_id = frame.id
        try:
            data = json.loads(frame.data)
        except ValueError:
            data = frame.data
        event = Event(frame.id, frame.type, data)
        if event.reset:
            self._pieces.clear()
        self._pieces.append(event.text())
        if event.type == "message" and self._messages is not None:
            self._messages.append(data)
        if event.type == "result":
            self.close()
            if not isinstance(data, dict):
                raise UnexpectedAnswer("the result is no JSON object", code="unexpected_answer")
            self._answer = self._to_answer({**data, "run_id": self.run_id}, self._messages or [])
        elif event.type in self._last:
            self.close()
        if event.type == "error":
            self.close()
            self._failure = _failure_of(data, self.run_id)
            raise self._failure
        return event


def _failure_of(problem: Any, run_id: Optional[str]) -> ForgeError:
    status = problem.get("status") if isinstance(problem, dict) else None
    failure = error_of(problem, status if isinstance(status, int) else 500, {})
    failure.run_id = run_id
    return failure


def begin(
    transport: Transport,
    path: str,
    body: Body,
    *,
    query: Mapping[str, Any],
    key: Optional[str],
    to_answer: Callable[[Any, List[Dict[str, Any]]], T],
    keeps_messages: bool,
) -> EventStream[T]:
    """Starts a run or a turn, and streams it. Sends the request once; with a key, again until the service has answered."""
    response = transport.again_if_lost(
        lambda: transport.stream("POST", path, query=query, body=body, key=key), key is not None
    )
    return EventStream(
        transport,
        response,
        path=None,
        query=query,
        after=None,
        to_answer=to_answer,
        keeps_messages=keeps_messages,
    )


def read(
    transport: Transport,
    path: str,
    *,
    query: Mapping[str, Any],
    after: Optional[str],
    to_answer: Callable[[Any, List[Dict[str, Any]]], T],
    keeps_messages: bool = False,
    last: Container[str] = RESULT,
) -> EventStream[T]:
    """Streams what exists already, from its beginning or after an event, to an event that is one of the last."""
    response = transport.again_if_lost(
        lambda: transport.stream("GET", path, query=query, after=after), True
    )
    return EventStream(
        transport,
        response,
        path=path,
        query=query,
        after=after,
        to_answer=to_answer,
        keeps_messages=keeps_messages,
        last=last,
    )
