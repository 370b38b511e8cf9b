"""Ports that stay one test's own."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def own_port() -> Iterator[int]:
    """A port of 127.0.0.1 that is bound here all the time, so that nobody else gets it.

    A connection to it is refused, until a server that takes no port of the kernel's choice binds it too and listens.
    """
    with socket.socket() as bound:
        # Linux lets two sockets bind one port if both say this and neither listens yet.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]
