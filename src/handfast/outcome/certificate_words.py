"""Certificates and names in words: what a lens says of them unless it is given other words."""

from __future__ import annotations

from handfast.outcome.describer import Describer
from handfast.x509.describe import describe
from handfast.x509.distinguished_names import rfc4514


def identity(certificate: bytes) -> str:
    """ "CN=alice (issuer CN=Some CA)"."""
    described = describe(certificate)
    return f"{described.subject or 'an empty name'} (issuer {described.issuer or 'an empty name'})"


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


DESCRIBER = Describer(identity, certificate_lines, rfc4514)
