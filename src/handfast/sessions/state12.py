"""What a session of TLS 1.2 is, on the side that can resume it and on the side that was given it. RFC 5077 and 5246.

Only sessions with the extended main secret are kept: without it a man in the middle can share one (RFC 7627 1).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from handfast.errors import BadMessage
from handfast.wire.codec import Fixed, Opaque, Struct, UInt, Vector, decode, encode, tls_struct

# Of the encoding below; no session of another version begins so.
FORMAT_12 = 0x21


@tls_struct
class TicketState12(Struct):
    """What a server must find again to resume a session. Times are milliseconds since the Unix epoch.

    Attributes:
        suite: the suite, which stays the same. main_secret: 48 bytes.
        issued_at: when the ticket was made. authenticated_at: when the peer last proved its identity with a signature.
        ticket_lifetime: seconds from ``issued_at``.
        chain: the certificates that the client presented and proved, DER, leaf first.
    """

    format: Annotated[int, UInt(1)]
    suite: Annotated[int, UInt(2)]
    main_secret: Annotated[bytes, Fixed(48)]
    issued_at: Annotated[int, UInt(8)]
    authenticated_at: Annotated[int, UInt(8)]
    ticket_lifetime: Annotated[int, UInt(4)]
    chain: Annotated[tuple[bytes, ...], Vector(Opaque(1, 2**16 - 1), 0, 2**16 - 1)]

    def __repr__(self) -> str:
        return f"<TicketState12 issued at {self.issued_at} ms, {len(self.chain)} certificates>"

    def encode(self) -> bytes:
        """As bytes that hold secrets: a ``Tickets`` seals them or keeps them."""
        return encode(self)

    @classmethod
    def decode(cls, data: object) -> TicketState12 | None:
        """What ``encode`` made; None for anything else, as a store of somebody else's may hold it."""
        if not isinstance(data, bytes) or data[:1] != bytes((FORMAT_12,)):
            return None
        try:
            return decode(cls, data)
        except BadMessage:
            return None


@dataclass(frozen=True, slots=True)
class ClientSession12:
    """What a client keeps of a session. Times are seconds since the Unix epoch.

    Attributes:
        ticket: opaque, for the server alone; b"" if the server keeps the session under ``session_id``.
        main_secret: 48 bytes. suite: of the connection that began it, which stays the same.
        received_at: when ticket or session id came. lifetime: seconds from then.
        authenticated_at: when the server last proved its identity with a signature.
        chain: what the server presented and proved, DER, leaf first.
        identified: whether the session stands for a client certificate that was shown.
        ocsp_response: the OCSP response that came beside the server's leaf, DER, b"" if none.
        timestamps: the signed certificate timestamps that came there.
    """

    ticket: bytes = field(repr=False)
    session_id: bytes = field(repr=False)
    main_secret: bytes = field(repr=False)
    suite: int
    received_at: float
    authenticated_at: float
    lifetime: int
    chain: tuple[bytes, ...] = field(repr=False)
    identified: bool
    ocsp_response: bytes = field(default=b"", repr=False)
    timestamps: tuple[bytes, ...] = field(default=(), repr=False)
