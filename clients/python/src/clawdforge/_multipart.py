"""A multipart form with one file, which is read from the disk while it is sent."""

from __future__ import annotations

import os
import re
import secrets
import stat
from typing import Iterator, Optional, Union

PIECE_BYTES = 256 * 1024


class FileForm:
    """The form of an upload. It holds one piece of the file in memory at a time."""

    def __init__(self, path: Union[str, os.PathLike[str]], name: Optional[str], ttl_secs: Optional[int]) -> None:
        self._path = path
        boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        ttl = (
            ""
            if ttl_secs is None
            else f'--{boundary}\r\nContent-Disposition: form-data; name="ttl_secs"\r\n\r\n{int(ttl_secs)}\r\n'
        )
        file_name = safe_name(os.path.basename(os.fspath(path)) if name is None else name)
        self._head = (
            f'{ttl}--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{file_name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode("utf-8")
        self._tail = f"\r\n--{boundary}--\r\n".encode("ascii")
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("only a regular file can be uploaded")
        self.size = status.st_size

    @property
    def length(self) -> int:
        return len(self._head) + self.size + len(self._tail)

    def pieces(self) -> Iterator[bytes]:
        with open(self._path, "rb") as file:
            yield self._head
            left = self.size
            while left > 0:
                piece = file.read(min(PIECE_BYTES, left))
                if piece == b"":
                    raise OSError("the file became shorter while it was sent")
                left -= len(piece)
                yield piece
            yield self._tail


def safe_name(name: str) -> str:
    """Escapes a file name for a quoted header value: an unescaped quote or line break would end the value."""
    text = name.encode("utf-8", "replace").decode("utf-8")
    return re.sub(r'[\x00-\x1f\x7f"\\]', lambda found: f"%{ord(found.group()):02X}", text) or "file"
