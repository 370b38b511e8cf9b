"""What a connection hands to the application."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from handfast.engine.in_short import in_short, who

if TYPE_CHECKING:
    from handfast.connection_info import ConnectionInfo, UnverifiedPeer, VerifiedPeer


# Not frozen, as the others are: one is made for each receive, and freezing would triple its cost.
@dataclass(slots=True)
class Data:
    """Application data, in the order in which the peer sent it."""

    data: bytes | bytearray = field(repr=False)

    def __repr__(self) -> str:
        return f"Data({len(self.data)} bytes)"


@dataclass(slots=True)
class EarlyData:
    """Application data that came before the handshake was over (0-RTT): one who recorded it can send it again.

    Within one replay guard it is taken once; beyond that only what may be done twice should be done. RFC 9846 8.
    """

    data: bytes | bytearray = field(repr=False)

    def __repr__(self) -> str:
        return f"EarlyData({len(self.data)} bytes)"


@dataclass(slots=True)
class HandshakeDone:
    """This side may send and receive application data now."""

    info: ConnectionInfo

    def __repr__(self) -> str:
        return f"HandshakeDone({in_short(self.info)})"


@dataclass(frozen=True, slots=True)
class PeerClosed:
    """The peer sent close_notify: everything that it wrote has come.

    ``close_notify`` is False where only its transport ended, under ``unexpected_eof="end"``: then it is not known.
    """

    close_notify: bool = True


@dataclass(frozen=True, slots=True)
class PeerAuthenticated:
    """At a server: the client answered a request made after the handshake. RFC 9846 4.7.2.

    ``context`` is what ``request_client_certificate`` returned. ``peer`` is who the client is from now on, None if it
    declined; then it is who it was before.
    """

    context: bytes
    peer: VerifiedPeer | UnverifiedPeer | None

    def __repr__(self) -> str:
        return f"PeerAuthenticated({who(self.peer)}, context {self.context.hex()[:8]}...)"


Result: TypeAlias = Data | EarlyData | HandshakeDone | PeerAuthenticated | PeerClosed
