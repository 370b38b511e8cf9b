"""``decode -i``: packets from an interface of this machine as they come, and a key log that grows beside them."""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from handfast.cli import ui
from handfast.passive.capture import Packet
from handfast.passive.keylog_reader import KeyLogSecrets

_EVERY_PROTOCOL = 3
_ETHERNET, _RAW = 1, 101
_LARGEST = 1 << 18
_BUFFER = 8 << 20
# The kinds of interfaces, as the kernel numbers them (if_arp.h).
_LOOPBACK = 772
_ARPHRD = {1: _ETHERNET, _LOOPBACK: _ETHERNET, 512: _RAW, 65534: _RAW, 768: _RAW, 776: _RAW}


def packets(interface: str, delay: float) -> Iterator[Packet]:
    """What crosses an interface from now on, until Ctrl-C. Raises CommandFailed where that cannot be had.

    A packet is seen before the program that it is for has written its keys: it waits ``delay`` seconds for them, or
    until Ctrl-C.
    """
    tap = _opened(interface)
    link_type = _ARPHRD.get(_kind(interface), _ETHERNET)
    return _packets(tap, link_type, interface, delay)


def _kind(interface: str) -> int:
    try:
        return int(Path("/sys/class/net", interface, "type").read_text())
    except (OSError, ValueError):
        return _ETHERNET


def _opened(interface: str) -> socket.socket:
    if not hasattr(socket, "AF_PACKET"):
        raise ui.CommandFailed(
            "capturing needs Linux", "this machine", "capture with tcpdump -w FILE, and decode the file", ui.BAD_USAGE
        )
    try:
        socket.if_nametoindex(interface)
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_EVERY_PROTOCOL))
    except PermissionError:
        raise ui.CommandFailed(
            f"no right to capture on {interface}",
            "this machine",
            "run it as root or with CAP_NET_RAW; without either, serve and connect write captures with --pcapng",
            ui.BAD_USAGE,
        ) from None
    except OSError as error:
        names = ", ".join(name for _, name in socket.if_nameindex())
        raise ui.CommandFailed(
            f"{interface}: {ui.reason(error)}", "the command line", f"the interfaces are {names}", ui.BAD_USAGE
        ) from None
    tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    tap.bind((interface, _EVERY_PROTOCOL))
    return tap


def _packets(tap: socket.socket, link_type: int, interface: str, delay: float) -> Iterator[Packet]:
    waiting: deque[Packet] = deque()
    # Loopback shows each packet twice, on its way out and on its way in.
    twice = _kind(interface) == _LOOPBACK
    with tap:
        try:
            while True:
                tap.settimeout(max(0.01, waiting[0].time + delay - time.time()) if waiting else None)
                waiting.extend(_received(tap, link_type, twice=twice))
                while waiting and waiting[0].time + delay <= time.time():
                    yield waiting.popleft()
        except KeyboardInterrupt:
            yield from waiting
            yield from _rest(tap, link_type, twice=twice)


def _rest(tap: socket.socket, link_type: int, *, twice: bool) -> Iterator[Packet]:
    """What has come and was not looked at: no more than the kernel keeps for us, as others go on sending."""
    tap.setblocking(False)
    room = _BUFFER
    with suppress(BlockingIOError):
        while room > 0:
            for packet in _received(tap, link_type, twice=twice):
                room -= len(packet.data)
                yield packet


def _received(tap: socket.socket, link_type: int, *, twice: bool) -> list[Packet]:
    """The next packet, unless none comes in time, or it is one that comes ``twice``."""
    with suppress(TimeoutError):
        data, address = tap.recvfrom(_LARGEST)
        if not (twice and address[2] == socket.PACKET_OUTGOING):
            return [Packet(time.time(), link_type, data)]
    return []


class LiveKeyLog(KeyLogSecrets):
    """The secrets of a key log that is being appended to; it may not be there yet."""

    def __init__(self, path: Path | None) -> None:
        super().__init__()
        self._path = path
        self._at = 0
        self._rest = b""

    def of(self, client_random: bytes) -> Mapping[str, tuple[bytes, ...]]:
        self._read()
        return super().of(client_random)

    def _read(self) -> None:
        if self._path is None or not self._path.exists():
            return
        with open(self._path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            # One that was made anew is read from its beginning.
            file.seek(self._at if size >= self._at else 0)
            text = self._rest + file.read()
            self._at = file.tell()
        whole, newline, self._rest = text.rpartition(b"\n")
        self.add(whole + newline)
