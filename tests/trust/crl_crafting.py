"""Revocation lists with whatever is wanted in them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding
from cryptography.hazmat.primitives.serialization import Encoding

from handfast import der

from .crafting import DAY, NOW, Extension, Made, sequence, with_sha1_instead

UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")


def entry(certificate: Made, *extensions: Extension, on: datetime = NOW - 2 * DAY) -> x509.RevokedCertificate:
    """An entry for a certificate, revoked two days ago."""
    builder = x509.RevokedCertificateBuilder().serial_number(certificate.certificate.serial_number).revocation_date(on)
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    return builder.build()


def reason(flag: x509.ReasonFlags) -> Extension:
    return x509.CRLReason(flag), False


def scope(**parts: Any) -> Extension:
    """An issuingDistributionPoint that says nothing but ``parts``."""
    nothing: dict[str, Any] = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**(nothing | parts)), True


def crl(
    issuer: Made,
    *entries: x509.RevokedCertificate,
    extensions: tuple[Extension, ...] = (),
    this_update: datetime = NOW - DAY,
    next_update: datetime = NOW + DAY,
    identifier: bool = True,
    number: int | None = None,
    key: Any = None,
) -> bytes:
    """A list signed by the issuer, or by another key under its name."""
    key = key or issuer.key
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(this_update)
        .next_update(next_update)
    )
    if identifier:
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False)
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), False)
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    for revoked in entries:
        builder = builder.add_revoked_certificate(revoked)
    edwards = isinstance(key, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey))
    return builder.sign(key, None if edwards else hashes.SHA256()).public_bytes(Encoding.DER)


def without_next_update(issuer: Made) -> bytes:
    """A list of a P-256 issuer, signed again without the field: the builder refuses to leave it out."""
    parsed = x509.load_der_x509_crl(crl(issuer))
    fields = list(der.elements(der.element(parsed.tbs_certlist_bytes).content))
    _, next_update = (field for field in fields if field.tag == 0x17)
    signed = sequence(*(field.encoded for field in fields if field is not next_update))
    signature = b"\0" + issuer.key.sign(signed, ec.ECDSA(hashes.SHA256()))
    return sequence(signed, fields[1].encoded, b"\x03" + bytes([len(signature)]) + signature)


def signed_with_sha1(issuer: Made) -> bytes:
    """A list of an RSA issuer, signed again with a hash that the builder refuses."""
    encoded = crl(issuer)
    parsed = x509.load_der_x509_crl(encoded)
    signed = with_sha1_instead(parsed.tbs_certlist_bytes)
    signature = issuer.key.sign(signed, padding.PKCS1v15(), hashes.SHA1())
    return with_sha1_instead(encoded).replace(parsed.signature, signature)
