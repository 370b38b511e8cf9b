"""One certificate as plain data, and the one place that turns it into DER (RFC 5280 4.1 and 4.2).

A healthy certificate and a deliberately broken one come from the same template; the broken one has one field replaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from handfast.crypto import new_keys
from handfast.errors import ApiMisuse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

    from handfast.crypto.signatures import PrivateKey

LEAF_USAGE = frozenset({"digital_signature"})
# The peer's clock may be behind ours; ACME issuers backdate by the same hour.
BACKDATE = timedelta(hours=1)

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
    """What a certificate shall say; the issuer is given when it is signed.

    The public key is that of ``key``, or ``public_key`` where the key itself is elsewhere, as for a request.
    """

    subject: x509.Name
    key: PrivateKey | None = None
    public_key: CertificatePublicKeyTypes | None = None
    not_before: datetime
    not_after: datetime
    key_usage: frozenset[str]
    is_ca: bool = False
    path_length: int | None = None
    extended_key_usage: tuple[x509.ObjectIdentifier, ...] = ()
    names: tuple[x509.GeneralName, ...] = ()
    name_constraints: x509.NameConstraints | None = None
    authority_key_identifier: bool = True
    must_staple: bool = False
    ocsp_no_check: bool = False

    @property
    def private_key(self) -> PrivateKey:
        """``key``; ApiMisuse where it is elsewhere."""
        if self.key is None:
            raise ApiMisuse("bad_argument", reason="this template has a public key only")
        return self.key

    @property
    def certified_key(self) -> CertificatePublicKeyTypes:
        """The public key that the certificate is for."""
        return self.private_key.public_key() if self.public_key is None else self.public_key


def subject_name(organization: str, common_name: str) -> x509.Name:
    """O, unless it is empty, and CN. A CN that is too long is left out: the names are in subjectAltName."""
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)] if organization else []
    if 0 < len(common_name) <= _MAX_NAME_ATTRIBUTE:
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    return x509.Name(attributes)


def sign(template: Template, issuer: x509.Name, issuer_key: PrivateKey) -> x509.Certificate:
    """The certificate that the template describes, signed by the issuer's key, with a random serial number."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(template.subject)
        .issuer_name(issuer)
        .public_key(template.certified_key)
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
    if template.name_constraints is not None:
        yield template.name_constraints, True
    if template.must_staple:
        yield x509.TLSFeature([x509.TLSFeatureType.status_request]), False
    if template.ocsp_no_check:
        yield x509.OCSPNoCheck(), False
    yield x509.SubjectKeyIdentifier.from_public_key(template.certified_key), False
    if template.authority_key_identifier:
        yield x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False


def key_usage(wanted: frozenset[str]) -> x509.KeyUsage:
    """The KeyUsage extension with the named bits set."""
    return x509.KeyUsage(**{name: name in wanted for name in _KEY_USAGES})


def whole_seconds(moment: datetime) -> datetime:
    """The moment in UTC as a certificate can say it: without fractions of a second."""
    return moment.astimezone(UTC).replace(microsecond=0)
