"""Certificates and names in words: what a lens says of them unless it is given other words.

A peer's name may have as many characters as its certificate has bytes, and a sentence shows ``MAX_PEER_TEXT`` of them.
"""

from __future__ import annotations

from handfast.limits import MAX_PEER_TEXT
from handfast.outcome.describer import Describer
from handfast.text import escape
from handfast.x509.describe import describe
from handfast.x509.distinguished_names import rfc4514


def identity(certificate: bytes) -> str:
    """ "CN=alice (issuer CN=Some CA)"."""
    described = describe(certificate)
    subject, issuer = (escape(name, MAX_PEER_TEXT) or "an empty name" for name in (described.subject, described.issuer))
    return f"{subject} (issuer {issuer})"


def name(encoded: bytes) -> str:
    """A distinguished name in DER, as RFC 4514 writes it."""
    return escape(rfc4514(encoded), MAX_PEER_TEXT)


def certificate_lines(certificate: bytes) -> list[str]:
    """A certificate, a fact a line."""
    described = describe(certificate)
    facts = {
        "subject": described.subject,
        "issuer": described.issuer,
        "names": ", ".join(described.names),
        "valid": f"{described.not_before} to {described.not_after}",
        "key": described.key,
        "signed with": described.signature_algorithm,
        "CA": "yes" if described.is_ca else "",
        "key usage": ", ".join(described.key_usage),
        "purposes": ", ".join(described.extended_key_usage),
        "serial": described.serial_number,
        "SHA-256": described.sha256,
    }
    return [f"{name}: {value}" for name, value in facts.items() if value]


DESCRIBER = Describer(identity, certificate_lines, name)
