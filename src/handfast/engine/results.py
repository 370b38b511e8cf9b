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


@dataclass(frozen=True, slots=True)
class HandshakeDone:
    """This side may send and receive application data now."""

    info: ConnectionInfo


@dataclass(frozen=True, slots=True)
class PeerClosed:
    """The peer sent close_notify: everything that it wrote has come."""


Result: TypeAlias = Data | HandshakeDone | PeerClosed
