"""What a session of TLS 1.2 is, on the side that can resume it and on the side that was given it. RFC 5077 and 5246.

Only sessions with the extended main secret are kept: without it a man in the middle can share one (RFC 7627 1).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct

from handfast.sessions.state import decode_list, encode_list

# Of the encoding below; no session of another version begins so.
FORMAT_12 = 0x22

# All of a state but the certificates, of which it has the number.
_HEAD = Struct(">BH48sQQIB")


@dataclass(slots=True, repr=False)
class TicketState12:
    """What a server must find again to resume a session. Times are milliseconds since the Unix epoch.

    Attributes:
        suite: the suite, which stays the same. main_secret: 48 bytes.
        issued_at: when the ticket was made. authenticated_at: when the peer last proved its identity with a signature.
        ticket_lifetime: seconds from ``issued_at``.
        chain: the certificates that the client presented and proved, DER, leaf first.
    """

    format: int
    suite: int
    main_secret: bytes
    issued_at: int
    authenticated_at: int
    ticket_lifetime: int
    chain: tuple[bytes, ...]

    def __repr__(self) -> str:
        return f"<TicketState12 issued at {self.issued_at} ms, {len(self.chain)} certificates>"

    def encode(self) -> bytes:
        """As bytes that hold secrets: a ``Tickets`` seals them or keeps them."""
        chain = self.chain
        head = _HEAD.pack(
            self.format,
            self.suite,
            self.main_secret,
            self.issued_at,
            self.authenticated_at,
            self.ticket_lifetime,
            len(chain),
        )
        return head + encode_list(chain)

    @classmethod
    def decode(cls, data: object) -> TicketState12 | None:
        """What ``encode`` made; None for anything else, as a store of somebody else's may hold it."""
        if not isinstance(data, bytes) or len(data) < _HEAD.size or data[0] != FORMAT_12:
            return None
        _, suite, main_secret, issued_at, authenticated_at, lifetime, count = _HEAD.unpack_from(data)
        chain = decode_list(data, _HEAD.size, count)
        if chain is None:
            return None
        return cls(FORMAT_12, suite, main_secret, issued_at, authenticated_at, lifetime, chain)


@dataclass(slots=True, unsafe_hash=True)
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
