"""What a session is, on the side that wrote the ticket and on the side that was given it. RFC 9846 4.7.1.

Neither holds a verdict: the chain is kept as it was presented, and judged again in full whenever it is resumed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct

# Of the encoding below; a ticket of another format is unknown.
FORMAT = 4

# All numbers of a state, then the lengths of psk, application_protocol, server_name, replay_scope and ocsp_response and
# the numbers of certificates and timestamps; those follow, in this order.
_HEAD = Struct(">BHIQQIIBBBHBHBH")


@dataclass(slots=True, repr=False)
class TicketState:
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
            that came beside the leaf, DER, b"" if none. timestamps: the signed certificate timestamps that came there.
    """

    format: int
    suite: int
    psk: bytes
    ticket_age_add: int
    issued_at: int
    authenticated_at: int
    ticket_lifetime: int
    application_protocol: bytes
    server_name: bytes
    max_early_data: int
    replay_scope: bytes
    external: int
    chain: tuple[bytes, ...]
    ocsp_response: bytes = b""
    timestamps: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        return f"<TicketState issued at {self.issued_at} ms, {len(self.chain)} certificates>"

    def encode(self) -> bytes:
        """As bytes that hold secrets: a ``Tickets`` seals them or keeps them."""
        psk, protocol, server_name = self.psk, self.application_protocol, self.server_name
        scope, response, chain, timestamps = self.replay_scope, self.ocsp_response, self.chain, self.timestamps
        head = _HEAD.pack(
            self.format,
            self.suite,
            self.ticket_age_add,
            self.issued_at,
            self.authenticated_at,
            self.ticket_lifetime,
            self.max_early_data,
            self.external,
            len(psk),
            len(protocol),
            len(server_name),
            len(scope),
            len(response),
            len(chain),
            len(timestamps),
        )
        return b"".join((head, psk, protocol, server_name, scope, response, encode_list(chain + timestamps)))

    @classmethod
    def decode(cls, data: object) -> TicketState | None:
        """What ``encode`` made; None for anything else, as a store of somebody else's may hold it."""
        if not isinstance(data, bytes) or len(data) < _HEAD.size or data[0] != FORMAT:
            return None
        head = _HEAD.unpack_from(data)
        _, suite, age_add, issued_at, authenticated_at, lifetime, early, external = head[:8]
        psk_length, protocol_length, name_length, scope_length, response_length, certificates, timestamps = head[8:]
        # Where each ends; that all are there shows when the list, which ends with the data, is read.
        psk = _HEAD.size + psk_length
        protocol = psk + protocol_length
        name = protocol + name_length
        scope = name + scope_length
        response = scope + response_length
        listed = decode_list(data, response, certificates + timestamps)
        if not psk_length or listed is None:
            return None
        return cls(
            FORMAT,
            suite,
            data[_HEAD.size : psk],
            age_add,
            issued_at,
            authenticated_at,
            lifetime,
            data[psk:protocol],
            data[protocol:name],
            early,
            data[name:scope],
            external,
            listed[:certificates],
            data[scope:response],
            listed[certificates:],
        )


def encode_list(parts: tuple[bytes, ...]) -> bytes:
    """Certificates and timestamps, each behind its length of two bytes."""
    return b"".join([len(part).to_bytes(2, "big") + part for part in parts]) if parts else b""


def decode_list(data: bytes, at: int, count: int) -> tuple[bytes, ...] | None:
    """``count`` parts that fill ``data`` from ``at`` on; None if they do not, or if one is empty."""
    parts = []
    for _ in range(count):
        start = at + 2
        at = start + int.from_bytes(data[at:start], "big")
        if at == start:
            return None
        parts.append(data[start:at])
    return tuple(parts) if at == len(data) else None


# None is ever changed; to have that enforced would triple the cost of making it.
@dataclass(slots=True, unsafe_hash=True)
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
        timestamps: the signed certificate timestamps that came there.
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
    timestamps: tuple[bytes, ...] = field(default=(), repr=False)

    def obfuscated_age(self, now: float) -> int:
        """The ticket's age in milliseconds plus ``ticket_age_add``, modulo 2^32. RFC 9846 4.3.11.1."""
        return (max(0, int((now - self.received_at) * 1000)) + self.ticket_age_add) % 2**32
