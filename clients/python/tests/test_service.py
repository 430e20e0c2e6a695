"""Tests against a running service, which uses the scripted agents of its own tests."""

from __future__ import annotations

import os
import random
import tempfile
import threading
import unittest
import uuid
from typing import Callable, List, Tuple

import clawdforge
from clawdforge import Event, Forge, ForgeAdmin, Session

from support import CutProxy, service

PARTS = ["%d 😀 naïve 漢字 👩‍👩‍👧\r\n" % n for n in range(30)]


def key() -> str:
    return uuid.uuid4().hex


class ServiceTest(unittest.TestCase):
    def setUp(self) -> None:
        self.url, self.token, self.admin_token = service()
        self.forge = Forge(self.url, self.token)
        self.admin = ForgeAdmin(self.url, self.admin_token)

    def through(self, *cuts: int, reset: bool = False) -> Tuple[Forge, CutProxy]:
        """A client of the same app whose connections are cut."""
        proxy = CutProxy(self.url, list(cuts), reset)
        self.addCleanup(proxy.close)
        return Forge(proxy.url, self.token), proxy


class RunTest(ServiceTest):
    def test_says_how_it_is(self) -> None:
        self.assertTrue(self.forge.healthz().ok)
        ready = self.forge.readyz()
        self.assertTrue(any(line.startswith("ok database") for line in ready.lines), ready)

    def test_answers_with_a_value_or_a_text(self) -> None:
        answer = self.forge.run('SAY ```json\n{"qty":2,"unit":"cup"}\n```', timeout_secs=30)
        self.assertEqual(answer.result, {"qty": 2, "unit": "cup"})
        self.assertEqual(answer.stop_reason, "end_turn")
        self.assertIsInstance(answer.duration_ms, int)
        said = 'quotes " \\ \n\t -- 😀 naïve 漢字'
        self.assertEqual(self.forge.run(f"SAY {said}").result, said)

    def test_takes_every_option(self) -> None:
        answer = self.forge.run(
            'SAY {"qty":2}',
            model="opus",
            system="You parse recipes.",
            system_mode="replace",
            effort="low",
            files=[],
            timeout_secs=60,
            output_schema={"type": "object", "properties": {"qty": {"type": "number"}}, "required": ["qty"]},
            include_usage=True,
            on_disconnect="cancel",
            idempotency_key=key(),
        )
        self.assertEqual(answer.result, {"qty": 2})
        self.assertIsNotNone(answer.run_id)

    def test_uploads_a_file_to_ask_about(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, 'no "tes\r\n; naïve.txt')
            with open(path, "wb") as file:
                file.write("漢字 of a file".encode() + b"\r\n--boundary\r\n")
            uploaded = self.forge.upload_file(path, ttl_secs=600)
        self.assertEqual((uploaded.size, uploaded.ttl_secs), (30, 600))
        answer = self.forge.run("CAT", files=[uploaded])
        self.assertEqual(answer.result, "漢字 of a file\r\n--boundary\r\n")

    def test_an_upload_that_is_too_large_is_refused(self) -> None:
        with tempfile.NamedTemporaryFile() as file:
            file.truncate(3_000_000)
            with self.assertRaises(clawdforge.PayloadTooLarge):
                self.forge.upload_file(file.name)

    def test_runs_once_under_a_key(self) -> None:
        again = key()
        first = self.forge.run("SAY once", idempotency_key=again)
        second = self.forge.run("SAY once", idempotency_key=again)
        self.assertEqual((first.replayed, second.replayed, second.run_id), (False, True, first.run_id))
        with self.assertRaises(clawdforge.IdempotencyConflict):
            self.forge.run("SAY twice", idempotency_key=again)

    def test_tells_of_runs_and_cancels_them(self) -> None:
        run = self.forge.run("SAY seen")
        state = self.forge.get_run(run.run_id or "")
        self.assertEqual((state.status, state.kind, state.prompt_chars), ("completed", "run", 8))
        listed = self.forge.runs(limit=1)
        self.assertEqual([one.run_id for one in listed.runs], [run.run_id])
        self.assertNotEqual(self.forge.runs(limit=1, cursor=listed.next_cursor).runs, listed.runs)
        with self.forge.stream("HOLD") as stream:
            self.assertEqual(next(stream).type, "run")
            self.assertTrue(self.forge.cancel_run(stream.run_id or ""))
            self.assertEqual(stream.result().stop_reason, "cancelled")
        self.assertFalse(self.forge.cancel_run(run.run_id or ""))

    def test_streams_the_whole_answer_also_when_it_begins_anew(self) -> None:
        stream = self.forge.stream("ANEW half of it | all of it")
        shown = ""
        for event in stream:
            shown = "" if event.reset else shown + event.text()
        self.assertEqual((shown, stream.text(), stream.result().result), ("all of it",) * 3)
        self.assertEqual("".join(event.text() for event in self.forge.stream("ANEW half | half and half")), "half and half")

    def test_tells_what_happened(self) -> None:
        run_id = self.forge.run("SAY told").run_id
        types = [event["type"] for event in self.forge.events(run_id=run_id)]
        self.assertEqual(types, ["run.completed", "run.started", "run.queued"])
        proxied, proxy = self.through(400, 500, 2000)
        with proxied.follow_events(type="run.completed") as followed:
            begun = [self.forge.run(f"SAY {n}").run_id for n in range(5)]
            self.assertEqual([next(followed).data["run_id"] for _ in begun], begun)


class RefusedTest(ServiceTest):
    def test_401(self) -> None:
        for token in ("cf_unknown", self.admin_token):
            with self.assertRaises(clawdforge.Unauthorized) as raised:
                Forge(self.url, token).run("SAY hi")
            self.assertEqual((raised.exception.status, raised.exception.code), (401, "unauthorized"))
            self.assertNotIn(token, repr(raised.exception))
            self.assertIsNotNone(raised.exception.request_id)
        with self.assertRaises(clawdforge.Unauthorized):
            Forge(self.url, "cf_unknown").stream("SAY hi")

    def test_404(self) -> None:
        asks: List[Callable[[], object]] = [
            lambda: self.forge.get_run("../admin/tokens"),
            lambda: self.forge.resume_session(str(uuid.uuid4())).turn("hi"),
            lambda: self.forge.run("SAY hi", files=["ff_unknown"]),
            lambda: self.forge.run_events("unknown"),
        ]
        for ask in asks:
            with self.assertRaises(clawdforge.NotFound) as raised:
                ask()
            self.assertEqual((raised.exception.status, raised.exception.retryable), (404, False))

    def test_400_with_issues(self) -> None:
        with self.assertRaises(clawdforge.InvalidRequest) as raised:
            self.forge.run("SAY hi", timeout_secs=0)
        self.assertEqual([issue["path"] for issue in raised.exception.issues], [["timeout_secs"]])

    def test_503_with_retry_after(self) -> None:
        sessions: List[Session] = []
        self.addCleanup(lambda: [session.close() for session in sessions])
        with self.assertRaises(clawdforge.PoolFull) as raised:
            for _ in range(10):
                sessions.append(self.forge.session())
        self.assertEqual((raised.exception.status, raised.exception.retry_after), (503, 30))
        self.assertTrue(raised.exception.retryable)

    def test_502_and_504(self) -> None:
        with self.assertRaises(clawdforge.RunFailed) as failed:
            self.forge.run("EXIT 3")
        self.assertEqual((failed.exception.exit_code, failed.exception.status), (3, 502))
        self.assertIn("scripted failure", failed.exception.stderr or "")
        with self.assertRaises(clawdforge.Timeout) as late:
            self.forge.run("HOLD", timeout_secs=1)
        self.assertEqual(late.exception.status, 504)
        with self.assertRaises(clawdforge.RunFailed):
            self.forge.stream("EXIT 3").result()


class SessionTest(ServiceTest):
    def test_takes_turns(self) -> None:
        with self.forge.session(agent="claude", meta={"user": "ada"}, permission_mode="deny-all") as session:
            self.assertEqual(session.turn("SAY naïve 😀").text(), "naïve 😀")
            second = session.turn("SAY two", timeout_secs=30)
            self.assertEqual((second.turn_index, second.stop_reason), (2, "end_turn"))
            state = session.state()
            self.assertEqual((state.status, state.turn_count, state.meta), ("open", 2, {"user": "ada"}))
            listed = [one.session_id for one in self.forge.sessions(include_closed=False)]
            self.assertEqual(listed, [session.session_id])
            self.assertEqual(self.forge.resume_session(session.session_id).turn("SAY three").turn_index, 3)
        self.assertEqual(session.state().status, "closed")
        with self.assertRaises(clawdforge.SessionClosed):
            session.turn("SAY four")

    def test_closes_again_and_again(self) -> None:
        session = self.forge.session()
        self.assertEqual([session.close(), session.close()], [True, False])

    def test_closes_without_hiding_what_went_wrong(self) -> None:
        proxied, _ = self.through()
        with self.assertRaisesRegex(KeyError, "mine"):
            with proxied.session() as session:
                session._path = "/sessions/unknown"
                raise KeyError("mine")
        self.forge.resume_session(session.session_id).close()

    def test_cancels_a_turn(self) -> None:
        with self.forge.session() as session:
            stream = session.stream("STREAM 1000 20")
            self.assertEqual(next(stream).type, "run")
            self.assertTrue(session.cancel())
            self.assertEqual(stream.result().stop_reason, "cancelled")
            self.assertFalse(session.cancel())

    def test_streams_what_a_turn_answers(self) -> None:
        with self.forge.session() as session:
            stream = session.stream("STREAM 30 1")
            events = list(stream)
            self.assertEqual("".join(event.text() for event in events), "".join(PARTS))
            answer = stream.result()
            self.assertEqual(answer.text(), "".join(PARTS))
            self.assertEqual(session.turn_events(1).result(), answer)
            self.assertEqual(session.turn_events(1, after=events[9].id).result().text(), "".join(PARTS))
            self.assertEqual(list(self.forge.run_events(answer.run_id or "")), events)

    def test_tells_what_the_agent_says_between_turns(self) -> None:
        proxied, proxy = self.through(900, 400)
        with self.forge.session() as session:
            followed = proxied.resume_session(session.session_id).events()
            self.assertEqual(next(followed).type, "session.create")
            self.assertEqual(session.turn("LATE 20 SAY on time").text(), "on time")
            told = {event.type: event for event in (next(followed), next(followed))}
            self.assertEqual(set(told), {"session.turn", "session.message"})
            self.assertEqual(told["session.message"].text(), "too late")
        self.assertEqual([event.type for event in followed], ["session.close"])
        self.assertEqual(followed.text(), "too late")
        self.assertGreaterEqual(proxy.cut, 1)
        everything = list(session.events())
        self.assertEqual([event.type for event in everything][::3], ["session.create", "session.close"])
        self.assertEqual(list(session.events(after=everything[-1].id)), [])

    def test_tells_what_a_turn_took_and_leaves_its_messages_out(self) -> None:
        with self.forge.session() as session:
            plain = session.turn("SAY hello")
            self.assertEqual((plain.usage, plain.cost_usd, plain.model), (None, None, None))
            lean = session.turn("USAGE SAY hello", include_usage=True, include_events=False)
            self.assertEqual((lean.text(), lean.events), ("hello", []))
            self.assertEqual((lean.usage or {})["output_tokens"], 5)
            stream = session.stream("USAGE SAY hello", include_usage=True)
            self.assertEqual((stream.result().usage, stream.result().text()), (lean.usage, "hello"))
            self.assertEqual(session.turn_events(3, include_usage=True).result().usage, lean.usage)
            self.assertEqual(self.forge.get_run(stream.run_id or "").usage, lean.usage)

    def test_is_used_by_many_threads(self) -> None:
        with self.forge.session() as session:
            texts: List[str] = []
            threads = [
                threading.Thread(target=lambda n=n: texts.append(session.turn(f"SAY {n}").text()))
                for n in range(8)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(sorted(texts), [str(n) for n in range(8)])


class CutTest(ServiceTest):
    def check(self, events: List[Event], run_id: str) -> None:
        """Asserts that these are all events of the run, each once and in order."""
        self.assertEqual(events, list(self.forge.run_events(run_id)))
        self.assertEqual([events[0].type, events[-1].type], ["run", "result"])
        self.assertEqual("".join(event.text() for event in events), "".join(PARTS))

    def test_a_streamed_run_loses_nothing(self) -> None:
        rng = random.Random(11)
        for reset in (False, True):
            # The first cut is after the head; the others are anywhere, also inside a head or a character.
            cuts = [rng.randrange(500, 1500), 3] + [rng.randrange(1, 3000) for _ in range(8)]
            forge, proxy = self.through(*cuts, reset=reset)
            stream = forge.stream("STREAM 30 20")
            events = list(stream)
            self.assertGreaterEqual(proxy.cut, 3, cuts)
            self.check(events, stream.run_id or "")

    def test_a_streamed_turn_loses_nothing(self) -> None:
        with self.forge.session() as session:
            forge, proxy = self.through(900, 10, 1400, 700)
            stream = forge.resume_session(session.session_id).stream("STREAM 30 10")
            self.check(list(stream), stream.run_id or "")
            self.assertGreaterEqual(proxy.cut, 3)

    def test_goes_on_after_an_event(self) -> None:
        stream = self.forge.stream("STREAM 30 1")
        first = [next(stream) for _ in range(10)]
        stream.close()
        rest = self.forge.run_events(stream.run_id or "", after=stream.last_event_id)
        self.check(first + list(rest), stream.run_id or "")

    def test_in_the_head_it_is_begun_again_only_with_a_key(self) -> None:
        forge, proxy = self.through(20, 20, 20)
        before = [run.run_id for run in self.forge.runs(limit=500).runs]
        with self.assertRaises(clawdforge.TransportError) as raised:
            forge.stream("STREAM 30 1")
        self.assertTrue(raised.exception.sent)
        self.assertEqual(proxy.connections, 1)
        stream = forge.stream("STREAM 30 1", idempotency_key=key())
        self.check(list(stream), stream.run_id or "")
        self.assertEqual(proxy.cut, 3)
        # One run for each of the two requests.
        self.assertEqual(len(self.forge.runs(limit=500).runs), len(before) + 2)

    def test_a_plain_run_is_sent_again_only_with_a_key(self) -> None:
        forge, proxy = self.through(20, 100, 300)
        with self.assertRaises(clawdforge.TransportError):
            forge.run("SAY hi")
        self.assertEqual(proxy.connections, 1)
        answer = forge.run("SAY hi", idempotency_key=key())
        self.assertEqual((answer.result, proxy.connections), ("hi", 4))

    def test_an_upload_is_sent_again_with_a_key(self) -> None:
        forge, proxy = self.through(20)
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"kept once")
            file.flush()
            uploaded = forge.upload_file(file.name, idempotency_key=key())
        self.assertEqual((uploaded.size, proxy.connections), (9, 2))


class AdminTest(ServiceTest):
    def test_mints_lists_and_revokes(self) -> None:
        name = f"app-{key()[:8]}"
        minted = self.admin.mint_token(name, ["127.0.0.0/8", "fd00::/8"])
        app = Forge(self.url, minted.token)
        self.assertEqual(app.run("SAY hi").result, "hi")
        stream = app.stream("HOLD")
        self.assertEqual(next(stream).type, "run")
        with self.assertRaises(clawdforge.Conflict):
            self.admin.mint_token(name)
        self.assertEqual([self.admin.revoke_token(name), self.admin.revoke_token(name)], [True, False])
        with self.assertRaises(clawdforge.Unauthorized):
            stream.result()
        (listed,) = [one for one in self.admin.tokens() if one.name == name]
        self.assertEqual(listed.ip_cidrs, ["127.0.0.0/8", "fd00::/8"])
        self.assertIsNotNone(listed.revoked_at)
        with self.assertRaises(clawdforge.NotFound):
            self.admin.revoke_token("never-was")
        with self.assertRaises(clawdforge.Unauthorized):
            ForgeAdmin(self.url, self.token).tokens()


if __name__ == "__main__":
    unittest.main()
