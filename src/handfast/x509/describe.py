"""A certificate in words, for people and for JSON. Nothing here raises: what cannot be read is called unreadable."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, TypeVar

from handfast import der
from handfast.crypto.library import is_panic
from handfast.limits import MAX_PEER_TEXT
from handfast.text import reported
from handfast.x509.distinguished_names import rfc4514

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.x509 import Certificate

__all__ = ["CertificateDescription", "describe", "describe_subject", "rfc4514"]

_Value = TypeVar("_Value")

_KEY_USAGES = {
    "digital_signature": "digitalSignature",
    "content_commitment": "contentCommitment",
    "key_encipherment": "keyEncipherment",
    "data_encipherment": "dataEncipherment",
    "key_agreement": "keyAgreement",
    "key_cert_sign": "keyCertSign",
    "crl_sign": "cRLSign",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateDescription:
    """What a certificate says, as text that is safe to print.

    Attributes:
        subject, issuer: RFC 4514.
        serial_number: hexadecimal.
        names: subjectAltName entries as "DNS:localhost", "IP:127.0.0.1", "URI:...", "email:...".
        not_before, not_after: "2026-11-21 03:07:00 UTC".
        key: "ECDSA P-256", "RSA 2048".
        signature_algorithm: the name of the object identifier, or its number.
        is_ca: whether basicConstraints says so; False when there is none or it cannot be read.
        key_usage, extended_key_usage: names as in RFC 5280; () when the extension is absent.
        sha256: fingerprint of the DER, hexadecimal.
    """

    subject: str
    issuer: str
    serial_number: str
    names: tuple[str, ...]
    not_before: str
    not_after: str
    key: str
    signature_algorithm: str
    is_ca: bool
    key_usage: tuple[str, ...]
    extended_key_usage: tuple[str, ...]
    sha256: str


def describe(certificate: bytes) -> CertificateDescription:
    """A DER certificate in words; never raises."""

    def one(get: Callable[[Certificate], str]) -> str:
        return _read(certificate, get, str)

    def several(get: Callable[[Certificate], tuple[str, ...]]) -> tuple[str, ...]:
        return _read(certificate, get, lambda reason: (reason,))

    return CertificateDescription(
        subject=describe_subject(certificate),
        issuer=one(lambda _: _name(certificate, "issuer")),
        serial_number=one(lambda parsed: f"{parsed.serial_number:x}"),
        names=several(_names),
        not_before=one(lambda parsed: f"{parsed.not_valid_before_utc:%Y-%m-%d %H:%M:%S} UTC"),
        not_after=one(lambda parsed: f"{parsed.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC"),
        key=one(lambda _: _key(certificate)),
        signature_algorithm=one(_signature_algorithm),
        is_ca=_read(certificate, _is_ca, lambda _: False),
        key_usage=several(_key_usage),
        extended_key_usage=several(_extended_key_usage),
        sha256=sha256(certificate).hexdigest(),
    )


def describe_subject(certificate: bytes) -> str:
    """The subject of a DER certificate, as ``describe`` tells it; never raises."""
    return _read(certificate, lambda _: _name(certificate, "subject"), str)


def _read(certificate: bytes, get: Callable[[Certificate], _Value], otherwise: Callable[[str], _Value]) -> _Value:
    """One attribute: the parser is lazy, and each can fail on its own, even by a panic that is no Exception."""
    from cryptography.x509 import load_der_x509_certificate

    from handfast.x509.certificates import hush_parser

    hush_parser()
    try:
        return get(load_der_x509_certificate(certificate))
    except Exception as error:  # noqa: BLE001 (the parser raises errors of many kinds)
        return otherwise(f"unreadable: {reported(error, MAX_PEER_TEXT)}")
    except BaseException as error:
        if not is_panic(error):
            raise
        return otherwise("unreadable: the parser gave up")


def _name(certificate: bytes, field: str) -> str:
    return rfc4514(getattr(der.certificate_fields(certificate), field))


def _key(certificate: bytes) -> str:
    from handfast.crypto.signatures import UnusableKey, certificate_public_key

    try:
        return certificate_public_key(certificate).name
    except UnusableKey as error:
        if error.code != "weak_key":
            raise
        return str(error)


def _names(certificate: Certificate) -> tuple[str, ...]:
    from handfast.x509.certificates import certificate_names

    return certificate_names(certificate.extensions).labelled()


def _signature_algorithm(certificate: Certificate) -> str:
    oid = certificate.signature_algorithm_oid
    return oid._name if oid._name != "Unknown OID" else oid.dotted_string


def _is_ca(certificate: Certificate) -> bool:
    from cryptography.x509 import BasicConstraints, ExtensionNotFound

    try:
        return certificate.extensions.get_extension_for_class(BasicConstraints).value.ca
    except ExtensionNotFound:
        return False


def _key_usage(certificate: Certificate) -> tuple[str, ...]:
    from cryptography.x509 import ExtensionNotFound, KeyUsage

    try:
        usage = certificate.extensions.get_extension_for_class(KeyUsage).value
    except ExtensionNotFound:
        return ()
    return tuple(name for attribute, name in _KEY_USAGES.items() if getattr(usage, attribute))


def _extended_key_usage(certificate: Certificate) -> tuple[str, ...]:
    from cryptography.x509 import ExtendedKeyUsage, ExtensionNotFound

    from handfast.x509.usage import purpose_names

    try:
        return purpose_names(certificate.extensions.get_extension_for_class(ExtendedKeyUsage).value)
    except ExtensionNotFound:
        return ()
