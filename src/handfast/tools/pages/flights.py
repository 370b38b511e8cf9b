"""Which handshake message of the peer may come after which: everything that is legal, as one literal table per role.

A connection does not read these tables: the handshake says the same by what it expects, line by line. They are what it
is held against. Tests drive a connection into each state by real messages and send every message that the table does
not allow there; what they see come in order, over all configurations, must be the table and no less. docs/flights.md is
drawn from them: ``python -m handfast.tools.pages.flights > docs/flights.md``.

A state is the last message that came. Where more than its type decides what may follow, the state says so after a
semicolon. A CompressedCertificate comes only where we offered to take one.
"""

from __future__ import annotations

from collections.abc import Mapping

from handfast.roles import Role
from handfast.tools.pages.flights12 import TO_CLIENT_12, TO_SERVER_12, Flights

START = "start"

# What a server may send, and when. RFC 9846 figures 1 and 3, 4.2.4, 4.5 and 4.7.
TO_CLIENT: Flights = {
    START: ("HelloRetryRequest", "ServerHello; without our PSK", "ServerHello; with our PSK"),
    "HelloRetryRequest": ("ServerHello; without our PSK", "ServerHello; with our PSK"),
    "ServerHello; without our PSK": ("EncryptedExtensions; without our PSK",),
    "ServerHello; with our PSK": ("EncryptedExtensions; with our PSK",),
    "EncryptedExtensions; without our PSK": ("CertificateRequest", "Certificate", "CompressedCertificate"),
    "EncryptedExtensions; with our PSK": ("Finished",),
    "CertificateRequest": ("Certificate", "CompressedCertificate"),
    "Certificate": ("CertificateVerify",),
    "CompressedCertificate": ("CertificateVerify",),
    "CertificateVerify": ("Finished",),
    "Finished": ("NewSessionTicket", "KeyUpdate"),
    "NewSessionTicket": ("NewSessionTicket", "KeyUpdate"),
    "KeyUpdate": ("NewSessionTicket", "KeyUpdate"),
}

# What a client may send, and when. RFC 9846 figures 1 and 4, 4.2.2, 4.5, 4.6 and 4.7.
TO_SERVER: Flights = {
    START: (
        "ClientHello; we retry",
        "ClientHello; we ask for a certificate",
        "ClientHello; we ask for no certificate",
        "ClientHello; we take early data",
    ),
    "ClientHello; we retry": ("ClientHello; we ask for a certificate", "ClientHello; we ask for no certificate"),
    "ClientHello; we ask for a certificate": (
        "Certificate; empty",
        "Certificate; not empty",
        "CompressedCertificate; empty",
        "CompressedCertificate; not empty",
    ),
    "ClientHello; we ask for no certificate": ("Finished",),
    "ClientHello; we take early data": ("EndOfEarlyData",),
    "EndOfEarlyData": ("Finished",),
    "Certificate; empty": ("Finished",),
    "Certificate; not empty": ("CertificateVerify",),
    "CompressedCertificate; empty": ("Finished",),
    "CompressedCertificate; not empty": ("CertificateVerify",),
    "CertificateVerify": ("Finished",),
    "Finished": ("KeyUpdate",),
    "KeyUpdate": ("KeyUpdate",),
}

# By the role that receives.
FLIGHTS: Mapping[Role, Flights] = {Role.CLIENT: TO_CLIENT, Role.SERVER: TO_SERVER}

# The same after a handshake in which the client offered to authenticate itself later. RFC 9846 4.7.2.
LATER_TO_CLIENT: Flights = {
    START: ("NewSessionTicket", "KeyUpdate", "CertificateRequest"),
    "NewSessionTicket": ("NewSessionTicket", "KeyUpdate", "CertificateRequest"),
    "KeyUpdate": ("NewSessionTicket", "KeyUpdate", "CertificateRequest"),
    "CertificateRequest": ("NewSessionTicket", "KeyUpdate", "CertificateRequest"),
}

# ... from where our server asks, until the answer has come.
LATER_TO_SERVER: Flights = {
    START: ("KeyUpdate", "Certificate; empty", "Certificate; not empty"),
    "KeyUpdate": ("KeyUpdate", "Certificate; empty", "Certificate; not empty"),
    "Certificate; empty": ("Finished",),
    "Certificate; not empty": ("CertificateVerify",),
    "CertificateVerify": ("Finished",),
    "Finished": ("KeyUpdate",),
}

LATER: Mapping[Role, Flights] = {Role.CLIENT: LATER_TO_CLIENT, Role.SERVER: LATER_TO_SERVER}


def message_of(state: str) -> str:
    """The class of the message that led to a state."""
    return state.partition(";")[0]


def may_come(role: Role, state: str, flights: Mapping[Role, Flights] = FLIGHTS) -> frozenset[str]:
    """The classes of the messages that may reach ``role`` in this state."""
    return frozenset(message_of(following) for following in flights[role][state])


# The page


_PAGE = """\
# Legal orders of handshake messages

Drawn from the tables in `src/handfast/tools/pages/flights.py` by `python -m handfast.tools.pages.flights`; a test keeps
them equal. A box is the last message that came from the peer, an arrow is the next one that may. Every other message is
refused with the alert unexpected_message, and so is CompressedCertificate (RFC 8879) unless we offered to take it.
RFC 9846 figure 1.

## What a client accepts from a server

{to_client}

## What a server accepts from a client

A second ClientHello comes only after our HelloRetryRequest, and is never answered by another one. Whoever resumes a
session is asked for no certificate. Application data may come before the handshake is over between a ClientHello whose
early data we take and EndOfEarlyData, and nowhere else.

{to_server}

## Authentication after the handshake

RFC 9846 4.7.2, where the client offered it. A client accepts from a server, at any time:

{later_to_client}

A server that asked accepts, until it has its answer:

{later_to_server}
## What a client accepts from a server in TLS 1.2

From its ServerHello on. A ChangeCipherSpec, which is no handshake message here either, must stand before each Finished
and nowhere else; a HelloRequest is declined with a warning. A ServerHello says whether a ticket will come, and whether
our session goes on. RFC 5246 figures 1 and 2, RFC 5077 3.1.

{to_client_12}

## What a server accepts from a client in TLS 1.2

{to_server_12}
"""


def page() -> str:
    """docs/flights.md."""
    return _PAGE.format(
        to_client=diagram(TO_CLIENT),
        to_server=diagram(TO_SERVER),
        later_to_client=diagram(LATER_TO_CLIENT),
        later_to_server=diagram(LATER_TO_SERVER),
        to_client_12=diagram(TO_CLIENT_12),
        to_server_12=diagram(TO_SERVER_12),
    )


def diagram(flights: Flights) -> str:
    """A table as a Mermaid state diagram."""
    return "\n".join(["```mermaid", "stateDiagram-v2", *(f"    {line}" for line in _lines(flights)), "```"])


def _lines(flights: Flights) -> list[str]:
    names = {START: "[*]"}
    lines = []
    for state in flights:
        message, _, condition = state.partition("; ")
        if state != START:
            names[state] = state.replace("; ", "_").replace(" ", "_")
        if condition:
            lines.append(f'state "{message}<br/>({condition})" as {names[state]}')
    for state, following in flights.items():
        lines += [f"{names[state]} --> {names[next_state]}" for next_state in following]
    return lines


if __name__ == "__main__":
    import sys

    sys.stdout.write(page())
