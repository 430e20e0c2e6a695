"""Every way in which a call fails, as a class for each code that programs branch on."""

from __future__ import annotations

import copyreg
import email.utils
import time
from typing import Any, Dict, List, Optional, Protocol, Tuple, Type


class Headers(Protocol):
    """An answer's headers, whatever the case of their names."""

    def get(self, name: str) -> Optional[str]: ...


class ForgeError(Exception):
    """A call that gave no answer. `code` is stable; `status` is None when there was no HTTP answer."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: Optional[int] = None,
        request_id: Optional[str] = None,
        retryable: bool = False,
        retry_after: Optional[float] = None,
        issues: Optional[List[Dict[str, Any]]] = None,
        stderr: Optional[str] = None,
        exit_code: Optional[int] = None,
        duration_ms: Optional[int] = None,
        stop_reason: Optional[str] = None,
        run_id: Optional[str] = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        self.request_id = request_id
        #: Whether the same call may succeed later without anybody changing anything.
        self.retryable = retryable
        #: Seconds to wait before that, if the service said so.
        self.retry_after = retry_after
        #: What is wrong with the input: `{"path": [...], "message": "..."}` each.
        self.issues = issues if issues is not None else []
        self.stderr = stderr
        self.exit_code = exit_code
        self.duration_ms = duration_ms
        self.stop_reason = stop_reason
        self.run_id = run_id

    def __str__(self) -> str:
        about = [self.code]
        if self.status is not None:
            about.append(str(self.status))
        if self.retry_after is not None:
            about.append(f"retry after {self.retry_after:g} s")
        if self.request_id is not None:
            about.append(f"request {self.request_id}")
        return f"{self.message} ({', '.join(about)})"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> Tuple[Any, ...]:
        return copyreg.__newobj__, (type(self), self.message), self.__dict__.copy()  # type: ignore[attr-defined]


class TransportError(ForgeError, ConnectionError):
    """No answer came: no connection, or one that was lost."""

    def __init__(
        self,
        message: str,
        *,
        sent: bool,
        run_id: Optional[str] = None,
        last_event_id: Optional[str] = None,
    ) -> None:
        super().__init__(message, code="transport", retryable=True, run_id=run_id)
        #: Whether the service may have received the request. If not, it is safe to send it again.
        self.sent = sent
        #: Of a stream that could not be resumed: the last event that was delivered.
        self.last_event_id = last_event_id


class DeadlineExceeded(TransportError, TimeoutError):
    """No answer came in time. What was asked for may still be at work."""


class UnexpectedAnswer(ForgeError):
    """Something answered that does not speak as clawdforge does: a proxy, a redirect, another service."""


class InvalidRequest(ForgeError):
    """The request breaks a rule; `issues` say which."""


class Unauthorized(ForgeError):
    """No token, an unknown one, or a revoked one."""


class Forbidden(ForgeError):
    """This address may not use the service, or not this token."""


class NotFound(ForgeError):
    """No such session, run, file or token, or another app's."""


class Conflict(ForgeError):
    """It is in use."""


class SessionBusy(Conflict):
    """As many turns wait on the session as may."""


class IdempotencyConflict(Conflict):
    """The key was used for another request."""


class Gone(ForgeError):
    """It was there, and is kept no more."""


class SessionClosed(Gone):
    """A turn on a closed session."""


class PayloadTooLarge(ForgeError):
    """The body or the file is larger than any may be."""


class RateLimited(ForgeError):
    """A limit holds until `retry_after`."""


class QuotaExceeded(RateLimited):
    """The app's files together would be too large."""


class RunFailed(ForgeError):
    """The agent failed, or answered what cannot be used."""


class TurnFailed(RunFailed):
    """The agent gave no answer to a turn."""


class AgentUnavailable(RunFailed):
    """The agent cannot be started, or cannot take up its session."""


class Unavailable(ForgeError):
    """The service cannot take it now."""


class PoolFull(Unavailable):
    """As many sessions are open as may be."""


class Overloaded(Unavailable):
    """Too many runs wait, or this one waited too long."""


class NotLoggedIn(Unavailable):
    """The agent has no login."""


class ShuttingDown(Unavailable):
    """The service is stopping."""


class Timeout(ForgeError):
    """The run or turn took longer than its `timeout_secs` and was ended."""


class InternalError(ForgeError):
    """Something went wrong in the service."""


_BY_CODE: Dict[str, Type[ForgeError]] = {
    "invalid_request": InvalidRequest,
    "unauthorized": Unauthorized,
    "ip_not_allowed": Forbidden,
    "not_found": NotFound,
    "conflict": Conflict,
    "session_busy": SessionBusy,
    "idempotency_conflict": IdempotencyConflict,
    "gone": Gone,
    "session_closed": SessionClosed,
    "payload_too_large": PayloadTooLarge,
    "rate_limited": RateLimited,
    "quota_exceeded": QuotaExceeded,
    "run_failed": RunFailed,
    "turn_failed": TurnFailed,
    "agent_unavailable": AgentUnavailable,
    "pool_full": PoolFull,
    "overloaded": Overloaded,
    "not_logged_in": NotLoggedIn,
    "shutting_down": ShuttingDown,
    "timeout": Timeout,
    "internal": InternalError,
}

_BY_STATUS: Dict[int, Type[ForgeError]] = {
    400: InvalidRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: PayloadTooLarge,
    429: RateLimited,
    503: Unavailable,
}


def error_of(problem: Any, status: int, headers: Headers) -> ForgeError:
    """The exception for a problem object; for what is none, the one that its status says."""
    known = problem if isinstance(problem, dict) and isinstance(problem.get("code"), str) else {}
    code = known.get("code")
    if code is None:
        cls = _BY_STATUS.get(status, UnexpectedAnswer)
        what = "a redirect, which is not followed" if 300 <= status < 400 else "something that is no problem object"
        message = f"the answer was {status} with {what}"
        return cls(
            message,
            code=f"http_{status}",
            status=status,
            request_id=headers.get("X-Request-Id"),
            retryable=status in (408, 429, 502, 503, 504),
            retry_after=_seconds(headers.get("Retry-After")),
        )
    issues = known.get("issues")
    return _BY_CODE.get(code, _BY_STATUS.get(status, ForgeError))(
        str(known.get("detail") or known.get("error") or known.get("title") or code),
        code=code,
        status=status,
        request_id=known.get("request_id") or headers.get("X-Request-Id"),
        retryable=known.get("retryable") is True,
        retry_after=_seconds(headers.get("Retry-After")),
        issues=issues if isinstance(issues, list) else None,
        stderr=known.get("stderr"),
        exit_code=known.get("exit_code"),
        duration_ms=known.get("duration_ms"),
        stop_reason=known.get("stop_reason"),
        run_id=headers.get("X-Run-Id"),
    )


def _seconds(retry_after: Optional[str]) -> Optional[float]:
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        at = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return max(0.0, at.timestamp() - time.time())
