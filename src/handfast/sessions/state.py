"""What a session is, on the side that wrote the ticket and on the side that was given it. RFC 9846 4.7.1.

Neither holds a verdict: the chain is kept as it was presented, and judged again in full whenever it is resumed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from handfast.errors import BadMessage
from handfast.wire.codec import Opaque, Struct, UInt, Vector, decode, encode, tls_struct

# Of the encoding below; a ticket of another format is unknown.
FORMAT = 2


@tls_struct
class TicketState(Struct):
    """What a server must find again to resume a session. Times are milliseconds since the Unix epoch.

    Attributes:
        suite: the suite of the connection that issued the ticket. psk: the PSK, of its hash's size.
        issued_at: when the ticket was made. authenticated_at: when the peer last proved its identity with a signature.
        ticket_lifetime: seconds from ``issued_at``.
        application_protocol, server_name: of that connection, b"" for none; early data is bound to both.
        max_early_data: how many bytes of early data the ticket allows; 0 for none.
        replay_scope: the replay guard that answers for the ticket's early data, b"" for none.
        external: 1 for a PSK that does not come from a handshake of ours: no certificate was shown for it.
        chain: the certificates that the client presented and proved, DER, leaf first. ocsp_response: the OCSP response
            that came beside the leaf, DER, b"" if none.
    """

    format: Annotated[int, UInt(1)]
    suite: Annotated[int, UInt(2)]
    psk: Annotated[bytes, Opaque(1, 255)]
    ticket_age_add: Annotated[int, UInt(4)]
    issued_at: Annotated[int, UInt(8)]
    authenticated_at: Annotated[int, UInt(8)]
    ticket_lifetime: Annotated[int, UInt(4)]
    application_protocol: Annotated[bytes, Opaque(0, 255)]
    server_name: Annotated[bytes, Opaque(0, 2**16 - 1)]
    max_early_data: Annotated[int, UInt(4)]
    replay_scope: Annotated[bytes, Opaque(0, 255)]
    external: Annotated[int, UInt(1)]
    chain: Annotated[tuple[bytes, ...], Vector(Opaque(1, 2**16 - 1), 0, 2**16 - 1)]
    ocsp_response: Annotated[bytes, Opaque(0, 2**16 - 1)] = b""

    def __repr__(self) -> str:
        return f"<TicketState issued at {self.issued_at} ms, {len(self.chain)} certificates>"

    def encode(self) -> bytes:
        """As bytes that hold secrets: a ``Tickets`` seals them or keeps them."""
        return encode(self)

    @classmethod
    def decode(cls, data: object) -> TicketState | None:
        """What ``encode`` made; None for anything else, as a store of somebody else's may hold it."""
        if not isinstance(data, bytes):
            return None
        try:
            state = decode(cls, data)
        except BadMessage:
            return None
        return state if state.format == FORMAT else None


@dataclass(frozen=True, slots=True)
class ClientSession:
    """What a client keeps of a NewSessionTicket. Times are seconds since the Unix epoch.

    Attributes:
        ticket: opaque, for the server alone. psk: the PSK, of the hash's size.
        suite: of the connection on which the ticket came; its hash is the PSK's.
        received_at: when it came. authenticated_at: when the server last proved its identity with a signature.
        lifetime: seconds from ``received_at``. ticket_age_add: milliseconds, added to the age that is sent.
        max_early_data: how many bytes of early data the server accepts; 0 for none.
        application_protocol: of that connection. chain: what the server presented and proved, DER, leaf first.
        identified: whether the session stands for a client certificate that was shown.
        ocsp_response: the OCSP response that came beside the server's leaf, DER, b"" if none.
    """

    ticket: bytes = field(repr=False)
    psk: bytes = field(repr=False)
    suite: int
    received_at: float
    authenticated_at: float
    lifetime: int
    ticket_age_add: int = field(repr=False)
    max_early_data: int
    application_protocol: str | None
    chain: tuple[bytes, ...] = field(repr=False)
    identified: bool
    ocsp_response: bytes = field(default=b"", repr=False)

    def obfuscated_age(self, now: float) -> int:
        """The ticket's age in milliseconds plus ``ticket_age_add``, modulo 2^32. RFC 9846 4.3.11.1."""
        return (max(0, int((now - self.received_at) * 1000)) + self.ticket_age_add) % 2**32
