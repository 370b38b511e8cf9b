"""Servers that listen on a Unix socket in a directory of their own, and one connection that is handed on to them.

They take no port of the kernel's choice and serve more than one connection, so this module accepts the one connection,
hands each byte on, and knows when it is over.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import tempfile
import threading
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar, Self

from tests.peers.base import ClientAuth, Options, Outcome, PeerFailed, ProcessPeer, ServerPeer
from tests.peers.namespace import pump
from tests.waiting import LIMIT, until


class RelayedServer(ServerPeer):
    """Hands one connection on to a socket at ``path``."""

    path: Path

    @abstractmethod
    def ended(self) -> str | None:
        """What a program said that is no longer there, or None."""

    def start_relay(self) -> None:
        """Once the program listens."""
        # It listens as soon as a connection is made.
        self._insides = [self._connect() for _ in range(self.options.connections)]
        self._outside: socket.socket | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(LIMIT)
        self.port = self._listener.getsockname()[1]
        self._relay = threading.Thread(target=self._relay_both_ways)
        self._relay.start()

    def _connect(self) -> socket.socket:
        inside = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

        def listens() -> bool:
            with contextlib.suppress(OSError):
                inside.connect(str(self.path))
                return True
            return False

        if not until(lambda: listens() or self.ended() is not None) or not connected(inside):
            inside.close()
            raise PeerFailed(f"{self.name} does not listen:\n{self.ended()}")
        return inside

    def _relay_both_ways(self) -> None:
        with contextlib.ExitStack() as stack:
            for inside in self._insides:
                stack.enter_context(inside)
            with self._listener, contextlib.suppress(OSError):
                for inside in self._insides:
                    self._outside, _ = self._listener.accept()
                    if inside is self._insides[-1]:
                        self._listener.close()
                    self._relay_one(self._outside, inside)

    @staticmethod
    def _relay_one(outside: socket.socket, inside: socket.socket) -> None:
        with outside:
            back = threading.Thread(target=pump, args=(inside, outside), kwargs={"to_the_end": True})
            back.start()
            pump(outside, inside)
            back.join(LIMIT)

    def end_relay(self) -> None:
        """Waits until the connection is over."""
        self._relay.join(LIMIT)
        if self._relay.is_alive():
            raise PeerFailed(f"{self.name} did not end in time")

    def drop(self) -> None:
        for end in (self._listener, self._outside):
            with contextlib.suppress(OSError):
                if end is not None:
                    end.shutdown(socket.SHUT_RDWR)


class RelayedProcess(RelayedServer, ProcessPeer):
    """A program for this one connection. Whatever it writes into its directory is gone with it."""

    finish: ClassVar[signal.Signals]
    """Makes the program end in order, after it has written what there is to tell."""

    def __enter__(self) -> Self:
        # It lives as long as this object.
        self._directory = tempfile.TemporaryDirectory()
        self.directory = Path(self._directory.name)
        self.path = self.directory / "listening"
        try:
            super().__enter__()
            self.start_relay()
        except BaseException:
            self._directory.cleanup()
            raise
        return self

    def write_file(self, name: str, content: str | bytes) -> Path:
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def ended(self) -> str | None:
        return self.text() if self._process.poll() is not None else None

    def outcome(self) -> Outcome:
        self.end_relay()
        self._process.send_signal(self.finish)
        return super().outcome()

    def __exit__(self, *exception: object) -> None:
        self.drop()
        self._relay.join(LIMIT)
        super().__exit__(*exception)
        self._directory.cleanup()


def connected(inside: socket.socket) -> bool:
    """Whether a socket has a peer."""
    try:
        inside.getpeername()
    except OSError:
        return False
    return True


def verify_word(options: Options, none: str, request: str, require: str) -> str:
    """A program's word for what it asks of its client."""
    words = {ClientAuth.NONE: none, ClientAuth.REQUEST: request, ClientAuth.REQUIRE: require}
    return words[options.client_auth]
