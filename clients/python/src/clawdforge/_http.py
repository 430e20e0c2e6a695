"""HTTP exchanges. Each has its own connection, so that threads share nothing."""

from __future__ import annotations

import http.client
import json
import random
import re
import ssl
import time
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Protocol, Tuple, TypeVar
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from ._clock import TIMEOUTS, Clock, TimedSocket
from ._errors import DeadlineExceeded, ForgeError, Headers, TransportError, UnexpectedAnswer, error_of

CONNECT_SECS = 10.0
#: The deadline of a usual request.
ANSWER_SECS = 30.0
#: The service sends a heartbeat on a stream about every ten seconds.
STREAM_IDLE_SECS = 45.0

A = TypeVar("A")


class Body(Protocol):
    """The body of a request. `pieces` can be called again, to send the body again."""

    @property
    def content_type(self) -> str: ...

    @property
    def length(self) -> int: ...

    def pieces(self) -> Iterator[bytes]: ...


class JsonBody:
    content_type = "application/json"

    def __init__(self, value: Mapping[str, Any]) -> None:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        try:
            self._bytes = text.encode("utf-8")
        except UnicodeEncodeError:
            # Half of a surrogate pair: JSON can escape it, UTF-8 cannot encode it.
            self._bytes = json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")

    @property
    def length(self) -> int:
        return len(self._bytes)

    def pieces(self) -> Iterator[bytes]:
        yield self._bytes


class Token:
    """A token that no `repr` and no pickle shows."""

    def __init__(self, text: str) -> None:
        text = text.strip()
        if re.fullmatch(r"[!-~]+", text) is None:
            raise ValueError("the token must be printable ASCII characters, without spaces")
        self._header = f"Bearer {text}"

    def header(self) -> str:
        return self._header

    def __repr__(self) -> str:
        return "<token>"

    def __reduce__(self) -> Tuple[Any, ...]:
        raise TypeError("a client holds a token, and is not to be pickled")


class Response:
    """An answer whose body is not read yet."""

    def __init__(self, response: http.client.HTTPResponse, close: Callable[[], None]) -> None:
        self._response = response
        self._close = close
        self.status = response.status
        self.headers: Headers = response.headers

    def read(self) -> bytes:
        """Reads the whole body, and closes the connection."""
        try:
            return self._reading(self._response.read)
        finally:
            self.close()

    def read_some(self) -> bytes:
        """Reads the bytes that have arrived, at least one; empty at the end."""
        return self._reading(lambda: self._response.read1(65536))

    def close(self) -> None:
        self._response.close()
        self._close()

    def _reading(self, read: Callable[[], bytes]) -> bytes:
        try:
            return read()
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise lost(error) from error


def lost(error: Exception) -> TransportError:
    if isinstance(error, TIMEOUTS):
        return DeadlineExceeded("no answer came in time", sent=True)
    return TransportError(f"the connection was lost: {error or type(error).__name__}", sent=True)


def segment(text: str) -> str:
    """Encodes any text as one segment of a path."""
    return quote(str(text), safe="")


class Transport:
    """Sends requests to the service, and reads its answers."""

    def __init__(
        self,
        base_url: str,
        token: Optional[str],
        *,
        ssl_context: Optional[ssl.SSLContext],
        proxy: Optional[str],
        reconnect_secs: float,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._url = _service_url(self.base_url)
        self._proxy = None if proxy is None else _proxy_url(proxy)
        self._token = None if token is None else Token(token)
        self._ssl = ssl_context
        self._reconnect_secs = reconnect_secs

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Optional[Mapping[str, Any]] = None,
        body: Optional[Body] = None,
        key: Optional[str] = None,
        deadline: float = ANSWER_SECS,
        idle: Optional[float] = None,
    ) -> Tuple[Any, Headers]:
        """Sends a request, and returns the answer's JSON and headers. Raises the exception of a problem."""
        clock = Clock(deadline, idle)

        def once() -> Tuple[Any, Headers]:
            headers = {"Accept": "application/json", **_keyed(key)}
            response = self.open(method, path, query=query, body=body, headers=headers, clock=clock)
            return _json(response), response.headers

        # The service may have received a POST and acted on it: only a key makes it safe to send it again.
        return self.again_if_lost(once, method != "POST" or key is not None)

    def again_if_lost(self, once: Callable[[], A], repeatable: bool) -> A:
        """Runs `once` again after a lost connection, if it is `repeatable`, until `reconnect_secs` have passed."""
        patience: Optional[Patience] = None
        while True:
            try:
                return once()
            except DeadlineExceeded:
                raise
            except ForgeError as error:
                if not repeatable:
                    raise
                if patience is None:
                    # The first attempt did not even connect: the service is not there.
                    if not isinstance(error, TransportError) or not error.sent:
                        raise
                    patience = self.patience()
                if not passes(error) or not patience.wait(error.retry_after):
                    raise

    def patience(self) -> Patience:
        return Patience(self._reconnect_secs)

    def checks(self, path: str) -> Tuple[bool, str]:
        """Returns whether all checks pass (200, not 503), and the text of the checks. Raises for any other answer."""
        response = self._exchange("GET", self._target(path, None), {}, None, Clock(ANSWER_SECS))
        raw = response.read()
        if response.status != 200 and (response.status != 503 or _media_type(response) != "text/plain"):
            raise _refusal(response, raw)
        return response.status == 200, raw.decode("utf-8", "replace")

    def open(
        self,
        method: str,
        path: str,
        *,
        query: Optional[Mapping[str, Any]] = None,
        body: Optional[Body] = None,
        headers: Mapping[str, str],
        clock: Clock,
    ) -> Response:
        """Sends a request, and returns its 2xx answer before the body is read. Raises for any other status."""
        response = self._exchange(method, self._target(path, query), headers, body, clock)
        if 200 <= response.status < 300:
            return response
        raise _refusal(response, response.read())

    def stream(
        self,
        method: str,
        path: str,
        *,
        query: Optional[Mapping[str, Any]] = None,
        body: Optional[Body] = None,
        key: Optional[str] = None,
        after: Optional[str] = None,
    ) -> Response:
        """Opens a stream of events, from its beginning or after an event."""
        headers = {"Accept": "text/event-stream", **_keyed(key)}
        if after is not None:
            headers["Last-Event-ID"] = after
        clock = Clock(None, STREAM_IDLE_SECS)
        response = self.open(method, path, query=query, body=body, headers=headers, clock=clock)
        # 204: the stream has ended, and nothing comes after that event.
        if response.status != 204 and _media_type(response) != "text/event-stream":
            response.close()
            raise UnexpectedAnswer("the answer is no stream", code="unexpected_answer", status=response.status)
        return response

    def _target(self, path: str, query: Optional[Mapping[str, Any]]) -> str:
        asked = {name: value for name, value in (query or {}).items() if value is not None}
        return self._url.path + path + (f"?{urlencode(asked)}" if asked else "")

    def _exchange(
        self, method: str, target: str, headers: Mapping[str, str], body: Optional[Body], clock: Clock
    ) -> Response:
        connection = self._connection(clock)
        try:
            connection.connect()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if isinstance(error, TIMEOUTS):
                raise DeadlineExceeded(f"no connection to {self.base_url} in time", sent=False) from error
            raise TransportError(f"no connection to {self.base_url}: {error}", sent=False) from error
        try:
            return self._ask(connection, method, target, headers, body)
        except BaseException:
            connection.close()
            raise

    def _ask(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: Optional[Body],
    ) -> Response:
        host = self._url.netloc
        if self._proxy is not None and self._url.scheme == "http":
            target = f"http://{host}{target}"
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", host)
        connection.putheader("Connection", "close")
        connection.putheader("User-Agent", "clawdforge-python/0.3.0")
        if self._token is not None:
            connection.putheader("Authorization", self._token.header())
        for name, value in headers.items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Type", body.content_type)
            connection.putheader("Content-Length", str(body.length))
        elif method == "POST":
            connection.putheader("Content-Length", "0")
        sending = _Sending(connection)
        sending.step(connection.endheaders)
        # A service that refuses the body early may close while it is still sent. Its answer can still be read.
        for piece in body.pieces() if body is not None else ():
            if sending.broken is not None:
                break
            sending.step(lambda piece=piece: connection.send(piece))  # type: ignore[misc]
        sock: Any = connection.sock
        try:
            response = connection.getresponse()
            # http.client takes a head that was cut off by the end of the connection for a complete one.
            if sock.ended:
                raise http.client.IncompleteRead(b"")
        except (OSError, http.client.HTTPException) as error:
            raise lost(sending.broken or error) from error
        return Response(response, connection.close)

    def _connection(self, clock: Clock) -> http.client.HTTPConnection:
        url, via = self._url, self._proxy or self._url
        host, port = via.hostname or "", via.port
        try:
            timeout = min(CONNECT_SECS, clock.left() or CONNECT_SECS)
        except TimeoutError as error:
            raise DeadlineExceeded("no answer came in time", sent=False) from error
        if url.scheme == "http":
            return _Plain(clock, host, port or 80, timeout=timeout)
        context = self._ssl or ssl.create_default_context()
        secure = _Secure(clock, host, port or (443 if self._proxy is None else 80), timeout=timeout, context=context)
        if self._proxy is not None:
            secure.set_tunnel(url.hostname or "", url.port or 443)
        return secure


class _Sending:
    """Sends a request, and records in `broken` if the other side has stopped reading."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self.broken: Optional[Exception] = None

    def step(self, send: Callable[[], None]) -> None:
        try:
            send()
        except (BrokenPipeError, ConnectionResetError) as error:
            self.broken = error
        except OSError as error:
            raise lost(error) from error


class _Plain(http.client.HTTPConnection):
    def __init__(self, clock: Clock, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._clock = clock

    def connect(self) -> None:
        super().connect()
        self.sock: Any = TimedSocket(self.sock, self._clock)


class _Secure(http.client.HTTPSConnection):
    def __init__(self, clock: Clock, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._clock = clock

    def connect(self) -> None:
        super().connect()
        self.sock: Any = TimedSocket(self.sock, self._clock)


class Patience:
    """Pauses between attempts to reconnect. They grow; after `secs` seconds without progress there are no more."""

    def __init__(self, secs: float) -> None:
        self._secs = secs
        self._ends: Optional[float] = None
        self._next = 0.0

    def renew(self) -> None:
        """Records progress: the time starts again with the next lost connection. The pauses go on growing."""
        self._ends = None

    def wait(self, at_least: Optional[float] = None) -> bool:
        """Waits for the next attempt. Returns False if the time is over."""
        now = time.monotonic()
        if self._ends is None:
            self._ends = now + self._secs
        left = self._ends - now
        if left <= 0:
            return False
        pause = max(self._next * random.uniform(0.5, 1.0), at_least or 0.0)
        self._next = min(5.0, max(0.25, self._next * 2))
        time.sleep(min(pause, left))
        return True


def passes(error: ForgeError) -> bool:
    """Whether the failure may be gone at the next attempt, as after a restart of the service."""
    if isinstance(error, TransportError):
        return True
    return error.status in (502, 503, 504) and error.code in ("shutting_down", f"http_{error.status}")


def _media_type(response: Response) -> str:
    return (response.headers.get("Content-Type") or "").partition(";")[0].strip().lower()


def _refusal(response: Response, raw: bytes) -> ForgeError:
    try:
        problem = json.loads(raw)
    except ValueError:
        problem = None
    return error_of(problem, response.status, response.headers)


def _json(response: Response) -> Any:
    raw = response.read()
    try:
        value = json.loads(raw)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UnexpectedAnswer(
            "the answer is no JSON object", code="unexpected_answer", status=response.status
        )
    return value


def _keyed(key: Optional[str]) -> Dict[str, str]:
    if key is None:
        return {}
    if re.fullmatch(r"[ -~]{1,255}", key) is None or key.strip() == "":
        raise ValueError("idempotency_key must be 1 to 255 printable ASCII characters")
    return {"Idempotency-Key": key}


def _service_url(text: str) -> SplitResult:
    url = _checked_url(text, ("http", "https"), "base_url")
    if url.query or url.fragment or url.username is not None or re.search(r"[^!-~]", text):
        raise ValueError("base_url must be http(s)://host[:port][/path], and nothing more")
    return url


def _proxy_url(text: str) -> SplitResult:
    return _checked_url(text, ("http",), "proxy")


def _checked_url(text: str, schemes: Tuple[str, ...], what: str) -> SplitResult:
    url = urlsplit(text)
    if url.scheme not in schemes or not url.hostname:
        raise ValueError(f"{what} must begin with {' or '.join(scheme + '://' for scheme in schemes)}")
    _ = url.port  # Raises ValueError when it is none.
    return url
