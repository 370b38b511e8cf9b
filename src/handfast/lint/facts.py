"""What a certificate, request, key or revocation list says, as data and as lines. All text in it is escaped."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, TypeAlias

from cryptography import x509

from handfast.crypto.signatures import UnusableKey, load_public_key
from handfast.lint.contents import Item, Kind
from handfast.text import counted, escape, listed
from handfast.trust.pins import pin_of
from handfast.x509.certificates import Malformed, certificate_names, parse
from handfast.x509.describe import CertificateDescription, describe
from handfast.x509.distinguished_names import rfc4514

if TYPE_CHECKING:
    from datetime import datetime

_MOST_SERIALS = 20
_TIME = "%Y-%m-%d %H:%M:%S UTC"

Lines: TypeAlias = list[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts:
    """A certificate: what ``describe`` says, and the rest.

    Attributes:
        days_left: whole days until it expires, negative afterwards; None where the date cannot be read.
        path_length: how many CAs may stand below it; None for any number, and for what is no CA.
        subject_key_identifier, authority_key_identifier: hexadecimal, "" if there is none.
        pin: of the key, as ``Pinned`` takes it; "" where the key cannot be found.
    """

    description: CertificateDescription
    days_left: int | None
    path_length: int | None
    subject_key_identifier: str
    authority_key_identifier: str
    pin: str

    def lines(self) -> Lines:
        """Labels and texts."""
        said = self.description
        authority = "" if not said.is_ca else "yes"
        if said.is_ca and self.path_length is not None:
            authority = f"yes, with at most {counted(self.path_length, 'CA')} below it"
        return [
            ("subject", said.subject or "empty"),
            ("issuer", said.issuer or "empty"),
            ("serial", said.serial_number),
            ("names", listed(said.names)),
            ("valid", f"{said.not_before} to {said.not_after}{_remaining(self.days_left)}"),
            ("key", said.key),
            ("signed with", said.signature_algorithm),
            ("CA", authority),
            ("key usage", ", ".join(said.key_usage)),
            ("purposes", ", ".join(said.extended_key_usage)),
            ("key id", self.subject_key_identifier),
            ("issuer's key", self.authority_key_identifier),
            ("SHA-256", said.sha256),
            ("pin", self.pin),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFacts:
    """A certificate request (PKCS#10); ``signed`` says whether its own signature verifies."""

    subject: str
    names: tuple[str, ...]
    key: str
    pin: str
    signed: bool

    def lines(self) -> Lines:
        """Labels and texts."""
        signed = "with its own key" if self.signed else "not with its own key"
        names = listed(self.names)
        return [
            ("subject", self.subject or "empty"),
            ("names", names),
            ("key", self.key),
            ("signed", signed),
            ("pin", self.pin),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """A key, of which only the public half is known here."""

    key: str
    pin: str

    def lines(self) -> Lines:
        """Labels and texts."""
        return [("key", self.key), ("pin", self.pin)]


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationListFacts:
    """A revocation list; ``days_left`` until nextUpdate, None where it has none. ``number`` is cRLNumber."""

    issuer: str
    this_update: str
    next_update: str
    days_left: int | None
    number: int | None
    signature_algorithm: str
    serial_numbers: tuple[str, ...]
    sha256: str

    def lines(self) -> Lines:
        """Labels and texts."""
        revoked = listed(self.serial_numbers, _MOST_SERIALS) or "nothing"
        return [
            ("issuer", self.issuer or "empty"),
            ("number", "" if self.number is None else str(self.number)),
            ("valid", f"{self.this_update} to {self.next_update or 'an unknown time'}{_remaining(self.days_left)}"),
            ("signed with", self.signature_algorithm),
            ("revoked", f"{counted(len(self.serial_numbers), 'certificate')}: {revoked}"),
            ("SHA-256", self.sha256),
        ]


Facts: TypeAlias = CertificateFacts | RequestFacts | KeyFacts | RevocationListFacts


def facts_of(item: Item, at: datetime) -> Facts:
    """What an item says, at a time."""
    match item.kind:
        case Kind.CERTIFICATE:
            return _certificate(item.encoded, at)
        case Kind.REQUEST:
            return _request(item.encoded)
        case Kind.REVOCATION_LIST:
            return _revocation_list(item.encoded, at)
        case _:
            return KeyFacts(key=key_name(item.encoded), pin=pin_of(item.encoded))


def public_key_of(item: Item) -> bytes:
    """The SubjectPublicKeyInfo (DER) that a thing holds or is; b"" where there is none."""
    match item.kind:
        case Kind.CERTIFICATE:
            try:
                return parse(item.encoded).public_key_info
            except Malformed:
                return b""
        case Kind.REQUEST:
            return _request_key(x509.load_der_x509_csr(item.encoded))
        case Kind.REVOCATION_LIST:
            return b""
        case _:
            return item.encoded


def key_name(public_key_info: bytes) -> str:
    """ "RSA 2048", or what is wrong with the key."""
    try:
        return escape(load_public_key(public_key_info).name)
    except UnusableKey as error:
        return escape(str(error))


def _remaining(days_left: int | None) -> str:
    if days_left is None:
        return ""
    return f" ({counted(days_left, 'day')} left)" if days_left >= 0 else f" ({counted(-days_left, 'day')} ago)"


def _certificate(encoded: bytes, at: datetime) -> CertificateFacts:
    said = describe(encoded)
    try:
        parsed = parse(encoded)
    except Malformed:
        return CertificateFacts(
            description=said, days_left=None, path_length=None, subject_key_identifier="",
            authority_key_identifier="", pin="",
        )  # fmt: skip
    constraints = parsed.extension(x509.BasicConstraints)
    own, above = parsed.extension(x509.SubjectKeyIdentifier), parsed.extension(x509.AuthorityKeyIdentifier)
    return CertificateFacts(
        description=said,
        days_left=(parsed.not_after - at).days,
        path_length=None if constraints is None else constraints.path_length,
        subject_key_identifier="" if own is None else own.digest.hex(),
        authority_key_identifier="" if above is None or above.key_identifier is None else above.key_identifier.hex(),
        pin=pin_of(parsed.public_key_info),
    )


def _request(encoded: bytes) -> RequestFacts:
    request = x509.load_der_x509_csr(encoded)
    key = _request_key(request)
    return RequestFacts(
        subject=rfc4514(request.subject.public_bytes()),
        names=_request_names(request),
        key=key_name(key),
        pin=pin_of(key),
        signed=_is_signed(request),
    )


def _request_names(request: x509.CertificateSigningRequest) -> tuple[str, ...]:
    try:
        return certificate_names(request.extensions).labelled()
    except Exception:  # noqa: BLE001 (the parser raises errors of many kinds)
        return ("unreadable",)


def _request_key(request: x509.CertificateSigningRequest) -> bytes:
    """The key, cut out of the CertificationRequestInfo: RFC 2986 4.1."""
    from handfast import der

    return list(der.elements(der.element(request.tbs_certrequest_bytes).content))[2].encoded


def _is_signed(request: x509.CertificateSigningRequest) -> bool:
    try:
        return request.is_signature_valid
    except Exception:  # noqa: BLE001 (a key of an unknown kind)
        return False


def _revocation_list(encoded: bytes, at: datetime) -> RevocationListFacts:
    found = x509.load_der_x509_crl(encoded)
    until = found.next_update_utc
    try:
        number: int | None = found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except Exception:  # noqa: BLE001 (it has none, or the parser raises errors of many kinds)
        number = None
    oid = found.signature_algorithm_oid
    return RevocationListFacts(
        issuer=rfc4514(found.issuer.public_bytes()),
        this_update=found.last_update_utc.strftime(_TIME),
        next_update="" if until is None else until.strftime(_TIME),
        days_left=None if until is None else (until - at).days,
        number=number,
        signature_algorithm=oid._name if oid._name != "Unknown OID" else oid.dotted_string,
        serial_numbers=tuple(f"{entry.serial_number:x}" for entry in found),
        sha256=sha256(encoded).hexdigest(),
    )
