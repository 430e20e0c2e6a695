from __future__ import annotations

import copy
import pickle
import traceback
import unittest
from typing import Any, List, Union

import clawdforge
from clawdforge import Forge, ForgeAdmin, ForgeError
from clawdforge._errors import error_of

SECRET = "cf_a-secret-that-shows-nowhere"


class ErrorTest(unittest.TestCase):
    def test_each_code_has_its_class(self) -> None:
        classes = {
            "invalid_request": clawdforge.InvalidRequest,
            "model_not_found": clawdforge.ModelNotFound,
            "unauthorized": clawdforge.Unauthorized,
            "ip_not_allowed": clawdforge.Forbidden,
            "origin_not_allowed": clawdforge.Forbidden,
            "not_found": clawdforge.NotFound,
            "conflict": clawdforge.Conflict,
            "session_busy": clawdforge.SessionBusy,
            "idempotency_conflict": clawdforge.IdempotencyConflict,
            "session_closed": clawdforge.SessionClosed,
            "gone": clawdforge.Gone,
            "payload_too_large": clawdforge.PayloadTooLarge,
            "rate_limited": clawdforge.RateLimited,
            "quota_exceeded": clawdforge.QuotaExceeded,
            "run_failed": clawdforge.RunFailed,
            "turn_failed": clawdforge.TurnFailed,
            "agent_unavailable": clawdforge.AgentUnavailable,
            "billing": clawdforge.BillingRefused,
            "pool_full": clawdforge.PoolFull,
            "overloaded": clawdforge.Overloaded,
            "not_logged_in": clawdforge.NotLoggedIn,
            "shutting_down": clawdforge.ShuttingDown,
            "timeout": clawdforge.Timeout,
            "internal": clawdforge.InternalError,
        }
        for code, cls in classes.items():
            self.assertIs(type(error_of({"code": code}, 500, {})), cls)

    def test_an_unknown_code_is_what_its_status_says(self) -> None:
        for status, cls in ((404, clawdforge.NotFound), (503, clawdforge.Unavailable), (418, ForgeError)):
            error = error_of({"code": "brand_new", "detail": "new"}, status, {})
            self.assertEqual((type(error), error.code, error.status), (cls, "brand_new", status))

    def test_what_is_no_problem_is_what_its_status_says(self) -> None:
        bodies: List[Any] = [None, [], "text", {}, {"code": 5}]
        for body in bodies:
            error = error_of(body, 502, {"Retry-After": "7"})
            self.assertIs(type(error), clawdforge.UnexpectedAnswer)
            self.assertEqual((error.code, error.status, error.retryable, error.retry_after), ("http_502", 502, True, 7))

    def test_has_what_the_problem_says(self) -> None:
        problem = {
            "ok": False,
            "error": "went wrong",
            "detail": "went wrong",
            "code": "run_failed",
            "status": 502,
            "request_id": "r-1",
            "retryable": True,
            "issues": [{"path": ["qty"], "message": "is missing"}],
            "stderr": "oops",
            "exit_code": 3,
            "duration_ms": 12,
            "stop_reason": "refusal",
            "a_new_field": {},
        }
        error = error_of(problem, 502, {"Retry-After": "30", "X-Run-Id": "01M"})
        for again in (error, pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
            self.assertIs(type(again), clawdforge.RunFailed)
            self.assertEqual(again.message, "went wrong")
            self.assertEqual(again.request_id, "r-1")
            self.assertTrue(again.retryable)
            self.assertEqual(again.retry_after, 30)
            self.assertEqual(again.issues, [{"path": ["qty"], "message": "is missing"}])
            self.assertEqual((again.stderr, again.exit_code, again.duration_ms), ("oops", 3, 12))
            self.assertEqual((again.stop_reason, again.run_id), ("refusal", "01M"))
            self.assertEqual(str(again), "went wrong (run_failed, 502, retry after 30 s, request r-1)")

    def test_takes_a_date_for_retry_after_and_nothing_else(self) -> None:
        past = error_of(None, 503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})
        self.assertEqual(past.retry_after, 0)
        for odd in ("soon", "-5", "", "٣"):
            self.assertIsNone(error_of(None, 503, {"Retry-After": odd}).retry_after)

    def test_a_lost_connection_is_a_connection_error(self) -> None:
        lost = clawdforge.DeadlineExceeded("late", sent=True, run_id="01M")
        again = pickle.loads(pickle.dumps(lost))
        for error in (lost, again):
            for cls in (ForgeError, clawdforge.TransportError, ConnectionError, TimeoutError):
                self.assertIsInstance(error, cls)
            self.assertEqual((error.message, error.sent, error.run_id, error.status), ("late", True, "01M", None))


class SecretTest(unittest.TestCase):
    def test_the_token_shows_in_no_client(self) -> None:
        clients: List[Union[Forge, ForgeAdmin]] = [Forge("http://h:1", SECRET), ForgeAdmin("http://h:1", SECRET)]
        for client in clients:
            for text in (repr(client), str(client), repr(vars(client)), repr(vars(client._transport))):
                self.assertNotIn(SECRET, text)
            with self.assertRaises(TypeError):
                pickle.dumps(client)
            with self.assertRaises(TypeError):
                copy.deepcopy(client)

    def test_the_token_shows_in_no_failure(self) -> None:
        for bad in (f"{SECRET}\nX: y", f"{SECRET} x", f"{SECRET}é"):
            with self.assertRaises(ValueError) as raised:
                Forge("http://h:1", bad)
            self.assertNotIn(SECRET, "".join(traceback.format_exception(None, raised.exception, None)))
        with self.assertRaises(ForgeError) as failed:
            Forge("http://127.0.0.1:1", SECRET).healthz()
        self.assertNotIn(SECRET, repr(failed.exception))
        self.assertNotIn(SECRET.encode(), pickle.dumps(failed.exception))

    def test_a_minted_token_shows_only_when_asked_for(self) -> None:
        minted = clawdforge.MintedToken("recipes", SECRET, [], 0)
        self.assertNotIn(SECRET, repr(minted))
        self.assertEqual(minted.token, SECRET)

    def test_a_base_url_is_an_origin_and_perhaps_a_path(self) -> None:
        for bad in ("h:1", "ftp://h", "http://", "http://a:b@h", "http://h?x=1", "http://h#x", "http://h:x", "http://h/ x"):
            with self.assertRaises(ValueError, msg=bad):
                Forge(bad, SECRET)


if __name__ == "__main__":
    unittest.main()
