"""A wire that is cut when so many records of one direction have passed and one more comes: by FIN or by RST."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING

from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_CUT = 1000


class Wire:
    """Connects ``near`` with ``far``, sockets of ours whose peers are a client and a server."""

    def __init__(self, near: socket.socket, far: socket.socket, direction: int, records: int, end: str) -> None:
        self._ends = (near, far)
        self._direction, self._left, self._end = direction, records, end
        self._cut = threading.Event()
        self.passed = [0, 0]
        self._threads = [threading.Thread(target=self._relay, args=(which,)) for which in (0, 1)]
        for thread in self._threads:
            thread.start()

    @property
    def over(self) -> bool:
        """Whether both ends have closed."""
        return not any(thread.is_alive() for thread in self._threads)

    def join(self) -> None:
        """Wait until both ends have closed."""
        for thread in self._threads:
            thread.join(LIMIT)
            assert not thread.is_alive()
        for end in self._ends:
            end.close()

    def _relay(self, which: int) -> None:
        source, target = self._ends[which], self._ends[1 - which]
        with contextlib.suppress(OSError):
            while True:
                record = _record(source)
                if not record:
                    break
                if which == self._direction and self.passed[which] == self._left and not self._cut.is_set():
                    self._cut_both()
                if not self._cut.is_set():
                    self.passed[which] += 1
                    target.sendall(record)
        # In order, the end goes on as well; what was cut has ended.
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def _cut_both(self) -> None:
        self._cut.set()
        for end in self._ends:
            with contextlib.suppress(OSError):
                if self._end == "RST":
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    # Wakes the thread that reads, where closing alone would not.
                    end.shutdown(socket.SHUT_RD)
                    end.close()
                else:
                    end.shutdown(socket.SHUT_WR)


def _record(source: socket.socket) -> bytes:
    """The next record, or what there is of it at the end."""
    record = _exactly(source, 5)
    return record + _exactly(source, int.from_bytes(record[3:5], "big")) if len(record) == 5 else record


def _exactly(source: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := source.recv(size - len(data))):
        data += more
    return data


@contextlib.contextmanager
def wire(port: int, direction: int, records: int, end: str) -> Iterator[tuple[int, list[Wire]]]:
    """The port of a wire to a server's port, for one connection, and the wire once there is one."""
    made: list[Wire] = []

    def accept() -> None:
        with contextlib.suppress(OSError):
            near, _ = listener.accept()
            far = socket.create_connection(("127.0.0.1", port), LIMIT)
            near.settimeout(LIMIT)
            made.append(Wire(near, far, direction, records, end))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()[1], made
        finally:
            thread.join(LIMIT)
            for one in made:
                one.join()
