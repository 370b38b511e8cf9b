"""Sockets that listen: of an address, or of a path that only a dead process still holds."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from handfast import limits

if TYPE_CHECKING:
    from handfast.proxy.settings import Address


def listening(address: Address) -> socket.socket:
    """A socket that listens there. Raises OSError, EADDRINUSE also for a Unix socket that somebody answers."""
    if isinstance(address, str):
        return _unix(address)
    host, port = address
    family = _family(host)
    # IPv4 is not taken along by "::": another listener may have it.
    return socket.create_server((host, port), family=family, backlog=limits.PROXY_BACKLOG)


def forget(sock: socket.socket) -> None:
    """Close it, and remove the file of a Unix socket."""
    unlink(sock)
    sock.close()


def unlink(sock: socket.socket) -> None:
    """Remove the file of a Unix socket, which is open still."""
    if sock.family == socket.AF_UNIX:
        with suppress(OSError):
            os.unlink(sock.getsockname())


def _family(host: str) -> int:
    if ":" in host:
        return socket.AF_INET6
    with suppress(OSError):
        socket.inet_pton(socket.AF_INET, host)
        return socket.AF_INET
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except UnicodeError:
        raise socket.gaierror(socket.EAI_NONAME, "no name that DNS could hold") from None
    return found[0][0]


def _unix(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        sock.bind(path)
        sock.listen(limits.PROXY_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _remove_stale(path: str) -> None:
    """Remove a socket that no process listens at. Raises OSError EADDRINUSE where one does, or for another file."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OSError(errno.EADDRINUSE, "there is a file that is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            pass
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
