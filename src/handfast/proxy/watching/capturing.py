"""A capture of one client, on demand: the next connection from an address, with its keys, as a file for Wireshark.

Nothing is captured unless a directory for it was given, and then only what is asked for. A file is private and new; it
holds the connection's keys, and with them all that the client and we said.
"""

from __future__ import annotations

import re
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from handfast import limits, logs
from handfast.errors import ConfigError, HandfastError, bad_option
from handfast.errors.foreign import said_by
from handfast.files import append_private, create_private
from handfast.lens.pcapng import CaptureFile, Flow
from handfast.text import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from handfast.events import Observer, SecretSink

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SUFFIX = ".pcapng"


def no_directory() -> ConfigError:
    """The error where captures are asked for and forbidden."""
    return bad_option("capture", "no directory is given for captures", "name one in the configuration")


class Captures:
    """Captures in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._taken: Callable[[str], object] = lambda _client: None
        self._asked: dict[str, str] = {}

    def ask(self, client: str, name: str) -> str:
        """Capture the next connection from this IP address to a new file of this name; what was agreed, in words.

        Raises ConfigError for what is no address, a name that is no plain one, a file that is there.
        """
        try:
            address = str(ip_address(client))
        except ValueError:
            raise bad_option("client", f"{escape(client)!r} is no IP address", "give that of a client") from None
        if _NAME.fullmatch(name) is None:
            raise bad_option("to", f"{escape(name)!r} is no name of a file here", "give letters, digits, - and _")
        path = self._path(name)
        if path.exists():
            raise bad_option("to", f"{path.name} is there already", "give another name")
        if len(self._asked) >= limits.PROXY_CAPTURES and address not in self._asked:
            raise bad_option("client", f"{len(self._asked)} captures are asked for already", "let some be taken first")
        self._asked[address] = name
        return f"the next connection from {address} goes to {path}, with its keys: the file shows all that is said\n"

    def on_taken(self, taken: Callable[[str], object]) -> None:
        """Have ``taken`` called with the client's address when a capture of it begins."""
        self._taken = taken

    def forget(self, client: str) -> None:
        """Another process has taken it."""
        self._asked.pop(client, None)

    def observe(self, address: Any, reached: Any) -> tuple[Sequence[Observer], Sequence[SecretSink]]:
        """What watches a new connection: most often nothing. ``reached`` is where the client came in."""
        if not self._asked or not isinstance(address, tuple):
            return (), ()
        client = str(ip_address(str(address[0]).partition("%")[0]))
        name = self._asked.pop(client, None)
        if name is None:
            return (), ()
        self._taken(client)
        try:
            flow = Flow(CaptureFile(_Writer(self._path(name)).write), address[:2], reached)
        except (HandfastError, OSError) as error:
            words = said_by(error)
            logs.warn("captures that failed", lambda: f"no capture of {client}: {words}")
            return (), ()
        return (flow,), (flow.secret,)

    def _path(self, name: str) -> Path:
        return self._directory / (name if name.endswith(_SUFFIX) else name + _SUFFIX)


class _Writer:
    """The file of one capture, which ends when it is large or an hour old. It is open only while it is written to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._room = limits.PROXY_CAPTURE_BYTES
        self._end = time.monotonic() + limits.PROXY_CAPTURE_SECONDS
        create_private(path).close()

    def write(self, blocks: bytes) -> None:
        """Write what there is, as long as there is room."""
        if self._room < 0:
            return
        self._room -= len(blocks)
        reason = "it is as large or as old as it may be"
        try:
            if self._room >= 0 and time.monotonic() < self._end:
                with append_private(self._path) as file:
                    file.write(blocks)
                return
        except (HandfastError, OSError) as error:
            reason = said_by(error)
        self._room = -1
        logs.warn("captures that end early", lambda: f"{self._path}: the capture ends: {reason}")
