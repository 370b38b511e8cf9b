"""A TLS session between the terminal and a peer: what is typed is sent, what comes is printed."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from handfast.errors import HandfastError

if TYPE_CHECKING:
    from collections.abc import Callable

    from handfast.io.sockets import TLSSocket


_CHUNK = 64 * 1024


def run_session(tls: TLSSocket, keyboard: int, write: Callable[[bytes], None]) -> None:
    """Send what the descriptor ``keyboard`` gives until it ends, then close_notify; print until the peer closes.

    Raises the HandfastError of the reading side; a failure to send is told by what the peer says about it there.
    """
    # A daemon: when the peer ends the session, one more line from the keyboard is not waited for.
    threading.Thread(target=_send, args=(tls, keyboard), daemon=True).start()
    while data := tls.recv():
        write(data)


def _send(tls: TLSSocket, keyboard: int) -> None:
    try:
        # Not sys.stdin: a thread that waits inside its buffer's lock breaks the end of the program. A terminal gives a
        # line at a time by itself.
        while data := os.read(keyboard, _CHUNK):
            tls.sendall(data)
        tls.shutdown_write()
    except (HandfastError, OSError):
        # The connection is over, or the keyboard is; the thread that reads learns why.
        return
