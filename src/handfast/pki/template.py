"""One certificate as plain data, and the one place that turns it into DER (RFC 5280 4.1 and 4.2).

A healthy certificate and a deliberately broken one come from the same template; the broken one has one field replaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from handfast.crypto import new_keys

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handfast.crypto.signatures import PrivateKey

SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH
OCSP_SIGNING = ExtendedKeyUsageOID.OCSP_SIGNING

# RFC 5280 Appendix A.1, ub-common-name and ub-organization-name.
_MAX_NAME_ATTRIBUTE = 64

_KEY_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Template:
    """What a certificate shall say. The public key comes from ``key``; the issuer is given when it is signed."""

    subject: x509.Name
    key: PrivateKey
    not_before: datetime
    not_after: datetime
    key_usage: frozenset[str]
    is_ca: bool = False
    path_length: int | None = None
    extended_key_usage: tuple[x509.ObjectIdentifier, ...] = ()
    names: tuple[x509.GeneralName, ...] = ()
    permitted_dns: tuple[str, ...] = ()
    authority_key_identifier: bool = True
    must_staple: bool = False
    ocsp_no_check: bool = False


def subject_name(organization: str, common_name: str) -> x509.Name:
    """O and CN. A CN that is too long is left out: none may need it, as the names are in subjectAltName."""
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)]
    if 0 < len(common_name) <= _MAX_NAME_ATTRIBUTE:
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    return x509.Name(attributes)


def sign(template: Template, issuer: x509.Name, issuer_key: PrivateKey) -> x509.Certificate:
    """The certificate that the template describes, signed by the issuer's key, with a random serial number."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(template.subject)
        .issuer_name(issuer)
        .public_key(template.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(whole_seconds(template.not_before))
        .not_valid_after(whole_seconds(template.not_after))
    )
    for extension, critical in _extensions(template, issuer_key):
        builder = builder.add_extension(extension, critical)
    return builder.sign(issuer_key, new_keys.signature_hash(issuer_key))


def _extensions(template: Template, issuer_key: PrivateKey) -> Iterable[tuple[x509.ExtensionType, bool]]:
    """The extensions with their criticality, as RFC 5280 4.2.1 wants both."""
    yield x509.BasicConstraints(template.is_ca, template.path_length), True
    yield key_usage(template.key_usage), True
    if template.extended_key_usage:
        yield x509.ExtendedKeyUsage(template.extended_key_usage), False
    if template.names:
        yield x509.SubjectAlternativeName(template.names), False
    if template.permitted_dns:
        permitted = [x509.DNSName(name) for name in template.permitted_dns]
        yield x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=None), True
    if template.must_staple:
        yield x509.TLSFeature([x509.TLSFeatureType.status_request]), False
    if template.ocsp_no_check:
        yield x509.OCSPNoCheck(), False
    yield x509.SubjectKeyIdentifier.from_public_key(template.key.public_key()), False
    if template.authority_key_identifier:
        yield x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False


def key_usage(wanted: frozenset[str]) -> x509.KeyUsage:
    """The KeyUsage extension with the named bits set."""
    return x509.KeyUsage(**{name: name in wanted for name in _KEY_USAGES})


def whole_seconds(moment: datetime) -> datetime:
    """The moment in UTC as a certificate can say it: without fractions of a second."""
    return moment.astimezone(UTC).replace(microsecond=0)
