"""Messages between a proxy and its workers: JSON, and sockets that go along, over a pair of Unix sockets.

Messages keep their bounds (SOCK_SEQPACKET), and are compressed, since the kernel takes some 200 KB in one.
"""

from __future__ import annotations

import asyncio
import json
import socket
import zlib
from collections import deque
from typing import TYPE_CHECKING, Any, TypeAlias

from handfast import limits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Heard: TypeAlias = "Callable[[dict[str, Any], list[socket.socket]], object]"


def pair() -> tuple[socket.socket, socket.socket]:
    """The two ends of a new channel."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return ours, theirs


class Channel:
    """One end, in the running loop. ``heard`` gets each message, ``ended`` is called when the other end is gone."""

    def __init__(self, sock: socket.socket, heard: Heard, ended: Callable[[], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._heard = heard
        self._ended = ended
        self._waiting: deque[tuple[bytes, list[int]]] = deque()
        sock.setblocking(False)
        self._loop.add_reader(sock, self._read)

    def send(self, message: dict[str, Any], sockets: Sequence[socket.socket] = ()) -> None:
        """Send it, now or as soon as there is room. The sockets stay the caller's, and must stay open that long."""
        if self._sock.fileno() < 0:
            return
        data = zlib.compress(json.dumps(message).encode(), 1)
        self._waiting.append((data, [one.fileno() for one in sockets]))
        if len(self._waiting) == 1:
            self._write()

    def close(self) -> None:
        """Nothing more is heard or sent."""
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
            self._sock.close()

    def _write(self) -> None:
        while self._waiting:
            data, descriptors = self._waiting[0]
            try:
                socket.send_fds(self._sock, [data], descriptors)
            except BlockingIOError:
                self._loop.add_writer(self._sock, self._write)
                return
            except OSError:
                # Its end is read.
                self._waiting.clear()
                break
            self._waiting.popleft()
        self._loop.remove_writer(self._sock)

    def _read(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(
                self._sock, limits.PROXY_CHANNEL_MESSAGE, limits.PROXY_LISTENERS, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        if not data:
            self.close()
            self._ended()
            return
        sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        self._heard(json.loads(zlib.decompress(data)), sockets)
