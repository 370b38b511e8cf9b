"""What is wrong with one certificate, looked at by itself."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from handfast.crypto.signatures import UnusableKey, load_public_key
from handfast.limits import MIN_RSA_BITS
from handfast.text import escape, listed
from handfast.trust.path.rules import instant, span
from handfast.x509.purpose import Purpose
from handfast.x509.usage import leaf_purposes_allow, purpose_names, wanted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from handfast.x509.certificates import Parsed

# A code of ``RULES`` and what was found, as the rest of a sentence about the certificate.
Found = tuple[str, str]

_APPLE_DAYS = 825
_PUBLIC_DAYS = 398
# Those that all programs of ``REFUSERS`` process, or handfast alone of them does not (certificatePolicies).
_KNOWN = frozenset(
    (
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.NAME_CONSTRAINTS,
        ExtensionOID.CERTIFICATE_POLICIES,
        ExtensionOID.POLICY_CONSTRAINTS,
        ExtensionOID.POLICY_MAPPINGS,
        ExtensionOID.INHIBIT_ANY_POLICY,
    )
)
_KEY_IDENTIFIERS = {
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER: "authorityKeyIdentifier",
    ExtensionOID.SUBJECT_KEY_IDENTIFIER: "subjectKeyIdentifier",
}
_UNUSUAL_KEYS = {"Ed25519": "ed25519_key", "Ed448": "ed448_key", "ECDSA P-521": "p521_key"}
_USUAL_KEYS = ("RSA", "RSASSA-PSS", "ECDSA P-256", "ECDSA P-384")


class Case(NamedTuple):
    """The time to judge by, and the role that the leaves are for; without one, what each says that it is for.

    ``ca_is_leaf``: a CA's certificate is judged as a leaf, since there is no other for the role.
    """

    at: datetime
    purpose: Purpose | None = None
    ca_is_leaf: bool = False

    def is_leaf(self, certificate: Parsed) -> bool:
        """Whether a certificate is judged as a leaf."""
        return self.ca_is_leaf or not certificate.is_ca

    def is_server(self, certificate: Parsed) -> bool:
        """Whether a certificate is judged as a server's."""
        if not self.is_leaf(certificate):
            return False
        purposes = certificate.extension(x509.ExtendedKeyUsage)
        return self.purpose is Purpose.SERVER or (
            self.purpose is None and leaf_purposes_allow(purposes, Purpose.SERVER, any_purpose=True)
        )


def certificate_problems(certificate: Parsed, case: Case) -> Iterator[Found]:
    """Everything found, each with its rule's code."""
    yield from _dates(certificate, case)
    yield from key_problems(certificate.public_key_info)
    if certificate.weak_hash and not certificate.self_issued:
        yield "weak_signature_hash", f"is signed with {certificate.weak_hash}, which is broken"
    if not certificate.is_v3:
        yield "version_1", "is of X.509 version 1, so nothing in it says what it is for"
    if case.is_server(certificate):
        yield from _names(certificate)
        yield from _lifetime(certificate)
    yield from _ca_usage(certificate) if certificate.is_ca else _leaf_usage(certificate)
    if case.is_leaf(certificate):
        yield from _role(certificate, case)
    yield from _form(certificate)
    yield from _critical(certificate)


def _dates(certificate: Parsed, case: Case) -> Iterator[Found]:
    at = case.at
    if at > certificate.not_after:
        code = "expired_root" if certificate.is_ca and certificate.self_issued else "expired"
        yield code, f"expired {span(at - certificate.not_after)} ago, on {instant(certificate.not_after)}"
    if at < certificate.not_before:
        when = f"{span(certificate.not_before - at)}, on {instant(certificate.not_before)}"
        yield "not_yet_valid", f"becomes valid in {when}"


def key_problems(public_key_info: bytes) -> Iterator[Found]:
    """What is wrong with a key, a DER SubjectPublicKeyInfo."""
    try:
        key = load_public_key(public_key_info)
    except UnusableKey as error:
        code = "weak_key" if error.code == "weak_key" else "unsupported_key"
        yield code, f"has a key that cannot be used: {escape(str(error))}"
        return
    if key.kind.startswith("RSA") and key.bits < MIN_RSA_BITS:
        yield "weak_key", f"has an RSA key of {key.bits} bits; {MIN_RSA_BITS} are the least"
    elif unusual := _UNUSUAL_KEYS.get(key.kind):
        yield unusual, f"has a key of the kind {key.kind}"
    elif key.kind not in _USUAL_KEYS:
        yield "unsupported_key", f"has a key of the kind {escape(key.name)}, with which no TLS program signs"


def _names(certificate: Parsed) -> Iterator[Found]:
    names = certificate.names
    own = listed([f"CN={name}" for name in names.common_names])
    if certificate.extension(x509.SubjectAlternativeName) is None:
        if own:
            yield "no_subject_alternative_name", f"has no subjectAltName, and {own} does not count"
        else:
            yield "no_names", "has neither subjectAltName nor common name, so it is for no host"
    elif not names.dns and not names.ip:
        has = listed(names.labelled()) or "nothing"
        yield "no_host_in_subject_alternative_name", f"is for no host: subjectAltName holds {has}"
    for dns_name in names.dns:
        if _is_address(dns_name):
            yield "address_as_dns_name", f"names the address {escape(dns_name)} as a DNS name, which no client compares"
        if dns_name == "*":
            yield "wildcard_alone", "has the name *, which covers nothing"


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _lifetime(certificate: Parsed) -> Iterator[Found]:
    days = (certificate.not_after - certificate.not_before).days
    if days > _APPLE_DAYS:
        yield "long_lifetime", f"is valid for {days} days; {_APPLE_DAYS} are the most that Apple's systems take"
    elif days > _PUBLIC_DAYS:
        yield "lifetime_of_browsers", f"is valid for {days} days; browsers take {_PUBLIC_DAYS} from a public CA"


def _ca_usage(certificate: Parsed) -> Iterator[Found]:
    key_usage = certificate.extension(x509.KeyUsage)
    if key_usage is None:
        yield "ca_without_key_usage", "is a CA's, and has no keyUsage"
    elif not key_usage.key_cert_sign:
        yield "ca_without_key_cert_sign", "is a CA's, and its keyUsage lacks keyCertSign: nothing that it issues counts"


def _leaf_usage(certificate: Parsed) -> Iterator[Found]:
    key_usage = certificate.extension(x509.KeyUsage)
    if key_usage is not None and not key_usage.digital_signature:
        yield "key_may_not_sign", "has a keyUsage without digitalSignature, and in TLS 1.3 its key must sign"
    if key_usage is not None and key_usage.key_cert_sign:
        yield "key_cert_sign_without_ca", "has keyCertSign in keyUsage, and basicConstraints says that it is no CA"
    if certificate.self_issued:
        yield "self_signed_leaf", "signs itself and is no CA: each peer must trust it itself, and not all can"


def _role(certificate: Parsed, case: Case) -> Iterator[Found]:
    """Whether it may be used in its role."""
    if certificate.is_ca:
        yield "ca_as_leaf", f"is a CA's own certificate, not one for a {case.purpose}"
    purposes = certificate.extension(x509.ExtendedKeyUsage)
    if purposes is None:
        return
    roles = tuple(Purpose) if case.purpose is None else (case.purpose,)
    made = listed(purpose_names(purposes))
    if any(leaf_purposes_allow(purposes, role, any_purpose=False) for role in roles):
        return
    if ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in list(purposes):
        yield "any_purpose_only", f"is made for {made}, and some want {' or '.join(map(wanted, roles))} by name"
    else:
        yield "wrong_purpose", f"is made for {made}, and not for {' or '.join(map(wanted, roles))}"


def _form(certificate: Parsed) -> Iterator[Found]:
    """What RFC 5280 4 prescribes and X509_V_FLAG_X509_STRICT demands."""
    if not certificate.is_v3:
        return
    identifier = certificate.extension(x509.AuthorityKeyIdentifier)
    if not certificate.self_issued and (identifier is None or identifier.key_identifier is None):
        yield "no_authority_key_identifier", "has no authorityKeyIdentifier"
    if not certificate.subject[2:] and ExtensionOID.SUBJECT_ALTERNATIVE_NAME not in certificate.critical:
        yield "empty_subject", "has an empty subject, and its subjectAltName is not critical"
    constraints = certificate.extension(x509.BasicConstraints)
    key_usage = certificate.extension(x509.KeyUsage)
    has_path_length = constraints is not None and constraints.path_length is not None
    if has_path_length and not (key_usage is not None and key_usage.key_cert_sign):
        yield "path_length_without_key_cert_sign", "has a path length, and no keyCertSign in keyUsage"
    if not certificate.is_ca:
        return
    if certificate.extension(x509.SubjectKeyIdentifier) is None:
        yield "no_subject_key_identifier", "is a CA's, and has no subjectKeyIdentifier"
    if ExtensionOID.BASIC_CONSTRAINTS not in certificate.critical:
        yield "basic_constraints_not_critical", "is a CA's, and its basicConstraints is not critical"


def _critical(certificate: Parsed) -> Iterator[Found]:
    for oid in certificate.critical:
        if identifier := _KEY_IDENTIFIERS.get(oid):
            yield "critical_key_identifier", f"has a critical {identifier}, which RFC 5280 forbids"
        elif oid not in _KNOWN:
            yield "unknown_critical_extension", f"has the critical extension {oid.dotted_string}"
