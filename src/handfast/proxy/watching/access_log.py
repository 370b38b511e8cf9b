"""The access log of a proxy: one JSON object a line, for each request, connection and refusal.

Lines are written by a thread of their own, so that a slow disk or a pipe that is not read holds up no connection: what
waits is bounded, and what does not fit, or what a full disk does not take, is lost and counted in the log ``handfast``.
A file is appended to, a line at a time, so processes may share it; ``reopen`` is for who rotates it. One that is made
is private; one that is there keeps its mode, and is refused if it is no access log.
"""

from __future__ import annotations

import errno
import json
import os
import re
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeAlias

from handfast import limits, logs
from handfast.errors import ConfigError, HandfastError
from handfast.errors.foreign import said_by
from handfast.files import append_private, errors_for
from handfast.fork import renew_in_children
from handfast.proxy.journal import ConnectionEnded, ConnectionRefused, HandshakeComplete, RequestEnded
from handfast.text import escape
from handfast.token_bucket import Throttle, TokenBucket
from handfast.x509.describe import describe

if TYPE_CHECKING:
    from collections.abc import Callable

    from handfast.connection_info import ConnectionInfo
    from handfast.proxy.journal import Entry

Told: TypeAlias = ConnectionRefused | ConnectionEnded | RequestEnded
# Characters that a text may have, one after the other until the line is short enough.
_TEXTS = (1024, 200, 32)
_NAMES = 16
# Begun as it should be or anew, where a full disk had cut the line before.
_START = b'{"time": "'
_LINE = re.compile(rb'\{.*"time": "[^"]*", "event": "(?:refused|connection|request)".*\}')
# Lines that are taken out of the queue at once.
_AT_ONCE = 256


class AccessLog:
    """A reader of the journal that writes to a file, or to standard output for "-". Raises ConfigError for a bad file.

    ``clock`` gives seconds since 1970.

    Attributes:
        path: where it writes.
    """

    _state: threading.Lock

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        self._waiting = 0
        self._lost = 0
        renew_in_children(self, _state=threading.Lock)
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        # Who is refused by a limit comes as fast as it likes.
        bucket = TokenBucket(limits.LOGGED_FAILURES_AT_ONCE, limits.LOGGED_FAILURES_PER_SECOND, time.monotonic)
        self._refused = Throttle(bucket)
        self._descriptor = self._open()
        self._thread = threading.Thread(target=self._write, name="handfast-access-log", daemon=True)
        self._thread.start()

    def __call__(self, entry: Entry) -> None:
        """Write the entry's line, soon."""
        if isinstance(entry, HandshakeComplete):
            return
        more: dict[str, Any] = {}
        if isinstance(entry, ConnectionRefused) and entry.info is None:
            held_back = self._refused.admit()
            if held_back is None:
                return
            if held_back:
                more["not_shown"] = held_back
        line = line_of(entry, self._clock(), **more)
        with self._state:
            if self._waiting + len(line) > limits.PROXY_LOG_WAITING:
                self._lost += 1
                return
            self._waiting += len(line)
        self._queue.put(line)

    def reopen(self) -> None:
        """Go on in the file of that name, which may be another one now, after what was told so far."""
        self._queue.put(b"")

    def close(self) -> None:
        """Write what waits, within a bounded time, and close the file."""
        self._queue.put(None)
        self._thread.join(limits.SHUTDOWN_TIMEOUT)

    def _open(self) -> int:
        if str(self.path) == "-":
            sys.stdout.flush()
            return os.dup(sys.stdout.fileno())
        with append_private(self.path, is_access_log, keeps_mode=True) as file:
            return os.dup(file.fileno())

    def _write(self) -> None:
        """Write what comes, as much at once as a pipe takes whole: a write for each line is slow beside a busy loop."""
        while True:
            lines = b""
            for told in self._told():
                if told and len(lines) + len(told) <= limits.PROXY_LOG_LINE:
                    lines += told
                    continue
                self._put(lines)
                lines = told or b""
                if told is None:
                    os.close(self._descriptor)
                    return
                if not told:
                    self._go_on_in_new_file()
            self._put(lines)

    def _told(self) -> list[bytes | None]:
        """What waits to be written: some of it, and one at least."""
        told = [self._queue.get()]
        with suppress(Empty):
            while len(told) < _AT_ONCE:
                told.append(self._queue.get_nowait())
        return told

    def _put(self, lines: bytes) -> None:
        if not lines:
            return
        with self._state:
            self._waiting -= len(lines)
            lost, self._lost = self._lost, 0
        reason = "they came faster than they could be written"
        try:
            written = os.write(self._descriptor, lines)
            if written != len(lines):
                lost, reason = lost + lines[written:].count(b"\n"), "the disk is full"
        except OSError as error:
            lost, reason = lost + lines.count(b"\n"), error.strerror or str(error)
        if lost:
            where = escape(str(self.path))
            logs.warn("lost lines", lambda: f"{where}: {lost} lines of the access log are lost: {reason}", error=True)

    def _go_on_in_new_file(self) -> None:
        try:
            anew = self._open()
        except (HandfastError, OSError) as error:
            words = said_by(error)
            logs.warn("access logs not opened anew", lambda: f"the access log goes on in its old file: {words}")
            return
        os.close(self._descriptor)
        self._descriptor = anew


def is_access_log(beginning: bytes) -> bool:
    """Whether this is the beginning of an access log: nothing, or lines, the last of which may be cut.

    Empty lines do no harm, nor does a carriage return at the end of one.
    """
    *lines, last = beginning.split(b"\n")
    cut = _START.startswith(last) or (last.startswith(b"{") and _START in last and len(last) < limits.PROXY_LOG_LINE)
    return cut and all(_LINE.fullmatch(line) for line in map(bytes.strip, lines) if line)


def check_place(path: Path) -> None:
    """Raises ConfigError where no access log can be; makes none."""
    if str(path) == "-":
        return
    if os.path.lexists(path):
        append_private(path, is_access_log, keeps_mode=True).close()
        return
    with errors_for(path):
        # A directory that is not there, or that is none, is told of by the system.
        os.stat(path.parent / ".")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ConfigError("file_unwritable", path=escape(str(path)), reason=os.strerror(errno.EACCES))


def line_of(entry: Told, at: float, **more: Any) -> bytes:
    """The entry as one line of JSON in ASCII, of at most ``PROXY_LOG_LINE`` bytes; ``at`` is seconds since 1970."""
    line = b""
    for most in _TEXTS:
        fields = {**_fields(entry, at), **more}
        line = json.dumps({key: _short(value, most) for key, value in fields.items()}).encode() + b"\n"
        if len(line) <= limits.PROXY_LOG_LINE:
            break
    return line


def _fields(entry: Told, at: float) -> dict[str, Any]:
    when = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    common: dict[str, Any] = {"time": when, "event": _EVENTS[type(entry).__name__]}
    common |= {"listener": entry.listener, "client": entry.client}
    common |= _tls(entry.info)
    if isinstance(entry, RequestEnded):
        common |= {"protocol": entry.protocol, "method": entry.method, "host": entry.host, "target": entry.target}
        common |= {"status": entry.status}
    if not isinstance(entry, ConnectionRefused):
        common |= {"received": entry.received, "sent": entry.sent, "seconds": round(entry.seconds, 6)}
        common |= {"backend": entry.backend}
    return common | {"code": entry.code, "why": entry.why}


_EVENTS = {"ConnectionRefused": "refused", "ConnectionEnded": "connection", "RequestEnded": "request"}


def _tls(info: ConnectionInfo | None) -> dict[str, Any]:
    if info is None:
        return {"tls": False}
    peer = info.peer
    subject, names = "", tuple[str, ...]()
    if peer is not None and peer.verdict.subject:
        subject, names = peer.verdict.subject, peer.verdict.names
    elif info.peer_chain:
        described = describe(info.peer_chain[0])
        subject, names = described.subject, described.names
    return {
        "tls": True,
        "version": None if info.version is None else str(info.version),
        "suite": None if info.suite is None else str(info.suite),
        "resumed": info.resumed,
        "sni": info.server_name,
        "alpn": info.application_protocol,
        "verified": info.verified_peer is not None,
        "subject": subject,
        "names": names[:_NAMES],
    }


def _short(value: Any, most: int) -> Any:
    if isinstance(value, str):
        return escape(value, most)
    if isinstance(value, (tuple, list)):
        return [escape(one, most) for one in value]
    return value
