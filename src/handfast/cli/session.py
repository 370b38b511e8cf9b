"""A TLS session between the terminal and a peer: what is typed is sent, what comes is printed.

On a terminal a line that begins with "~" is a command, as for ssh; what comes from a pipe or a file is only ever sent.
"""

from __future__ import annotations

import codecs
import os
import socket
import threading
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

from handfast import limits
from handfast.cli.patience import Interruptible
from handfast.errors import HandfastError
from handfast.events import AlertSeen, Event, MessageSeen
from handfast.registry import AlertDescription, AlertLevel
from handfast.wire.messages import KeyUpdate

if TYPE_CHECKING:
    from collections.abc import Callable

    from handfast.io.tls_socket import TLSSocket
    from handfast.roles import Direction


_CHUNK = 64 * 1024
_PER_LINE = 16
COMMANDS = (
    ("~?", "this list"),
    ("~k", "change our keys (KeyUpdate)"),
    ("~K", "change our keys and ask the peer to change its own"),
    ("~r", "close and connect again"),
    ("~.", "close"),
    ("~~", "at the head of a line: send one ~"),
)


class Session:
    """The keyboard, which outlives a connection: after "~r" it types into the next one.

    ``write`` gets what the peer sends, ``say`` lines for the user; ``commands`` says that lines may be commands.
    """

    def __init__(
        self, keyboard: IO[Any], write: Callable[[bytes], None], say: Callable[[str], None], *, commands: bool = False
    ) -> None:
        self._keyboard = keyboard
        self._write = write
        self._say = say
        self._commands = commands
        self._thread: threading.Thread | None = None
        self._tls: TLSSocket | None = None
        self._again = False
        self._closing = False

    def begin(self, tls: TLSSocket) -> None:
        """From now on what is typed goes to this connection."""
        self._tls, self._again, self._closing = tls, False, False

    def run(self, tls: TLSSocket) -> bool:
        """Hold a session that has begun until the keyboard ends, then close_notify; print until the peer closes.

        True if the user wants another connection. Raises the HandfastError of the reading side; a failure to send is
        told by what the peer says about it there.
        """
        if self._thread is None:
            # A daemon: when the peer ends the session, one more line from the keyboard is not waited for.
            self._thread = threading.Thread(target=self._read_keyboard, daemon=True)
            self._thread.start()
        try:
            stream = Interruptible(tls)
            while data := stream.recv(_CHUNK):
                self._write(data)
        except HandfastError:
            # A peer that leaves our close_notify without an answer is left behind.
            if not self._closing:
                raise
        return self._again

    def _read_keyboard(self) -> None:
        with suppress(OSError):
            # Not sys.stdin: a thread that waits inside its buffer's lock breaks the end of the program. A terminal
            # gives a line at a time by itself.
            while data := os.read(self._keyboard.fileno(), _CHUNK):
                self._typed(data)
        if self._tls is not None:
            with suppress(HandfastError, OSError):
                self._tls.shutdown_write()

    def _typed(self, data: bytes) -> None:
        tls = self._tls
        if tls is None or self._closing:
            return
        # The connection may be over; the thread that reads learns why.
        with suppress(HandfastError, OSError):
            if not self._commands or not data.startswith(b"~"):
                tls.sendall(data)
            elif data.startswith(b"~~"):
                tls.sendall(data[1:])
            else:
                self._command(tls, data.strip())

    def _command(self, tls: TLSSocket, command: bytes) -> None:
        match command:
            case b"~k" | b"~K":
                self._update_keys(tls, request=command == b"~K")
            case b"~r" | b"~.":
                self._again = command == b"~r"
                self._close(tls)
            case _:
                for name, meaning in COMMANDS:
                    self._say(f"{name}  {meaning}")

    def _update_keys(self, tls: TLSSocket, *, request: bool) -> None:
        try:
            tls.update_keys(request=request)
        except HandfastError as error:
            self._say(f"the keys stay: {error.what}")
            return
        self._say(f"KeyUpdate sent{', and one of the peer asked for' if request else ''}")

    def _close(self, tls: TLSSocket) -> None:
        """close_notify, and the end of the wait for the peer's after a while."""
        self._closing = True
        tls.shutdown_write()
        timer = threading.Timer(limits.SHUTDOWN_TIMEOUT, _break, (tls,))
        timer.daemon = True
        timer.start()


def _break(tls: TLSSocket) -> None:
    """End the wait of another thread for the peer."""
    with suppress(OSError), socket.socket(fileno=os.dup(tls.fileno())) as duplicate:
        duplicate.shutdown(socket.SHUT_RDWR)


class Alerts:
    """An observer that says what the peer tells beside its data: alerts and new keys."""

    def __init__(self, theirs: Direction, say: Callable[[str], None]) -> None:
        self._theirs = theirs
        self._say = say

    def __call__(self, event: Event) -> None:
        match event:
            case AlertSeen(direction=direction) if direction is self._theirs:
                level = AlertLevel.describe(event.level)
                self._say(f"the peer sent the alert {AlertDescription.describe(event.description)} ({level})")
            case MessageSeen(direction=direction, message=KeyUpdate()) if direction is self._theirs:
                self._say("the peer changed its keys (KeyUpdate)")


class HexWhereBinary:
    """``write`` for a terminal: text as it is, and what is none as lines of hexadecimal."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def __call__(self, data: bytes) -> None:
        """Text may be cut anywhere: the beginning of a character waits for its rest."""
        held = self._decoder.getstate()[0]
        try:
            text = self._decoder.decode(data)
        except UnicodeDecodeError:
            text = "\0"
        if all(character.isprintable() or character in "\t\r\n" for character in text):
            self._write(text.encode())
            return
        self._decoder.reset()
        self._write(hex_lines(held + data).encode())


def hex_lines(data: bytes) -> str:
    """Sixteen bytes a line: where they are, their values, and what of them is printable ASCII."""
    lines = []
    for start in range(0, len(data), _PER_LINE):
        row = data[start : start + _PER_LINE]
        shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        lines.append(f"{start:04x}  {row.hex(' '):47}  {shown}\n")
    return "".join(lines)
