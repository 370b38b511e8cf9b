"""A certificate as ``SSLSocket.getpeercert`` and ``SSLContext.get_ca_certs`` show it, to the letter."""

from __future__ import annotations

import warnings
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from cryptography import x509

Decoded = dict[str, Any]

# OpenSSL's names of the attributes that certificates have, where cryptography has another or none.
_ATTRIBUTES = {
    "2.5.4.3": "commonName",
    "2.5.4.4": "surname",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "countryName",
    "2.5.4.7": "localityName",
    "2.5.4.8": "stateOrProvinceName",
    "2.5.4.9": "streetAddress",
    "2.5.4.10": "organizationName",
    "2.5.4.11": "organizationalUnitName",
    "2.5.4.12": "title",
    "2.5.4.13": "description",
    "2.5.4.15": "businessCategory",
    "2.5.4.17": "postalCode",
    "2.5.4.41": "name",
    "2.5.4.42": "givenName",
    "2.5.4.43": "initials",
    "2.5.4.44": "generationQualifier",
    "2.5.4.45": "x500UniqueIdentifier",
    "2.5.4.46": "dnQualifier",
    "2.5.4.65": "pseudonym",
    "2.5.4.97": "organizationIdentifier",
    "0.9.2342.19200300.100.1.1": "userId",
    "0.9.2342.19200300.100.1.25": "domainComponent",
    "1.2.840.113549.1.9.1": "emailAddress",
    "1.2.840.113549.1.9.2": "unstructuredName",
    "1.3.6.1.4.1.311.60.2.1.1": "jurisdictionLocalityName",
    "1.3.6.1.4.1.311.60.2.1.2": "jurisdictionStateOrProvinceName",
    "1.3.6.1.4.1.311.60.2.1.3": "jurisdictionCountryName",
}
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
ENCODING_PEM, ENCODING_DER = 1, 2


class Certificate:
    """What the chains of a connection consist of, with what programs use of the C module's certificates."""

    def __init__(self, encoded: bytes) -> None:
        self._encoded = encoded

    def __repr__(self) -> str:
        from handfast.x509.describe import describe_subject

        return f"<handfast.Certificate {describe_subject(self._encoded)!r}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Certificate) and other._encoded == self._encoded

    def __hash__(self) -> int:
        return hash(self._encoded)

    def get_info(self) -> Decoded:
        """As ``getpeercert`` has it."""
        return decoded(self._encoded)

    def public_bytes(self, format: int = ENCODING_PEM) -> bytes | str:
        """The certificate, as PEM text or as DER bytes."""
        if format == ENCODING_DER:
            return self._encoded
        if format != ENCODING_PEM:
            raise ValueError("Unsupported format")
        import ssl

        return ssl.DER_cert_to_PEM_cert(self._encoded)


def decoded(encoded: bytes) -> Decoded:
    """The certificate as a new dictionary; ValueError for one that does not parse."""
    return dict(_decoded(encoded) if len(encoded) > _MAX_KEPT else _decoded_or_remembered(encoded))


def _decoded(encoded: bytes) -> Decoded:
    from cryptography import x509

    with warnings.catch_warnings():
        # Of serial numbers and names that a later release will refuse.
        warnings.simplefilter("ignore")
        certificate = x509.load_der_x509_certificate(encoded)
        found: Decoded = {
            "subject": _name(certificate.subject),
            "issuer": _name(certificate.issuer),
            "version": certificate.version.value + 1,
            "serialNumber": _serial_number(certificate.serial_number),
            "notBefore": _time(certificate.not_valid_before_utc),
            "notAfter": _time(certificate.not_valid_after_utc),
        }
        with suppress(ValueError):
            found.update(_extensions(certificate.extensions))
    return found


# Few, and none that is large, because peers choose what is kept.
_MAX_KEPT = 4096
_decoded_or_remembered = lru_cache(maxsize=64)(_decoded)


def _extensions(extensions: x509.Extensions) -> Iterable[tuple[str, tuple[Any, ...]]]:
    from cryptography import x509
    from cryptography.x509.oid import AuthorityInformationAccessOID as Access

    found: list[tuple[str, tuple[Any, ...]]] = []
    for extension in extensions:
        value = extension.value
        if isinstance(value, x509.SubjectAlternativeName):
            found.append(("subjectAltName", tuple(map(_general_name, value))))
        elif isinstance(value, x509.AuthorityInformationAccess):
            for key, method in (("OCSP", Access.OCSP), ("caIssuers", Access.CA_ISSUERS)):
                found.append((key, _uris(one.access_location for one in value if one.access_method == method)))
        elif isinstance(value, x509.CRLDistributionPoints):
            found.append(("crlDistributionPoints", _uris(name for point in value for name in point.full_name or ())))
    order = ("subjectAltName", "OCSP", "caIssuers", "crlDistributionPoints")
    return sorted(((key, value) for key, value in found if value), key=lambda pair: order.index(pair[0]))


def _uris(names: Iterable[x509.GeneralName]) -> tuple[str, ...]:
    from cryptography import x509

    return tuple(name.value for name in names if isinstance(name, x509.UniformResourceIdentifier))


def _name(name: x509.Name) -> tuple[tuple[tuple[str, str], ...], ...]:
    return tuple(tuple((_attribute(one), _text(one.value)) for one in rdn) for rdn in name.rdns)


def _attribute(attribute: x509.NameAttribute[Any]) -> str:
    return _ATTRIBUTES.get(attribute.oid.dotted_string, attribute.oid.dotted_string)


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _general_name(name: x509.GeneralName) -> tuple[str, Any]:
    from cryptography import x509

    if isinstance(name, x509.DNSName):
        return "DNS", name.value
    if isinstance(name, x509.UniformResourceIdentifier):
        return "URI", name.value
    if isinstance(name, x509.RFC822Name):
        return "email", name.value
    if isinstance(name, x509.DirectoryName):
        return "DirName", _name(name.value)
    if isinstance(name, x509.RegisteredID):
        return "Registered ID", name.value.dotted_string
    if isinstance(name, x509.IPAddress):
        return "IP Address", _address(name.value)
    return "othername", "<unsupported>"


def _address(value: Any) -> str:
    if isinstance(value, IPv4Address):
        return str(value)
    packed = getattr(value, "packed", b"")
    if len(packed) != 16:
        return "<invalid>"
    return ":".join(f"{int.from_bytes(packed[at : at + 2], 'big'):X}" for at in range(0, 16, 2))


def _serial_number(number: int) -> str:
    digits = f"{abs(number):X}"
    return ("-" if number < 0 else "") + digits.zfill(len(digits) + len(digits) % 2)


def _time(when: datetime) -> str:
    return f"{_MONTHS[when.month - 1]} {when.day:2d} {when:%H:%M:%S} {when.year} GMT"
