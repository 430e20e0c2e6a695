"""Servers that misbehave, for tests of the client."""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
from typing import Callable, List, Optional, Tuple
from urllib.parse import urlsplit


def service() -> Tuple[str, str, str]:
    """Returns the URL of the service under test, an app's token, and the operator's token."""
    names = ("CLAWDFORGE_URL", "CLAWDFORGE_TOKEN", "CLAWDFORGE_ADMIN_TOKEN")
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        raise RuntimeError(f"set {', '.join(missing)}: these tests use a running service (see README.md)")
    url, token, admin = (os.environ[name] for name in names)
    return url, token, admin


class Server:
    """Listens on loopback. Calls `serve` for each connection, with the connection's number from 0."""

    def __init__(self, serve: Callable[[socket.socket, int], None]) -> None:
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.connections = 0
        self._threads: List[threading.Thread] = []
        self._start(self._accept)

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            number = self.connections
            self.connections += 1
            self._start(lambda c=connection, n=number: self._handle(c, n))  # type: ignore[misc]

    def _handle(self, connection: socket.socket, number: int) -> None:
        with connection:
            try:
                self._serve(connection, number)
            except OSError:
                pass

    def close(self) -> None:
        # Wakes up the thread that accepts: to close the listener alone does not.
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def request_of(connection: socket.socket) -> bytes:
    """Reads a request, with its body if it has a `Content-Length`."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        if piece == b"":
            return received
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def http(status: str, body: bytes, *headers: str, length: Optional[int] = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def answering(*answers: bytes) -> Tuple[Server, List[bytes]]:
    """Returns a server that gives these answers in turn, then the last one again, and the list of its requests."""
    asked: List[bytes] = []

    def serve(connection: socket.socket, number: int) -> None:
        asked.append(request_of(connection))
        connection.sendall(answers[min(number, len(answers) - 1)])

    return Server(serve), asked


class CutProxy(Server):
    """A proxy that cuts its n-th connection after `cuts[n]` bytes from the service. It never cuts further ones."""

    def __init__(self, url: str, cuts: List[int], reset: bool = False) -> None:
        self._to = urlsplit(url)
        self._cuts = cuts
        self._reset = reset
        #: How many connections were cut.
        self.cut = 0
        super().__init__(self._relay)

    def _relay(self, client: socket.socket, number: int) -> None:
        left = self._cuts[number] if number < len(self._cuts) else None
        # One thread for both directions: a socket is not closed as long as another thread reads it.
        with socket.create_connection((self._to.hostname or "", self._to.port or 80)) as service:
            while left is None or left > 0:
                readable, _, _ = select.select([client, service], [], [])
                if client in readable:
                    asked = client.recv(65536)
                    if asked == b"":
                        return
                    service.sendall(asked)
                if service in readable:
                    answered = service.recv(65536 if left is None else min(65536, left))
                    if answered == b"":
                        return
                    client.sendall(answered)
                    if left is not None:
                        left -= len(answered)
            self.cut += 1
            if self._reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
