"""What happens in a proxy, told once. The access log and the metrics are functions of these entries.

An entry is made when what it is about is over, so it holds how that went. All texts in it may be a client's or a
backend's own: who writes them somewhere escapes them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from handfast import logs

if TYPE_CHECKING:
    from handfast.connection_info import ConnectionInfo


@dataclass(frozen=True, slots=True)
class ConnectionRefused:
    """A client was not let in: the handshake failed, a limit was reached, or a rule said no before any byte of it.

    ``code`` is the error's or the limit's, stable; ``why`` is for people. ``info`` is what is known of the
    connection, None where no byte of it was read.
    """

    listener: str
    client: str
    code: str
    why: str
    info: ConnectionInfo | None = None


@dataclass(frozen=True, slots=True)
class HandshakeComplete:
    """A client's handshake is over, and went well. ``seconds`` is how long it took, from the connection on."""

    listener: str
    client: str
    info: ConnectionInfo
    seconds: float


@dataclass(frozen=True, slots=True)
class ConnectionEnded:
    """A client's connection is over. ``seconds`` is how long it was there, with the handshake.

    ``received`` and ``sent`` count the bytes from and to the client, inside of TLS. ``why`` is "" for an end in order.
    ``backend`` is where its bytes went, "" in HTTP, where requests say it.
    """

    listener: str
    client: str
    info: ConnectionInfo | None
    seconds: float
    received: int
    sent: int
    backend: str = ""
    code: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class RequestEnded:
    """A request was answered, by the backend or by us. ``status`` is 0 where the client left before.

    ``code`` and ``why`` say why the answer is ours (421, 403, 502, 504 ...), or what cut the backend's short.
    """

    listener: str
    client: str
    info: ConnectionInfo | None
    protocol: str
    method: str
    host: str
    target: str
    status: int
    seconds: float
    received: int
    sent: int
    backend: str = ""
    code: str = ""
    why: str = ""


Entry: TypeAlias = ConnectionRefused | HandshakeComplete | ConnectionEnded | RequestEnded
Reader: TypeAlias = "Callable[[Entry], object]"


class Journal:
    """Tells its readers each entry, in the thread in which it happened. A reader that raises is taken off, and logged.

    ``connections`` and ``requests`` count what is open now.
    """

    def __init__(self, *readers: Reader) -> None:
        self._readers = list(readers)
        self.connections = 0
        self.requests = 0

    def add(self, reader: Reader) -> None:
        """Tell this one too, from now on."""
        self._readers.append(reader)

    def tell(self, entry: Entry) -> None:
        """Hand the entry to all readers."""
        for reader in tuple(self._readers):
            try:
                reader(entry)
            except Exception:  # noqa: BLE001 (the reader's own, whatever it is)
                import logging

                self._readers.remove(reader)
                logs.say(logging.ERROR, "a reader of the proxy's journal failed, and is told no more", exc_info=True)
