"""One revocation list, read whole: what it says, and that nothing in it is left out. RFC 5280 5.

RFC 5280 forbids the use of a list with a critical part that is not understood, in whichever entry it stands: the list
may then mean something else than it seems to. Refused for this and similar reasons is

- a delta list, which says only what changed since another one;
- an indirect list, whose entries may be about certificates of other CAs;
- a list for some reasons only, which cannot show that a certificate is good;
- a list without nextUpdate, of which none can tell whether a newer one is being withheld;
- a signature that rests on a broken hash.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from cryptography import x509
from cryptography.x509.oid import CRLEntryExtensionOID, ExtensionOID

from handfast.limits import MAX_CRL_ISSUER_KEYS, MAX_PEER_TEXT
from handfast.text import reported
from handfast.x509.certificates import weak_hash

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from handfast.x509.certificates import Parsed

_PROCESSED = frozenset(
    (ExtensionOID.CRL_NUMBER, ExtensionOID.AUTHORITY_KEY_IDENTIFIER, ExtensionOID.ISSUING_DISTRIBUTION_POINT)
)
_PROCESSED_IN_ENTRIES = frozenset((CRLEntryExtensionOID.CRL_REASON, CRLEntryExtensionOID.INVALIDITY_DATE))

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


class Unusable(ValueError):
    """A list that cannot be used; the message says why."""


@dataclass(frozen=True, eq=False)
class RevocationList:
    """A list whose signature is not yet checked: only a verified path tells by whose key.

    Attributes:
        issuer: its name as DER.
        number: cRLNumber, -1 if there is none.
        key_identifier: of the key that is said to have signed it.
        scope: what part of the CA's certificates it is about; None for all of them.
        serial_numbers: of the revoked certificates.
    """

    issuer: bytes
    this_update: datetime
    next_update: datetime
    number: int
    key_identifier: bytes | None
    scope: x509.IssuingDistributionPoint | None
    serial_numbers: frozenset[int] = field(repr=False)
    parsed: x509.CertificateRevocationList = field(repr=False)
    _signed_by: dict[bytes, bool] = field(default_factory=dict, init=False, repr=False)

    def is_signed_by(self, issuer: Parsed) -> bool:
        """Whether the issuer's key verifies the signature. The answer is kept: a list can have megabytes."""
        known = self._signed_by.get(issuer.public_key_info)
        if known is None:
            if len(self._signed_by) >= MAX_CRL_ISSUER_KEYS:
                self._signed_by.clear()
            # The library's type leaves out the kinds of keys that sign nothing; a verified path has none of them.
            known = self.parsed.is_signature_valid(issuer.certificate.public_key())  # type: ignore[arg-type]
            self._signed_by[issuer.public_key_info] = known
        return known

    def names_another_key(self, issuer: Parsed) -> bool:
        """Whether the key identifiers say that a CA of the same name signed it, with another key."""
        own = issuer.extension(x509.SubjectKeyIdentifier)
        return own is not None and self.key_identifier is not None and self.key_identifier != own.digest

    def covers(self, certificate: Parsed) -> bool:
        """Whether the certificate would be on this list if its issuer revoked it. RFC 5280 6.3.3 (b)."""
        scope = self.scope
        if scope is None:
            return True
        about_others = scope.only_contains_user_certs if certificate.is_ca else scope.only_contains_ca_certs
        if about_others:
            return False
        return scope.full_name is None or not set(scope.full_name).isdisjoint(_distribution_points(certificate))

    def entry(self, serial_number: int) -> x509.RevokedCertificate | None:
        """What it says about a certificate, None if nothing."""
        if serial_number not in self.serial_numbers:
            return None
        return self.parsed.get_revoked_certificate_by_serial_number(serial_number)


def read(encoded: bytes) -> RevocationList:
    """A DER list; Unusable whatever is wrong with it."""
    try:
        return _read(encoded)
    except Unusable:
        raise
    except Exception as error:  # noqa: BLE001 (the parser raises errors of many kinds)
        raise Unusable(f"it does not parse: {reported(error, MAX_PEER_TEXT)}") from None


def _read(encoded: bytes) -> RevocationList:
    parsed = x509.load_der_x509_crl(encoded)
    extensions = parsed.extensions
    for obstacle in _obstacles(parsed, extensions):
        raise Unusable(obstacle)
    next_update = parsed.next_update_utc
    if next_update is None:
        raise Unusable("it has no nextUpdate, so nobody can tell whether it is out of date")
    number = _value(extensions, x509.CRLNumber)
    identifier = _value(extensions, x509.AuthorityKeyIdentifier)
    return RevocationList(
        issuer=parsed.issuer.public_bytes(),
        this_update=parsed.last_update_utc,
        next_update=next_update,
        number=-1 if number is None else number.crl_number,
        key_identifier=None if identifier is None else identifier.key_identifier,
        scope=_value(extensions, x509.IssuingDistributionPoint),
        serial_numbers=_serial_numbers(parsed),
        parsed=parsed,
    )


def _obstacles(parsed: x509.CertificateRevocationList, extensions: x509.Extensions) -> Iterator[str]:
    if hash_name := weak_hash(parsed):
        yield f"it is signed with {hash_name}, which is broken"
    if _value(extensions, x509.DeltaCRLIndicator) is not None:
        yield "it is a delta CRL, which handfast does not implement: give the complete list alone"
    scope = _value(extensions, x509.IssuingDistributionPoint)
    if scope is not None:
        if scope.indirect_crl:
            yield "it is an indirect CRL, which handfast does not implement: give a list that the CA itself signs"
        if scope.only_some_reasons is not None:
            yield "it is for some reasons of revocation only, and so cannot show that a certificate is good"
        if scope.only_contains_attribute_certs:
            yield "it is about attribute certificates"
        if scope.relative_name is not None:
            yield "it names its distribution point relative to its issuer, which handfast does not implement"
    if unknown := _unknown_critical(extensions, _PROCESSED):
        yield f"it has the critical extension {unknown}, which handfast does not process"


def _serial_numbers(parsed: x509.CertificateRevocationList) -> frozenset[int]:
    """Those of all entries, each of which is looked at."""
    found = set()
    for entry in parsed:
        if unknown := _unknown_critical(entry.extensions, _PROCESSED_IN_ENTRIES):
            kind = "certificateIssuer" if unknown == CRLEntryExtensionOID.CERTIFICATE_ISSUER.dotted_string else unknown
            serial = f"{entry.serial_number:x}"
            raise Unusable(f"its entry {serial} has the critical extension {kind}, which handfast does not process")
        found.add(entry.serial_number)
    return frozenset(found)


def _unknown_critical(extensions: x509.Extensions, known: frozenset[x509.ObjectIdentifier]) -> str:
    return next((one.oid.dotted_string for one in extensions if one.critical and one.oid not in known), "")


def _distribution_points(certificate: Parsed) -> set[x509.GeneralName]:
    """Where the certificate says that its issuer's lists for all reasons are published."""
    points = certificate.extension(x509.CRLDistributionPoints) or ()
    own = (point for point in points if point.crl_issuer is None and point.reasons is None)
    return {name for point in own for name in point.full_name or ()}


def _value(extensions: x509.Extensions, kind: type[_Extension]) -> _Extension | None:
    return next((one.value for one in extensions if isinstance(one.value, kind)), None)
