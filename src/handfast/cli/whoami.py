"""What ``handfast serve`` tells a client about itself: in words, and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from handfast.engine import ConnectionInfo, VerifiedPeer
from handfast.limits import MAX_PEER_TEXT
from handfast.registry import name_of
from handfast.text import escape
from handfast.x509 import pem
from handfast.x509.describe import describe, rfc4514

if TYPE_CHECKING:
    from handfast.engine import UnverifiedPeer


def in_words(info: ConnectionInfo) -> str:
    """A few lines of text."""
    lines = [_who(info), f"This is {', '.join(_parameters(info))}."]
    return "".join(f"{line}\n" for line in lines)


def in_log(info: ConnectionInfo) -> str:
    """Of a verified client its subject, or its first name where it has none; "-" of others, who may be anybody."""
    if not isinstance(info.peer, VerifiedPeer):
        return "-"
    described = describe(info.peer.chain[0])
    return escape(described.subject or next(iter(described.names), "-"), MAX_PEER_TEXT)


def as_json(info: ConnectionInfo) -> dict[str, Any]:
    """The page and more, for programs; ``names``, ``subject``, ``issuer`` and ``ca_names`` are safe to print.

    ``ca_names`` is null where no certificate was requested, and empty where one was without naming CAs.
    """
    return {
        "client_certificate": _status(info),
        **_identity(info.peer),
        "ca_names": None if info.ca_names is None else [rfc4514(name) for name in info.ca_names],
        "chain": [pem.encode(pem.CERTIFICATE, certificate).decode() for certificate in info.peer_chain],
        "server_name": info.server_name,
        "version": name_of(info.version),
        "suite": name_of(info.suite),
        "group": name_of(info.group),
        "signature_scheme": name_of(info.peer_scheme),
        "alpn": info.application_protocol,
        "resumed": info.resumed,
    }


def _status(info: ConnectionInfo) -> str:
    """ "verified", "not verified", "none" or "not requested"."""
    if info.peer is None:
        return "none" if info.client_auth_requested else "not requested"
    return "verified" if isinstance(info.peer, VerifiedPeer) else "not verified"


def _identity(peer: VerifiedPeer | UnverifiedPeer | None) -> dict[str, Any]:
    if peer is None:
        return {"subject": None, "issuer": None, "names": [], "verdict": None}
    described = describe(peer.chain[0])
    verdict = {"accepted": peer.verdict.accepted, "code": peer.verdict.code, "explanation": peer.verdict.explanation}
    return {
        "subject": described.subject,
        "issuer": described.issuer,
        "names": list(described.names),
        "verdict": verdict,
    }


def _who(info: ConnectionInfo) -> str:
    peer = info.peer
    if peer is None and info.client_auth_requested:
        names = "; ".join(map(rfc4514, info.ca_names or ())) or "any CA, as none was named"
        return f"You have shown no certificate, though asked for one from {names}: who you are is unknown."
    if peer is None:
        return "You were not asked for a certificate: who you are is unknown."
    described = describe(peer.chain[0])
    names = f", also known as {', '.join(described.names)}" if described.names else ""
    if isinstance(peer, VerifiedPeer):
        return f"You are {described.subject}{names}. {described.issuer} says so, and it is trusted here."
    return (
        f"You hold the key of a certificate for {described.subject}{names}, issued by {described.issuer}. "
        f"It is not verified: {peer.verdict.explanation}."
    )


def _parameters(info: ConnectionInfo) -> list[str]:
    said = [str(one) for one in (info.version, info.suite, info.group) if one is not None]
    if info.application_protocol is not None:
        said.append(f"ALPN {info.application_protocol}")
    return said
