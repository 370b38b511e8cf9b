"""What a CA says of certificates that it issued: revocation lists (RFC 5280 5) and OCSP responses (RFC 6960)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from handfast.crypto import new_keys
from handfast.pki.issued import CertificateChain, Issued
from handfast.pki.template import BACKDATE, whole_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handfast.crypto.signatures import PrivateKey

OcspStatus: TypeAlias = Literal["good", "revoked", "unknown"]
Revocable: TypeAlias = CertificateChain | x509.Certificate | int

# A list that is not renewed soon stops all clients, so it lives a little longer than a holiday.
CRL_DAYS = 30
# What large CAs made usual.
OCSP_DAYS = 7


def sign_crl(
    issuer: x509.Name,
    key: PrivateKey,
    revoked: Iterable[Revocable],
    *,
    previous: x509.CertificateRevocationList | None,
    last_update: datetime,
    next_update: datetime,
    now: datetime,
    reason: x509.ReasonFlags | None,
) -> x509.CertificateRevocationList:
    """A list with the entries of the ``previous`` one and those that are ``revoked`` now, with a greater number."""
    last_update = whole_seconds(last_update)
    entries = {entry.serial_number: entry for entry in previous or ()}
    for item in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial_number(item)).revocation_date(last_update)
        # RFC 5280 5.3.1: "unspecified" is said by leaving the reason out.
        if reason is not None and reason is not x509.ReasonFlags.unspecified:
            entry = entry.add_extension(x509.CRLReason(reason), critical=False)
        entries.setdefault(serial_number(item), entry.build())
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer)
        .last_update(last_update)
        .next_update(whole_seconds(next_update))
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False)
        .add_extension(x509.CRLNumber(_next_number(previous, now)), False)
    )
    for revocation in entries.values():
        builder = builder.add_revoked_certificate(revocation)
    return builder.sign(key, new_keys.signature_hash(key))


def _next_number(previous: x509.CertificateRevocationList | None, now: datetime) -> int:
    """RFC 5280 5.2.3 wants a number that only grows: the time does so without a memory, but clocks are set back."""
    number = int(now.timestamp())
    if previous is None:
        return number
    try:
        before = previous.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return number
    return max(number, before + 1)


def sign_ocsp_response(
    certificate: CertificateChain | x509.Certificate,
    issuer: x509.Certificate,
    key: PrivateKey,
    status: OcspStatus,
    *,
    this_update: datetime | None,
    next_update: datetime | None,
    days: float,
    now: datetime | None,
    reason: x509.ReasonFlags | None,
    revocation_time: datetime | None,
    responder: Issued | None,
) -> bytes:
    """The DER of `CertificateAuthority.ocsp_response`, which says what its arguments are."""
    from cryptography.x509 import ocsp

    now = now or datetime.now(UTC)
    this_update = whole_seconds(this_update or now - BACKDATE)
    signer = issuer if responder is None else responder.certificate
    key = key if responder is None else responder.key
    revoked = status == "revoked"
    builder = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            cert=certificate.certificate if isinstance(certificate, CertificateChain) else certificate,
            issuer=issuer,
            # It only names the issuer; RFC 5019 2.1.1 wants this one.
            algorithm=hashes.SHA1(),
            cert_status=ocsp.OCSPCertStatus[status.upper()],
            this_update=this_update,
            next_update=whole_seconds(next_update or now + timedelta(days=days)),
            revocation_time=whole_seconds(revocation_time or this_update) if revoked else None,
            revocation_reason=reason if revoked else None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, signer)
    )
    if responder is not None:
        builder = builder.certificates([signer])
    return builder.sign(key, new_keys.signature_hash(key)).public_bytes(new_keys.DER)


def serial_number(item: Revocable) -> int:
    """The serial number of what is named by its certificate or by the number itself."""
    if isinstance(item, int):
        return item
    return item.certificate.serial_number if isinstance(item, CertificateChain) else item.serial_number
