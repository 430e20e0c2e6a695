from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest
from typing import List
from unittest import mock

import clawdforge
from clawdforge import Forge
from clawdforge._multipart import safe_name

from support import Server, answering, http, request_of

TOKEN = "cf_test"
HEALTH = b'{"ok":true,"claude_present":true,"open_sessions":3,"a_new_field":[1]}'
ANSWER = b'{"ok":true,"result":{"qty":2},"duration_ms":4,"stop_reason":"end_turn","a_new_field":1}'
STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Run-Id: 01M\r\nConnection: close\r\n\r\n"
)
RUN = b'id: 1\nevent: run\ndata: {"run_id":"01M"}\n\n'
RESULT = b"id: 2\nevent: result\ndata: " + ANSWER + b"\n\n"


class AnswerTest(unittest.TestCase):
    def test_ignores_what_it_does_not_know(self) -> None:
        server, asked = answering(http("200 OK", HEALTH), http("200 OK", ANSWER, "X-Run-Id: 01M"))
        with server:
            forge = Forge(server.url + "/prefix/", TOKEN)
            self.assertEqual(forge.healthz().open_sessions, 3)
            answer = forge.run("hi", model="m", output_schema={"type": "object"}, include_usage=True)
        self.assertEqual((answer.result, answer.stop_reason, answer.run_id), ({"qty": 2}, "end_turn", "01M"))
        self.assertIn(b"GET /prefix/healthz HTTP/1.1\r\n", asked[0])
        head, _, body = asked[1].partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"POST /prefix/run?include=usage HTTP/1.1\r\n"))
        self.assertIn(b"Authorization: Bearer cf_test", head)
        self.assertEqual(json.loads(body), {"prompt": "hi", "model": "m", "output_schema": {"type": "object"}})

    def test_sends_any_text(self) -> None:
        server, asked = answering(http("200 OK", ANSWER))
        prompts = ['"quotes" \\ \n\r\t\0\x1b', "😀 naïve 漢字", "--flag", "half \ud83d of a pair"]
        with server:
            for prompt in prompts:
                Forge(server.url, TOKEN).run(prompt)
        self.assertEqual([json.loads(one.partition(b"\r\n\r\n")[2])["prompt"] for one in asked], prompts)
        # Characters are sent as UTF-8, not as longer escapes: the service limits the bytes of a body.
        self.assertIn("漢字".encode(), asked[1])

    def test_does_not_follow_redirects(self) -> None:
        other, seen = answering(http("200 OK", HEALTH))
        for status in ("301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"):
            server, asked = answering(http(status, b"", f"Location: {other.url}/healthz"))
            with server, self.assertRaises(clawdforge.UnexpectedAnswer) as raised:
                Forge(server.url, TOKEN).healthz()
            self.assertEqual(raised.exception.status, int(status[:3]))
            self.assertEqual(len(asked), 1)
        other.close()
        self.assertEqual(seen, [])

    def test_what_is_no_json_object_is_unexpected(self) -> None:
        for body in (b"<html>", b"[]", b"", b'{"ok":true}'):
            server, _ = answering(http("200 OK", body))
            with server, self.assertRaises(clawdforge.UnexpectedAnswer):
                Forge(server.url, TOKEN).run("hi")

    def test_a_page_of_a_proxy_is_told_by_its_status(self) -> None:
        server, _ = answering(http("503 Service Unavailable", b"<html>", "Retry-After: 9"))
        with server, self.assertRaises(clawdforge.Unavailable) as raised:
            Forge(server.url, TOKEN).run("hi")
        self.assertEqual((raised.exception.code, raised.exception.retry_after), ("http_503", 9))


    def test_says_whether_the_service_is_ready(self) -> None:
        lines = ["ok database: can be written to", "fail disk: 1 % is free"]
        body, plain = "\n".join(lines).encode(), "Content-Type: text/plain; charset=utf-8"
        for status, ok in (("200 OK", True), ("503 Service Unavailable", False)):
            server, _ = answering(http(status, body, plain))
            with server:
                self.assertEqual(Forge(server.url).readyz(), clawdforge.Readiness(ok, lines))

    def test_a_refusal_says_nothing_of_the_service_being_ready(self) -> None:
        refused = json.dumps({"code": "ip_not_allowed", "error": "not from there"}).encode()
        stopping = json.dumps({"code": "shutting_down", "error": "the service is stopping"}).encode()
        html, plain = "Content-Type: text/html", "Content-Type: text/plain"
        problem = "Content-Type: application/problem+json"
        for answer, failure, code in (
            (http("403 x", refused, problem), clawdforge.Forbidden, "ip_not_allowed"),
            (http("404 x", b"not found", plain), clawdforge.NotFound, "http_404"),
            (http("502 x", b"<html>", html), clawdforge.UnexpectedAnswer, "http_502"),
            (http("503 x", b"<html>", html), clawdforge.Unavailable, "http_503"),
            (http("503 x", stopping, problem), clawdforge.ShuttingDown, "shutting_down"),
        ):
            server, _ = answering(answer)
            with server, self.assertRaises(failure) as raised:
                Forge(server.url).readyz()
            self.assertEqual((raised.exception.code, type(raised.exception)), (code, failure))


class LostTest(unittest.TestCase):
    def test_sends_a_post_without_a_key_once(self) -> None:
        for cut in (b"", http("200 OK", ANSWER, length=1000), b"HTTP/1.1 200 OK\r\nContent-"):
            server, asked = answering(cut, http("200 OK", ANSWER))
            with server, self.assertRaises(clawdforge.TransportError) as raised:
                Forge(server.url, TOKEN).run("hi")
            self.assertTrue(raised.exception.sent)
            self.assertIsInstance(raised.exception, ConnectionError)
            self.assertEqual(len(asked), 1)

    def test_sends_a_post_with_a_key_again_as_it_was(self) -> None:
        problem = json.dumps({"ok": False, "code": "shutting_down", "error": "the service is stopping"}).encode()
        server, asked = answering(b"", http("503 x", problem), b"", http("200 OK", ANSWER))
        with server:
            answer = Forge(server.url, TOKEN).run("hi", idempotency_key="order-17")
        self.assertEqual(answer.result, {"qty": 2})
        self.assertEqual(len(asked), 4)
        self.assertEqual(len(set(asked)), 1)
        self.assertIn(b"Idempotency-Key: order-17\r\n", asked[0])

    def test_what_is_refused_is_not_sent_again(self) -> None:
        problem = json.dumps({"code": "overloaded", "error": "too many"}).encode()
        server, asked = answering(http("503 x", problem, "Retry-After: 3"))
        with server, self.assertRaises(clawdforge.Overloaded) as raised:
            Forge(server.url, TOKEN).run("hi", idempotency_key="order-17")
        self.assertEqual((len(asked), raised.exception.retry_after), (1, 3))

    def test_asks_again_for_what_changes_nothing(self) -> None:
        server, asked = answering(b"", http("200 OK", HEALTH))
        with server:
            self.assertTrue(Forge(server.url, TOKEN).healthz().ok)
        self.assertEqual(len(asked), 2)

    def test_says_when_nothing_was_sent(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        for key in (None, "order-17"):
            with self.assertRaises(clawdforge.TransportError) as raised:
                Forge(f"http://127.0.0.1:{port}", TOKEN).run("hi", idempotency_key=key)
            self.assertFalse(raised.exception.sent)

    def test_waits_no_longer_than_its_deadline_for_one_who_goes_on_and_on(self) -> None:
        def drip(connection: socket.socket, _: int) -> None:
            request_of(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Drip: ")
            while True:
                connection.sendall(b"d")
                if ended.wait(0.02):
                    return

        ended = threading.Event()
        with Server(drip) as server:
            for key in (None, "order-17"):
                with self.assertRaises(clawdforge.DeadlineExceeded) as raised:
                    Forge(server.url, TOKEN).run("hi", deadline=1, idempotency_key=key)
                self.assertIsInstance(raised.exception, TimeoutError)
            ended.set()
        self.assertEqual(server.connections, 2)

    def test_a_bad_key_is_sent_nowhere(self) -> None:
        server, asked = answering(http("200 OK", ANSWER))
        with server:
            for key in ("", " ", "é", "a\r\nb", "x" * 256):
                with self.assertRaises(ValueError):
                    Forge(server.url, TOKEN).run("hi", idempotency_key=key)
        self.assertEqual(asked, [])


class StreamTest(unittest.TestCase):
    def test_cut_before_it_began_it_is_not_begun_again(self) -> None:
        server, asked = answering(b"", STREAM + RUN + RESULT)
        with server, self.assertRaises(clawdforge.TransportError) as raised:
            Forge(server.url, TOKEN).stream("hi")
        self.assertTrue(raised.exception.sent)
        self.assertEqual(len(asked), 1)

    def test_cut_before_it_began_it_is_begun_again_with_a_key(self) -> None:
        server, asked = answering(b"", STREAM + RUN + RESULT)
        with server:
            stream = Forge(server.url, TOKEN).stream("hi", idempotency_key="k")
            self.assertEqual([event.type for event in stream], ["run", "result"])
        self.assertEqual([one.split(b" ", 1)[0] for one in asked], [b"POST", b"POST"])

    def test_goes_on_after_the_last_whole_event(self) -> None:
        server, asked = answering(STREAM, STREAM + RUN + RESULT[:20], STREAM, b"", STREAM + RESULT)
        with server:
            stream = Forge(server.url, TOKEN).stream("hi", include_usage=True)
            self.assertEqual([event.id for event in stream], ["1", "2"])
            self.assertEqual((stream.result().result, stream.result().run_id), ({"qty": 2}, "01M"))
        self.assertEqual([b"Last-Event-ID: 1\r\n" in one for one in asked], [False, False, True, True, True])
        for one in asked[1:]:
            self.assertTrue(one.startswith(b"GET /runs/01M/events?include=usage&deltas=1 HTTP/1.1\r\n"), one)

    def test_of_which_nothing_is_left_has_no_events(self) -> None:
        server, asked = answering(b"HTTP/1.1 204 No Content\r\n\r\n")
        with server:
            stream = Forge(server.url, TOKEN).run_events("01M", after="2.1")
            self.assertEqual(list(stream), [])
            with self.assertRaises(ValueError):
                stream.result()
        self.assertEqual(len(asked), 1)
        self.assertIn(b"Last-Event-ID: 2.1\r\n", asked[0])

    def test_whose_result_is_no_longer_stored_is_gone(self) -> None:
        gap = b'id: 9\nevent: resync\ndata: {"oldest_id":null}\n\n'
        server, asked = answering(STREAM + RUN + gap, b"HTTP/1.1 204 No Content\r\n\r\n")
        with server:
            stream = Forge(server.url, TOKEN).stream("hi")
            for _ in range(2):
                with self.assertRaises(clawdforge.Gone) as raised:
                    stream.result()
        self.assertEqual((raised.exception.code, raised.exception.run_id), ("gone", "01M"))
        self.assertEqual(len(asked), 2)

    def test_gives_up_when_nothing_comes_of_it(self) -> None:
        server, asked = answering(STREAM + RUN, STREAM)
        with server:
            stream = Forge(server.url, TOKEN, reconnect_secs=0.3).stream("hi")
            with self.assertRaises(clawdforge.TransportError) as raised:
                stream.result()
        self.assertEqual((raised.exception.run_id, raised.exception.last_event_id), ("01M", "1"))
        self.assertGreater(len(asked), 1)

    def test_heartbeats_renew_its_patience(self) -> None:
        patience = 0.3

        def serve(connection: socket.socket, number: int) -> None:
            request_of(connection)
            connection.sendall(STREAM + (RUN if number == 0 else RESULT if number == 3 else b""))
            if number in (1, 2):
                began = time.monotonic()
                while time.monotonic() - began < 2 * patience:
                    connection.sendall(b":\n\n")
                    time.sleep(0.02)

        with Server(serve) as server:
            stream = Forge(server.url, TOKEN, reconnect_secs=patience).stream("hi")
            self.assertEqual([event.type for event in stream], ["run", "result"])
        self.assertEqual(server.connections, 4)

    def test_one_that_is_cut_after_each_heartbeat_is_asked_for_ever_less_often(self) -> None:
        beat = STREAM + b":\n\n"
        server, _ = answering(STREAM + RUN, beat, beat, beat, STREAM + RESULT)
        with server, mock.patch("clawdforge._http.time.sleep") as sleep:
            events = list(Forge(server.url, TOKEN).stream("hi"))
        self.assertEqual([event.type for event in events], ["run", "result"])
        pauses = [call.args[0] for call in sleep.call_args_list]
        self.assertEqual(pauses[0], 0)
        for pause, most in zip(pauses[1:], (0.25, 0.5, 1.0)):
            self.assertGreaterEqual(pause, most / 2)
            self.assertLessEqual(pause, most)
        self.assertEqual(len(pauses), 4)

    def test_one_that_says_nothing_is_lost(self) -> None:
        def serve(connection: socket.socket, number: int) -> None:
            request_of(connection)
            connection.sendall(STREAM + (RUN if number == 0 else RESULT))
            if number == 0:
                connection.recv(1)

        with mock.patch("clawdforge._http.STREAM_IDLE_SECS", 2), Server(serve) as server:
            self.assertEqual([event.type for event in Forge(server.url, TOKEN).stream("hi")], ["run", "result"])
        self.assertEqual(server.connections, 2)

    def test_what_is_refused_while_it_resumes_is_raised(self) -> None:
        problem = json.dumps({"code": "unauthorized", "error": "a valid bearer token is needed"}).encode()
        server, asked = answering(STREAM + RUN, http("401 x", problem))
        with server:
            stream = Forge(server.url, TOKEN).stream("hi")
            self.assertEqual(next(stream).type, "run")
            with self.assertRaises(clawdforge.Unauthorized):
                next(stream)
        self.assertEqual(len(asked), 2)

    def test_an_error_in_it_is_raised_by_its_code(self) -> None:
        problem = b'{"ok":false,"code":"timeout","status":504,"error":"too long","request_id":"r"}'
        server, _ = answering(STREAM + RUN + b"id: 3\nevent: error\ndata: " + problem + b"\n\n")
        with server:
            stream = Forge(server.url, TOKEN).stream("hi")
            with self.assertRaises(clawdforge.Timeout) as raised:
                list(stream)
            self.assertEqual((raised.exception.status, raised.exception.run_id), (504, "01M"))
            with self.assertRaises(clawdforge.Timeout):
                stream.result()

    def test_one_that_is_closed_says_no_more(self) -> None:
        server, _ = answering(STREAM + RUN + RESULT)
        with server:
            with Forge(server.url, TOKEN).stream("hi") as stream:
                self.assertEqual(next(stream).type, "run")
            stream.close()
            self.assertEqual(list(stream), [])
            with self.assertRaises(ValueError):
                stream.result()

    def test_an_answer_that_is_no_stream_is_unexpected(self) -> None:
        server, _ = answering(http("200 OK", ANSWER, "Content-Type: application/json"))
        with server, self.assertRaises(clawdforge.UnexpectedAnswer):
            Forge(server.url, TOKEN).stream("hi")


class UploadTest(unittest.TestCase):
    def test_reads_the_refusal_of_one_who_hangs_up_early(self) -> None:
        def refuse(connection: socket.socket, _: int) -> None:
            connection.recv(1000)
            connection.sendall(http("413 x", b'{"code":"payload_too_large","error":"too large"}'))
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536) != b"":
                pass

        with tempfile.NamedTemporaryFile() as file, Server(refuse) as server:
            file.truncate(20_000_000)
            with self.assertRaises(clawdforge.PayloadTooLarge):
                Forge(server.url, TOKEN).upload_file(file.name)

    def test_its_name_stays_in_its_place(self) -> None:
        self.assertEqual(safe_name('a"; filename="b\r\nX: y\\.txt'), "a%22; filename=%22b%0D%0AX: y%5C.txt")
        self.assertEqual(safe_name("naïve 漢字.txt"), "naïve 漢字.txt")
        self.assertEqual(safe_name(os.fsdecode(b"bad\xff.txt")), "bad?.txt")

    def test_what_is_no_file_is_sent_nowhere(self) -> None:
        server, asked = answering(http("200 OK", b"{}"))
        with server, tempfile.TemporaryDirectory() as path:
            forge = Forge(server.url, TOKEN)
            self.assertRaises(ValueError, forge.upload_file, path)
            self.assertRaises(FileNotFoundError, forge.upload_file, os.path.join(path, "none"))
        self.assertEqual(asked, [])


class WayTest(unittest.TestCase):
    def test_does_not_use_the_environments_proxy(self) -> None:
        proxy, seen = answering(http("200 OK", HEALTH))
        server, asked = answering(http("200 OK", HEALTH))
        names = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy", "HTTPS_PROXY")
        with proxy, server, mock.patch.dict(os.environ, {name: proxy.url for name in names}):
            Forge(server.url, TOKEN).healthz()
        self.assertEqual((len(asked), seen), (1, []))

    def test_uses_the_proxy_that_it_is_given(self) -> None:
        proxy, seen = answering(http("200 OK", HEALTH))
        with proxy:
            Forge("http://forge.invalid:8800", TOKEN, proxy=proxy.url).healthz()
        self.assertTrue(seen[0].startswith(b"GET http://forge.invalid:8800/healthz HTTP/1.1\r\n"), seen)
        self.assertIn(b"Host: forge.invalid:8800\r\n", seen[0])

    def test_speaks_https_with_whom_it_trusts(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            key, cert = os.path.join(directory, "key.pem"), os.path.join(directory, "cert.pem")
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert]
                + ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
                check=True,
                capture_output=True,
            )
            theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            theirs.load_cert_chain(cert, key)
            ours = ssl.create_default_context(cafile=cert)

        asked: List[bytes] = []

        def serve(connection: socket.socket, _: int) -> None:
            with theirs.wrap_socket(connection, server_side=True) as secure:
                asked.append(request_of(secure))
                secure.sendall(STREAM + RUN + RESULT)

        with Server(serve) as server:
            url = f"https://localhost:{server.port}"
            events = list(Forge(url, TOKEN, ssl_context=ours).stream("hi"))
            self.assertEqual([event.type for event in events], ["run", "result"])
            with self.assertRaises(clawdforge.TransportError) as raised:
                Forge(url, TOKEN).healthz()
        self.assertFalse(raised.exception.sent)
        self.assertIsInstance(raised.exception.__cause__, ssl.SSLCertVerificationError)
        self.assertEqual(len(asked), 1)


if __name__ == "__main__":
    unittest.main()
