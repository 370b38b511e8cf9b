"""Certificates and names in words, for lenses and for what the commands print."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handfast.lens import verdict
from handfast.lens.describer import Describer
from handfast.x509.describe import describe
from handfast.x509.distinguished_names import rfc4514

if TYPE_CHECKING:
    from handfast.errors import HandfastError
    from handfast.lens.outcome import Outcome


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


def verdict_line(outcome: Outcome, error: BaseException | None = None) -> str:
    """What came of a connection, in one line; ``error`` is what ended it, if something did."""
    return verdict.line(outcome, error, DESCRIBER)


def verdict_hint(outcome: Outcome, error: HandfastError | None = None) -> str:
    """What to do about a connection that came to nothing."""
    return verdict.hint(outcome, error, DESCRIBER)
