"""What a connection hands to the application."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from handfast.handshake.info import ConnectionInfo


# Not frozen, as the others are: one is made for each receive, and freezing would triple its cost.
@dataclass(slots=True)
class Data:
    """Application data, in the order in which the peer sent it."""

    data: bytes | bytearray = field(repr=False)


@dataclass(slots=True)
class EarlyData:
    """Application data that came before the handshake was over (0-RTT): whoever recorded it can send it again.

    Within one replay guard it is taken once; beyond that only what may be done twice should be done. RFC 9846 8.
    """

    data: bytes | bytearray = field(repr=False)


@dataclass(frozen=True, slots=True)
class HandshakeDone:
    """This side may send and receive application data now."""

    info: ConnectionInfo


@dataclass(frozen=True, slots=True)
class PeerClosed:
    """The peer sent close_notify: everything that it wrote has come."""


Result: TypeAlias = Data | EarlyData | HandshakeDone | PeerClosed
