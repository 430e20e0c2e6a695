from __future__ import annotations

import random
import unittest
from typing import Any, List

from clawdforge._sse import Event, Frame, Parser, turn_text

STREAM = (
    b"\xef\xbb\xbf: a comment\n\n"
    b'id: 1\nevent: run\ndata: {"run_id":"a"}\n\n'
    b"data: two\r\ndata:lines\r\n\r\n"
    + "id: 2\rdata: 😀 naïve 漢字 👩‍👩‍👧\r\r".encode()
    + b"data\n\n"
    b"event: nothing\n\n"
    b"id: has\0null\nunknown: x\ndata:  one space is left\n\n"
    b"retry: 1500\nretry: 2s\nid\ndata: without an id\n\n"
    b"data: not whole"
)
FRAMES = [
    Frame("1", "run", '{"run_id":"a"}'),
    Frame("1", "message", "two\nlines"),
    Frame("2", "message", "😀 naïve 漢字 👩‍👩‍👧"),
    Frame("2", "message", ""),
    Frame("2", "message", " one space is left"),
    Frame("", "message", "without an id"),
]


def parsed(pieces: List[bytes]) -> List[Frame]:
    parser = Parser()
    return [frame for piece in pieces for frame in parser.push(piece)]


class ParserTest(unittest.TestCase):
    def test_takes_a_stream_as_the_standard_says(self) -> None:
        self.assertEqual(parsed([STREAM]), FRAMES)

    def test_takes_a_stream_that_is_cut_anywhere(self) -> None:
        for at in range(len(STREAM) + 1):
            self.assertEqual(parsed([STREAM[:at], STREAM[at:]]), FRAMES, at)
        self.assertEqual(parsed([bytes([byte]) for byte in STREAM]), FRAMES)
        rng = random.Random(7)
        for _ in range(200):
            cuts = sorted(rng.randrange(len(STREAM)) for _ in range(5))
            pieces = [STREAM[a:b] for a, b in zip([0, *cuts], [*cuts, len(STREAM)])]
            self.assertEqual(parsed(pieces), FRAMES, cuts)

    def test_replaces_what_is_no_utf8(self) -> None:
        self.assertEqual(parsed([b"data: a\xff\n\n"]), [Frame("", "message", "a\ufffd")])

    def test_reads_how_long_to_wait(self) -> None:
        parser = Parser()
        parser.push(STREAM)
        self.assertEqual(parser.retry, 1.5)

    def test_takes_a_line_of_8_mb_in_small_pieces(self) -> None:
        # If each piece were joined to the earlier ones, several hundred gigabytes would be copied.
        parser = Parser()
        parser.push(b"data: ")
        for _ in range(80_000):
            parser.push(b"x" * 100)
        (frame,) = parser.push(b"\n\n")
        self.assertEqual(frame.data, "x" * 8_000_000)


class EventTest(unittest.TestCase):
    def test_has_a_piece_of_the_answer_or_a_reset(self) -> None:
        piece, reset = Event("1.2", "delta", {"text": "two cups"}), Event("1.1", "delta", {"reset": True})
        self.assertEqual([(event.text(), event.reset) for event in (piece, reset)], [("two cups", False), ("", True)])

    def test_has_neither_where_there_is_none(self) -> None:
        chunk = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "of a turn"}}
        raw = {"type": "stream_event", "event": {"delta": {"text": "of a run"}}, "params": {"update": chunk}}
        odd: List[Any] = [{}, [], None, "text", {"text": 1}, {"reset": "true"}]
        for event in [Event("1", "message", raw), *(Event("1", "delta", data) for data in odd)]:
            self.assertEqual((event.text(), event.reset), ("", False), event)


class TurnTextTest(unittest.TestCase):
    def test_is_the_text_of_the_answer_in_a_message(self) -> None:
        chunk = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "of a turn"}}
        thought = {"sessionUpdate": "agent_thought_chunk", "content": {"text": "hm"}}
        odd = {"sessionUpdate": "agent_message_chunk", "content": [1]}
        self.assertEqual(turn_text({"params": {"update": chunk}}), "of a turn")
        updates: List[Any] = [{"params": {"update": update}} for update in (thought, odd)]
        for message in ({}, [], None, "text", {"params": 1}, *updates):
            self.assertEqual(turn_text(message), "")


if __name__ == "__main__":
    unittest.main()
