"""What functions of the program are given to choose by: all of it is the peer's word."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class HelloSeen:
    """A ClientHello, as ``ServerConfig.choose_config`` gets it: everything in it is the client's word.

    Attributes:
        server_name: the name that it asks for (SNI). application_protocols: what it speaks (ALPN), as sent.
        versions, suites, groups, schemes: numbers of their registries, most wanted first.
        ca_names: DER names of the CAs that it trusts; () if it names none.
        offers_psk: whether it wants to resume a session. early_data: whether it announces early data.
        raw: the message with its 4-byte header.
    """

    server_name: str | None
    application_protocols: tuple[bytes, ...]
    versions: tuple[int, ...]
    suites: tuple[int, ...]
    groups: tuple[int, ...]
    schemes: tuple[int, ...]
    ca_names: tuple[bytes, ...]
    offers_psk: bool
    early_data: bool
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CertificateWanted:
    """What a CertificateRequest asks for, as a function in ``ClientConfig.credentials`` gets it.

    Attributes:
        context: tells requests after the handshake apart; b"" in the handshake.
        schemes: numbers of the signature schemes that the server accepts.
        ca_names: DER names of the CAs that it trusts; () when the request names none.
        oid_filters: what extensions must hold, each as DER identifier and DER value. RFC 9846 4.3.5.
        server_name: the name that we verified the server by.
    """

    context: bytes
    schemes: tuple[int, ...]
    ca_names: tuple[bytes, ...]
    oid_filters: tuple[tuple[bytes, bytes], ...] = ()
    server_name: str | None = None
