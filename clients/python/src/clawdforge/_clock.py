"""Deadlines for a whole HTTP exchange. A socket's own timeout starts again with each byte."""

from __future__ import annotations

import io
import socket
import time
from typing import Any, Optional


#: Before Python 3.10, a socket's timeout raises another class.
TIMEOUTS = (TimeoutError, socket.timeout)


class Clock:
    """Limits an exchange to `total` seconds from now, and each step to `idle` seconds. None means no limit."""

    def __init__(self, total: Optional[float], idle: Optional[float] = None) -> None:
        self._ends = None if total is None else time.monotonic() + total
        self._idle = idle

    def left(self) -> Optional[float]:
        """Returns the seconds that the next step may take. Raises TimeoutError when none are left."""
        if self._ends is None:
            return self._idle
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left if self._idle is None else min(left, self._idle)


class TimedSocket:
    """A socket with the methods that `http.client` uses. A clock limits each of its steps."""

    def __init__(self, sock: socket.socket, clock: Clock) -> None:
        self._sock = sock
        self._clock = clock
        #: Whether the other side has closed the connection, and all its bytes are read.
        self.ended = False

    def step(self) -> None:
        """Sets the socket's timeout for the next step."""
        self._sock.settimeout(self._clock.left())

    def sendall(self, data: Any) -> None:
        rest = memoryview(data)
        while len(rest) > 0:
            self.step()
            rest = rest[self._sock.send(rest[:65536]) :]

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self, self._sock.makefile("rb", buffering=0)), 65536)

    def close(self) -> None:
        self._sock.close()


class _TimedReader(io.RawIOBase):
    def __init__(self, sock: TimedSocket, file: socket.SocketIO) -> None:
        self._sock = sock
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> Optional[int]:
        self._sock.step()
        count = self._file.readinto(into)
        self._sock.ended = count == 0
        return count

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
