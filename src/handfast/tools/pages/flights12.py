"""The tables of ``flights`` for TLS 1.2, from the hello on that settles the version.

A ChangeCipherSpec, which is no handshake message, must stand before each Finished and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from handfast.roles import Role

# State -> the states that one more message of the peer may lead to.
Flights: TypeAlias = Mapping[str, tuple[str, ...]]

START = "start"

# What a server may send, and when. RFC 5246 figures 1 and 2 without what only other key exchanges need, RFC 5077 3.1.
TO_CLIENT_12: Flights = {
    START: (
        "ServerHello; a new session",
        "ServerHello; a new session; announces an OCSP response",
        "ServerHello; a new session and a ticket",
        "ServerHello; a new session and a ticket; announces an OCSP response",
        "ServerHello; our session",
        "ServerHello; our session and a ticket",
    ),
    "ServerHello; a new session": ("Certificate; no ticket",),
    "ServerHello; a new session; announces an OCSP response": ("Certificate; no ticket; an OCSP response",),
    "ServerHello; a new session and a ticket": ("Certificate; a ticket",),
    "ServerHello; a new session and a ticket; announces an OCSP response": ("Certificate; a ticket; an OCSP response",),
    "ServerHello; our session": ("Finished",),
    "ServerHello; our session and a ticket": ("NewSessionTicket",),
    "Certificate; no ticket": ("ServerKeyExchange; no ticket",),
    "Certificate; no ticket; an OCSP response": ("CertificateStatus; no ticket", "ServerKeyExchange; no ticket"),
    "Certificate; a ticket": ("ServerKeyExchange; a ticket",),
    "Certificate; a ticket; an OCSP response": ("CertificateStatus; a ticket", "ServerKeyExchange; a ticket"),
    "CertificateStatus; no ticket": ("ServerKeyExchange; no ticket",),
    "CertificateStatus; a ticket": ("ServerKeyExchange; a ticket",),
    "ServerKeyExchange; no ticket": ("CertificateRequest; no ticket", "ServerHelloDone; no ticket"),
    "ServerKeyExchange; a ticket": ("CertificateRequest; a ticket", "ServerHelloDone; a ticket"),
    "CertificateRequest; no ticket": ("ServerHelloDone; no ticket",),
    "CertificateRequest; a ticket": ("ServerHelloDone; a ticket",),
    "ServerHelloDone; no ticket": ("Finished",),
    "ServerHelloDone; a ticket": ("NewSessionTicket",),
    "NewSessionTicket": ("Finished",),
    "Finished": ("HelloRequest",),
    "HelloRequest": ("HelloRequest",),
}

# What a client may send, and when.
TO_SERVER_12: Flights = {
    START: (
        "ClientHello; we ask for a certificate",
        "ClientHello; we ask for no certificate",
        "ClientHello; we resume its session",
    ),
    "ClientHello; we resume its session": ("Finished",),
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
