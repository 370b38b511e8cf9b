"""A certificate read whole: everything that judging needs, taken out of the lazy X.509 parser in one guarded place.

The parser's attributes raise when they are first looked at, with errors of several kinds. Here each is looked at once,
and whatever goes wrong becomes ``Malformed``, so that no later step can meet a surprise in the middle of a judgement.

A certificate of usual size that was read lately is not read again: it is the same whenever and from wherever it comes,
and nothing here depends on the time or on what is trusted. Judging is done anew each time.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from functools import cached_property, lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, TypeVar, cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import PublicKeyAlgorithmOID, SignatureAlgorithmOID

from handfast import der
from handfast.crypto import signatures
from handfast.crypto.library import is_panic
from handfast.limits import MAX_PEER_TEXT
from handfast.text import escape, reported
from handfast.x509.distinguished_names import common_names, organizational_units, rfc4514
from handfast.x509.names import CertificateNames

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from cryptography.x509 import ObjectIdentifier

_RSA = (PublicKeyAlgorithmOID.RSAES_PKCS1_v1_5, PublicKeyAlgorithmOID.RSASSA_PSS)
EDWARDS_SIGNATURES = frozenset((SignatureAlgorithmOID.ED25519, SignatureAlgorithmOID.ED448))
# RSA and ECDSA: how the identifiers of their signatures begin, and those of their keys. Edwards' are the same for both.
_KINDS_OF_KEYS = (("1.2.840.113549.1.1.", "1.2.840.113549.1.1."), ("1.2.840.10045.4.", "1.2.840.10045.2."))
_WEAK_HASHES = {"md5": "MD5", "sha1": "SHA-1"}

_OURS = r"handfast\."
_HUSHED = ("ignore", None, CryptographyDeprecationWarning, re.compile(_OURS), 0)

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


class Malformed(ValueError):
    """A certificate that does not parse; the message says what."""


# Not frozen, because that would triple the cost of making one.
@dataclass
class Parsed:
    """One certificate. Names are DER; ``rsa`` is the modulus' size in bits and the exponent, None for other keys.

    ``edwards`` says that it is signed with Ed25519 or Ed448. ``values`` are the extensions by the class of their value,
    ``critical`` the identifiers of the critical ones.
    """

    encoded: bytes
    certificate: x509.Certificate
    subject: bytes
    issuer: bytes
    public_key_info: bytes
    rsa: tuple[int, int] | None
    signature_algorithm: ObjectIdentifier
    edwards: bool
    weak_hash: str
    not_before: datetime
    not_after: datetime
    values: dict[type[x509.ExtensionType], x509.ExtensionType]
    critical: tuple[ObjectIdentifier, ...]
    names: CertificateNames
    is_v3: bool

    @property
    def self_issued(self) -> bool:
        return self.subject == self.issuer

    @cached_property
    def self_signed(self) -> bool:
        """Whether it says that it signed itself, and so is a root: by names, authorityKeyIdentifier and kind of key.

        A CA's new key under its old one (key rollover, RFC 4210 4.4) is self-issued and is none. As in OpenSSL the
        signature itself is not looked at: of a certificate that is trusted it proves nothing.
        """
        signed = self.signature_algorithm.dotted_string
        key = self.certificate.public_key_algorithm_oid.dotted_string
        fits = signed == key or any(signed.startswith(by) and key.startswith(of) for by, of in _KINDS_OF_KEYS)
        return self.self_issued and fits and not names_another_issuer(self, self)

    @cached_property
    def subject_text(self) -> str:
        return escape(rfc4514(self.subject), MAX_PEER_TEXT) or "a certificate without a subject"

    @cached_property
    def issuer_text(self) -> str:
        return escape(rfc4514(self.issuer), MAX_PEER_TEXT) or "an issuer without a name"

    def extension(self, kind: type[_Extension]) -> _Extension | None:
        """The extension of this class, which comes at most once: the parser refuses a second one."""
        return cast("_Extension | None", self.values.get(kind))

    @property
    def is_ca(self) -> bool:
        constraints = self.extension(x509.BasicConstraints)
        return constraints is not None and constraints.ca


def names_another_issuer(certificate: Parsed, issuer: Parsed) -> str:
    """What authorityKeyIdentifier says of the issuer and this one is not; "" where it fits. RFC 5280 4.2.1.1."""
    named = certificate.extension(x509.AuthorityKeyIdentifier)
    if named is None:
        return ""
    own = issuer.extension(x509.SubjectKeyIdentifier)
    if named.key_identifier is not None and own is not None and named.key_identifier != own.digest:
        return "another key"
    if named.authority_cert_serial_number not in (None, issuer.certificate.serial_number):
        return "another serial number"
    above = [name for name in named.authority_cert_issuer or () if isinstance(name, x509.DirectoryName)]
    return "another issuer" if above and above[0].value.public_bytes() != issuer.issuer else ""


def hush_parser() -> None:
    """What the parser reads and finds odd, as the serial number 0 of some roots, is no news for the program.

    It warns, and some programs turn warnings into exceptions. What it reads is used, and ``rules`` says what is wrong
    with it. A filter for our own modules does it, and not ``catch_warnings``, which threads must not use at once.
    """
    if warnings.filters[:1] != [_HUSHED]:
        warnings.filterwarnings("ignore", category=CryptographyDeprecationWarning, module=_OURS)


def parse_all(chain: Iterable[bytes]) -> list[Parsed | Malformed]:
    """Each certificate, or what is wrong with it."""
    return [_parse_or_malformed(certificate) for certificate in chain]


def parse(certificate: bytes, loaded: x509.Certificate | None = None) -> Parsed:
    """One DER certificate, as an object too if it is ``loaded`` already; Malformed whatever is wrong with it."""
    hush_parser()
    try:
        if loaded is not None:
            return _parse(certificate, loaded)
        return _parse_anew(certificate) if len(certificate) > _MAX_KEPT else _parse_or_remember(certificate)
    except Malformed:
        raise
    except Exception as error:  # noqa: BLE001 (the parser raises errors of many kinds)
        raise Malformed(f"it does not parse: {reported(error, MAX_PEER_TEXT)}") from None
    except BaseException as error:
        # A panic of the parser is no Exception; it must not pass for anything but a refusal.
        if not is_panic(error):
            raise
        raise Malformed("the parser gave up on it") from None


def _parse_or_malformed(certificate: bytes) -> Parsed | Malformed:
    try:
        return parse(certificate)
    except Malformed as error:
        return error


def _parse_anew(encoded: bytes) -> Parsed:
    return _parse(encoded, x509.load_der_x509_certificate(encoded))


# Few, and none that is large, because strangers choose what is kept; enough for the peers that one speaks to all day.
_MAX_KEPT = 4096
_parse_or_remember = lru_cache(maxsize=32)(_parse_anew)


def _parse(encoded: bytes, certificate: x509.Certificate) -> Parsed:
    fields = der.certificate_fields(encoded)
    values: dict[type[x509.ExtensionType], x509.ExtensionType] = {}
    critical = []
    for extension in certificate.extensions:
        values[type(extension.value)] = extension.value
        if extension.critical:
            critical.append(extension.oid)
    names = values.get(x509.SubjectAlternativeName, ())
    algorithm = certificate.public_key_algorithm_oid
    return Parsed(
        encoded=encoded,
        certificate=certificate,
        subject=fields.subject,
        issuer=fields.issuer,
        public_key_info=fields.subject_public_key_info,
        rsa=signatures.rsa_numbers(fields.subject_public_key_info) if algorithm in _RSA else None,
        signature_algorithm=certificate.signature_algorithm_oid,
        edwards=certificate.signature_algorithm_oid in EDWARDS_SIGNATURES,
        weak_hash=weak_hash(certificate),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        values=values,
        critical=tuple(critical),
        names=_names(
            cast("Iterable[x509.GeneralName]", names),
            common_names(fields.subject),
            organizational_units(fields.subject),
        ),
        is_v3=certificate.version is x509.Version.v3,
    )


def certificate_names(extensions: x509.Extensions) -> CertificateNames:
    """The subjectAltName entries of the kinds we know; raises what the parser raises."""
    try:
        entries = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return CertificateNames()
    return _names(entries, (), ())


def _names(
    entries: Iterable[x509.GeneralName], common_names: tuple[str, ...], units: tuple[str, ...]
) -> CertificateNames:
    by_kind: dict[type[x509.GeneralName], list[Any]] = {}
    for entry in entries:
        by_kind.setdefault(type(entry), []).append(entry.value)
    addresses = by_kind.get(x509.IPAddress, ())
    return CertificateNames(
        dns=tuple(by_kind.get(x509.DNSName, ())),
        # The parser can return networks, which belong into name constraints and are no host's address.
        ip=tuple([address for address in addresses if isinstance(address, (IPv4Address, IPv6Address))]),
        uri=tuple(by_kind.get(x509.UniformResourceIdentifier, ())),
        email=tuple(by_kind.get(x509.RFC822Name, ())),
        common_names=common_names,
        organizational_units=units,
    )


def weak_hash(signed: x509.Certificate | x509.CertificateRevocationList) -> str:
    """The name of the broken hash that the signature rests on, or ""."""
    try:
        used = signed.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return ""
    return "" if used is None else _WEAK_HASHES.get(used.name, "")
