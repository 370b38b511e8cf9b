"""What systemd hands a service and is told by it: sockets, and how it is getting on. sd_listen_fds(3), sd_notify(3)."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from handfast import limits

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from handfast.proxy.settings import Address

# SD_LISTEN_FDS_START.
_FIRST = 3


class Handed:
    """The sockets that were handed to this process, by address and by name; the environment then names them no more.

    Several sockets may have one name: then the name is the first one's.
    """

    def __init__(self, environment: MutableMapping[str, str] = os.environ, first: int = _FIRST) -> None:
        self.sockets: dict[Address, socket.socket] = {}
        self.names: dict[str, Address] = {}
        count, pid = (environment.pop(name, "") for name in ("LISTEN_FDS", "LISTEN_PID"))
        names = environment.pop("LISTEN_FDNAMES", "").split(":")
        if not count.isdecimal() or pid != str(os.getpid()):
            return
        for number in range(int(count)):
            descriptor = first + number
            os.set_inheritable(descriptor, False)
            sock = socket.socket(fileno=descriptor)
            if sock.type != socket.SOCK_STREAM:
                sock.detach()
                continue
            address = bound_to(sock)
            self.sockets[address] = sock
            if number < len(names):
                self.names.setdefault(names[number], address)


def bound_to(sock: socket.socket) -> Address:
    """Where a socket listens, as a listener's address."""
    found = sock.getsockname()
    return found[:2] if isinstance(found, tuple) else str(found)


class Notifier:
    """Tells systemd of this service; nothing where it did not ask."""

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        self._to = environment.pop("NOTIFY_SOCKET", "")
        pid, microseconds = environment.pop("WATCHDOG_PID", ""), environment.pop("WATCHDOG_USEC", "")
        mine = not pid or pid == str(os.getpid())
        self.interval = int(microseconds) / 2e6 if self._to and mine and microseconds.isdecimal() else 0.0
        """Seconds between two calls of ``alive``; 0 where systemd watches nothing."""

    def ready(self, status: str) -> None:
        """The service is started, or has reloaded; ``status`` is a line for people."""
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """It begins to reload."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """It begins to end."""
        self._tell("STOPPING=1")

    def alive(self) -> None:
        """It is not stuck. This alone is not waited for: it is told again."""
        self._tell("WATCHDOG=1", within=0)

    def _tell(self, *lines: str, within: float | None = None) -> None:
        """Tell it, and wait so many seconds until there is room for it: what is told to a full queue is lost."""
        if not self._to:
            return
        # "@" stands for the zero byte of an abstract address.
        address = "\0" + self._to[1:] if self._to.startswith("@") else self._to
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(limits.SYSTEMD_TIMEOUT if within is None else within)
            sock.sendto("\n".join(lines).encode(), address)
