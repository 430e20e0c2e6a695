"""The client of an app."""

from __future__ import annotations

import os
import ssl
from typing import Any, Dict, List, Literal, Mapping, Optional, Union

from ._answers import (
    Health,
    Readiness,
    RunAnswer,
    RunList,
    RunState,
    SessionState,
    TurnAnswer,
    UploadedFile,
    answer,
)
from ._http import JsonBody, Transport, segment
from ._multipart import FileForm
from ._session import (
    DELTAS,
    Files,
    OnDisconnect,
    Session,
    deadline_of,
    given,
    replayed,
    streamed_turn,
    tokens_of,
)
from ._stream import EventStream, begin, read

#: The service allows this time for each mebibyte of an upload.
MEBIBYTE = 1024 * 1024
MEBIBYTE_SECS = 60.0


class Forge:
    """
    An app's client of clawdforge.

    :param base_url: the service's URL; by default `CLAWDFORGE_URL`, else `http://127.0.0.1:8800`.
    :param token: the app's token; by default `CLAWDFORGE_TOKEN`. No `repr`, message or pickle shows it, and it is sent to
        no other host.
    :param ssl_context: for https with a CA of your own.
    :param proxy: `http://host:port` of a proxy. The environment's `http_proxy` is not used: that proxy would see the
        token, and a service on the local network is not behind it.
    :param reconnect_secs: for how many seconds the client tries to reconnect after a lost connection.
    """

    def __init__(
        self,
        base_url: Optional[str] = None,
        token: Optional[str] = None,
        *,
        ssl_context: Optional[ssl.SSLContext] = None,
        proxy: Optional[str] = None,
        reconnect_secs: float = 60.0,
    ) -> None:
        self._transport = Transport(
            base_url or os.environ.get("CLAWDFORGE_URL") or "http://127.0.0.1:8800",
            token or os.environ.get("CLAWDFORGE_TOKEN") or None,
            ssl_context=ssl_context,
            proxy=proxy,
            reconnect_secs=reconnect_secs,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._transport.base_url!r})"

    def healthz(self) -> Health:
        """Reads the versions of the installed CLIs, and the number of open sessions. Needs no token."""
        json, _ = self._transport.call("GET", "/healthz")
        return answer(Health, json)

    def readyz(self) -> Readiness:
        """Checks whether the service is ready: a line for each check. Needs no token."""
        ok, text = self._transport.checks("/readyz")
        return Readiness(ok, text.splitlines())

    def run(
        self,
        prompt: str,
        *,
        model: Optional[str] = None,
        system: Optional[str] = None,
        system_mode: Optional[Literal["append", "replace"]] = None,
        effort: Optional[Literal["low", "medium", "high", "xhigh", "max"]] = None,
        files: Optional[Files] = None,
        timeout_secs: Optional[int] = None,
        output_schema: Optional[Mapping[str, Any]] = None,
        include_usage: bool = False,
        on_disconnect: Optional[OnDisconnect] = None,
        idempotency_key: Optional[str] = None,
        deadline: Optional[float] = None,
    ) -> RunAnswer:
        """
        Runs one prompt, and waits for the answer: for `timeout_secs` (by default 120) plus 60 seconds, or for `deadline`
        seconds.

        The request is sent once. With an `idempotency_key` it is sent again after a lost connection, and still runs once.
        """
        json, headers = self._transport.call(
            "POST",
            "/run",
            query=_usage(include_usage),
            body=_run_body(
                prompt, model, system, system_mode, effort, files, timeout_secs, output_schema, on_disconnect
            ),
            key=idempotency_key,
            deadline=deadline_of(timeout_secs, deadline),
        )
        return answer(RunAnswer, json, run_id=headers.get("X-Run-Id"), replayed=replayed(headers))

    def stream(
        self,
        prompt: str,
        *,
        model: Optional[str] = None,
        system: Optional[str] = None,
        system_mode: Optional[Literal["append", "replace"]] = None,
        effort: Optional[Literal["low", "medium", "high", "xhigh", "max"]] = None,
        files: Optional[Files] = None,
        timeout_secs: Optional[int] = None,
        output_schema: Optional[Mapping[str, Any]] = None,
        include_usage: bool = False,
        on_disconnect: Optional[OnDisconnect] = None,
        idempotency_key: Optional[str] = None,
    ) -> EventStream[RunAnswer]:
        """
        Runs one prompt, and streams the agent's messages and the answer's text in pieces; the last event is the
        `result`.

        If the connection is lost before the service has answered, raises TransportError, unless there is an
        `idempotency_key`. If it is lost later, the stream resumes.
        """
        return begin(
            self._transport,
            "/run",
            _run_body(
                prompt, model, system, system_mode, effort, files, timeout_secs, output_schema, on_disconnect
            ),
            query={**_usage(include_usage), **DELTAS},
            key=idempotency_key,
            to_answer=_streamed_run,
            keeps_messages=False,
        )

    def upload_file(
        self,
        path: Union[str, os.PathLike[str]],
        *,
        name: Optional[str] = None,
        ttl_secs: Optional[int] = None,
        idempotency_key: Optional[str] = None,
    ) -> UploadedFile:
        """
        Uploads a file for prompts of this app. The service keeps it for `ttl_secs` (by default 3600). The file is read in
        pieces while it is sent.
        """
        form = FileForm(path, name, ttl_secs)
        json, _ = self._transport.call(
            "POST",
            "/files",
            body=form,
            key=idempotency_key,
            deadline=MEBIBYTE_SECS * (2 + form.size // MEBIBYTE),
            idle=MEBIBYTE_SECS,
        )
        return answer(UploadedFile, json)

    def session(
        self,
        agent: Optional[str] = None,
        *,
        model: Optional[str] = None,
        meta: Optional[Mapping[str, Any]] = None,
        permission_mode: Optional[Literal["approve-all", "approve-reads", "deny-all"]] = None,
        idempotency_key: Optional[str] = None,
    ) -> Session:
        """Opens a session. Close it with `close()` or a `with` statement."""
        json, _ = self._transport.call(
            "POST",
            "/sessions",
            body=JsonBody(given(agent=agent, model=model, meta=meta, permission_mode=permission_mode)),
            key=idempotency_key,
            # The service gives an agent a minute to start, and a minute to open a session.
            deadline=150,
        )
        return Session(self._transport, answer(SessionState, {"status": "open", **json}).session_id)

    def resume_session(self, session_id: str) -> Session:
        """Returns a handle on an open session. Sends no request."""
        return Session(self._transport, session_id)

    def sessions(self, *, include_closed: bool = True) -> List[SessionState]:
        """Lists the app's sessions, the newest first."""
        query = {"include_closed": "true" if include_closed else "false"}
        json, _ = self._transport.call("GET", "/sessions", query=query)
        return [answer(SessionState, one) for one in json.get("sessions", [])]

    def runs(
        self,
        *,
        status: Optional[str] = None,
        session_id: Optional[str] = None,
        limit: Optional[int] = None,
        cursor: Optional[str] = None,
    ) -> RunList:
        """Lists the app's runs and turns, the newest first."""
        query = {"status": status, "session_id": session_id, "limit": limit, "cursor": cursor}
        json, _ = self._transport.call("GET", "/runs", query=query)
        return RunList([answer(RunState, one) for one in json.get("runs", [])], json.get("next_cursor"))

    def get_run(self, run_id: str) -> RunState:
        json, _ = self._transport.call("GET", f"/runs/{segment(run_id)}")
        return answer(RunState, json)

    def cancel_run(self, run_id: str) -> bool:
        """Cancels a run or a turn. Returns False if there was nothing to cancel. It may be called again."""
        json, _ = self._transport.call("POST", f"/runs/{segment(run_id)}/cancel", deadline=60)
        return json.get("cancelled") is True

    def run_events(
        self, run_id: str, *, after: Optional[str] = None, include_usage: bool = False
    ) -> EventStream[Union[RunAnswer, TurnAnswer]]:
        """Streams a run's or a turn's events: the past ones from the beginning or after an event, then the live ones."""
        return read(
            self._transport,
            f"/runs/{segment(run_id)}/events",
            query={**_usage(include_usage), **DELTAS},
            after=after,
            to_answer=_streamed_either,
        )

    def events(
        self,
        *,
        type: Optional[str] = None,
        run_id: Optional[str] = None,
        session_id: Optional[str] = None,
        after: Optional[int] = None,
        limit: Optional[int] = None,
    ) -> List[Dict[str, Any]]:
        """Lists the app's events, the newest first. With `after`, lists the events after that one, the oldest first."""
        query = {"type": type, "run_id": run_id, "session_id": session_id, "after": after, "limit": limit}
        json, _ = self._transport.call("GET", "/events", query=query)
        events: List[Dict[str, Any]] = json.get("events", [])
        return events

    def follow_events(
        self,
        *,
        type: Optional[str] = None,
        run_id: Optional[str] = None,
        session_id: Optional[str] = None,
        after: Optional[int] = None,
    ) -> EventStream[None]:
        """Streams the app's events, from now on or after an event. The stream never ends."""
        if after is None:
            # A fixed start: otherwise, a connection that is lost before the first event would lose events.
            newest = self.events(limit=1)
            after = newest[0]["seq"] if newest else 0
        return read(
            self._transport,
            "/events/stream",
            query={"type": type, "run_id": run_id, "session_id": session_id},
            after=str(after),
            to_answer=lambda _, __: None,
        )


def _run_body(
    prompt: str,
    model: Optional[str],
    system: Optional[str],
    system_mode: Optional[str],
    effort: Optional[str],
    files: Optional[Files],
    timeout_secs: Optional[int],
    output_schema: Optional[Mapping[str, Any]],
    on_disconnect: Optional[OnDisconnect],
) -> JsonBody:
    options = given(
        model=model,
        system=system,
        system_mode=system_mode,
        effort=effort,
        files=tokens_of(files),
        timeout_secs=timeout_secs,
        output_schema=output_schema,
        on_disconnect=on_disconnect,
    )
    return JsonBody({"prompt": prompt, **options})


def _usage(include_usage: bool) -> Dict[str, Any]:
    return {"include": "usage"} if include_usage else {}


def _streamed_run(json: Any, _: List[Dict[str, Any]]) -> RunAnswer:
    return answer(RunAnswer, json)


def _streamed_either(json: Any, messages: List[Dict[str, Any]]) -> Union[RunAnswer, TurnAnswer]:
    return streamed_turn(json, messages) if "turn_index" in json else _streamed_run(json, messages)
