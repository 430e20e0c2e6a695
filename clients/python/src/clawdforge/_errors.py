"""The exceptions of calls: a class for each code, so that programs can branch on it."""

from __future__ import annotations

import copyreg
import email.utils
import time
from typing import Any, Dict, List, Optional, Protocol, Tuple, Type


class Headers(Protocol):
    """An answer's headers. Names are case-insensitive."""

    def get(self, name: str) -> Optional[str]: ...


class ForgeError(Exception):
    """A call failed. `code` is stable. `status` is None if there was no HTTP answer."""

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
        #: Whether the same call may succeed later although nothing is changed.
        self.retryable = retryable
        #: Seconds to wait before the next call, if the service has named them.
        self.retry_after = retry_after
        #: The problems of the request's fields, each as `{"path": [...], "message": "..."}`.
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
    """There was no connection, or it was lost before the answer was complete."""

    def __init__(
        self,
        message: str,
        *,
        sent: bool,
        run_id: Optional[str] = None,
        last_event_id: Optional[str] = None,
    ) -> None:
        super().__init__(message, code="transport", retryable=True, run_id=run_id)
        #: Whether the service may have received the request. If False, it is safe to send it again.
        self.sent = sent
        #: The last event that was delivered, if a stream could not be resumed.
        self.last_event_id = last_event_id


class DeadlineExceeded(TransportError, TimeoutError):
    """No answer came in time. The run may still be going on."""


class UnexpectedAnswer(ForgeError):
    """The answer is not one of clawdforge: it comes from a proxy, a redirect, or another service."""


class InvalidRequest(ForgeError):
    """The request is not valid; `issues` tell why."""


class ModelNotFound(InvalidRequest):
    """The provider does not know the model."""


class Unauthorized(ForgeError):
    """The token is missing, unknown or revoked."""


class Forbidden(ForgeError):
    """The service, or the token, may not be used from this address."""


class NotFound(ForgeError):
    """The session, run, file or token does not exist, or belongs to another app."""


class Conflict(ForgeError):
    """The request conflicts with something that exists, such as a token of the same name."""


class SessionBusy(Conflict):
    """The session has the maximum number of waiting turns."""


class IdempotencyConflict(Conflict):
    """The key was used for a different request before."""


class Gone(ForgeError):
    """The run's answer is no longer stored."""


class SessionClosed(Gone):
    """The turn's session is closed."""


class PayloadTooLarge(ForgeError):
    """The body or the file is larger than the limit."""


class RateLimited(ForgeError):
    """A limit is reached; try again after `retry_after` seconds."""


class QuotaExceeded(RateLimited):
    """The app's files together would exceed the limit."""


class RunFailed(ForgeError):
    """The agent failed, or its answer is not usable."""


class TurnFailed(RunFailed):
    """The agent did not answer a turn."""


class BillingRefused(RunFailed):
    """The provider has a billing problem with the login: its credit or a payment."""


class AgentUnavailable(RunFailed):
    """The agent cannot be started, or cannot resume its session."""


class Unavailable(ForgeError):
    """The service cannot accept the request now."""


class PoolFull(Unavailable):
    """The maximum number of sessions is open."""


class Overloaded(Unavailable):
    """Too many runs are waiting, this run waited too long, or the provider has too much to do."""


class NotLoggedIn(Unavailable):
    """The agent has no login, or its provider does not accept it."""


class ShuttingDown(Unavailable):
    """The service is stopping."""


class Timeout(ForgeError):
    """The run or turn took longer than its `timeout_secs`, so the service ended it."""


class InternalError(ForgeError):
    """The service has an error."""


_BY_CODE: Dict[str, Type[ForgeError]] = {
    "invalid_request": InvalidRequest,
    "model_not_found": ModelNotFound,
    "unauthorized": Unauthorized,
    "ip_not_allowed": Forbidden,
    "origin_not_allowed": Forbidden,
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
    "billing": BillingRefused,
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
    """Returns the exception of a problem's code. For an unknown code, or no problem, the exception of the status."""
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
