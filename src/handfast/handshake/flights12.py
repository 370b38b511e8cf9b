"""The tables of ``flights`` for TLS 1.2, from the hello on that settles the version.

A ChangeCipherSpec, which is no handshake message, must stand before each Finished and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from handfast.events import Role

if TYPE_CHECKING:
    from handfast.handshake.flights import Flights

START = "start"

# What a server may send, and when. RFC 5246 figure 1, without what only other key exchanges and sessions need.
TO_CLIENT_12: Flights = {
    START: ("ServerHello", "ServerHello; announces an OCSP response"),
    "ServerHello": ("Certificate",),
    "ServerHello; announces an OCSP response": ("Certificate; an OCSP response was announced",),
    "Certificate": ("ServerKeyExchange",),
    "Certificate; an OCSP response was announced": ("CertificateStatus", "ServerKeyExchange"),
    "CertificateStatus": ("ServerKeyExchange",),
    "ServerKeyExchange": ("CertificateRequest", "ServerHelloDone"),
    "CertificateRequest": ("ServerHelloDone",),
    "ServerHelloDone": ("Finished",),
    "Finished": ("HelloRequest",),
    "HelloRequest": ("HelloRequest",),
}

# What a client may send, and when.
TO_SERVER_12: Flights = {
    START: ("ClientHello; we ask for a certificate", "ClientHello; we ask for no certificate"),
    "ClientHello; we ask for a certificate": ("Certificate; empty", "Certificate; not empty"),
    "ClientHello; we ask for no certificate": ("ClientKeyExchange; nothing to prove",),
    "Certificate; empty": ("ClientKeyExchange; nothing to prove",),
    "Certificate; not empty": ("ClientKeyExchange; a key to prove",),
    "ClientKeyExchange; nothing to prove": ("Finished",),
    "ClientKeyExchange; a key to prove": ("CertificateVerify",),
    "CertificateVerify": ("Finished",),
    "Finished": ("ClientHello; we decline",),
    "ClientHello; we decline": ("ClientHello; we decline",),
}

# By the role that receives.
FLIGHTS_12: Mapping[Role, Flights] = {Role.CLIENT: TO_CLIENT_12, Role.SERVER: TO_SERVER_12}
