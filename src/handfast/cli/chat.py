"""``handfast serve --chat``: what is typed goes to the client, what the client sends is printed.

One client at a time, and a second one is told so. The keyboard is read only while there is a client: what a pipe holds
waits for one, and what was typed at a terminal meanwhile is dropped, since it was meant for somebody who has left.
"""

from __future__ import annotations

import os
import select
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from handfast.cli import ui
from handfast.errors import HandfastError
from handfast.fork import renew_in_children
from handfast.io.failure_log import address_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from handfast.io.sockets import TLSSocket

_CHUNK = 64 * 1024
_BUSY = b"handfast: somebody else is talking here; come back later\n"


class Chat:
    """The terminal's side of one conversation after the other. ``keyboard`` is a descriptor."""

    _talking: threading.Lock

    def __init__(self, keyboard: int, write: Callable[[bytes], None], say: Callable[[str], None] = ui.note) -> None:
        self._keyboard = keyboard
        self._write = write
        self._say = say
        renew_in_children(self, _talking=threading.Lock)

    def __call__(self, tls: TLSSocket) -> None:
        """Talk with a client until it leaves. Raises what reading from it raises."""
        client = address_text(tls.peer_address)
        if not self._talking.acquire(blocking=False):
            self._say(f"{client} wants to talk too, and is told that somebody else does")
            tls.sendall(_BUSY)
            return
        try:
            self._say(f"talking with {client}; what you type is sent, Ctrl-D ends it")
            self._talk(tls)
            self._say(f"{client} has left")
        finally:
            self._talking.release()

    def _talk(self, tls: TLSSocket) -> None:
        if os.isatty(self._keyboard):
            import termios

            termios.tcflush(self._keyboard, termios.TCIFLUSH)
        with self._typing(tls):
            while data := tls.recv():
                self._write(data)

    @contextmanager
    def _typing(self, tls: TLSSocket) -> Iterator[None]:
        """Sends what is typed meanwhile, and nothing that is typed later."""
        wake, stop = os.pipe()
        thread = threading.Thread(target=self._send, args=(tls, wake), daemon=True)
        thread.start()
        try:
            yield
        finally:
            os.write(stop, b"\0")
            # One that waits for a client that does not read is woken by that.
            tls.close()
            thread.join()
            os.close(wake)
            os.close(stop)

    def _send(self, tls: TLSSocket, wake: int) -> None:
        waiting = select.poll()
        waiting.register(wake, select.POLLIN)
        waiting.register(self._keyboard, select.POLLIN)
        with suppress(HandfastError, OSError):
            while wake not in dict(waiting.poll()):
                data = os.read(self._keyboard, _CHUNK)
                if not data:
                    tls.shutdown_write()
                    return
                tls.sendall(data)
