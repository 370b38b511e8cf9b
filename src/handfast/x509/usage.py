"""What a certificate may be used for, by its extended key usage. RFC 5280 4.2.1.12."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from handfast import der
from handfast.x509.purpose import Purpose

if TYPE_CHECKING:
    from cryptography.x509 import ExtendedKeyUsage, Extensions, KeyUsage

_WANTED = {Purpose.SERVER: ExtendedKeyUsageOID.SERVER_AUTH, Purpose.CLIENT: ExtendedKeyUsageOID.CLIENT_AUTH}
_NAMES = {
    ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth",
    ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth",
    ExtendedKeyUsageOID.CODE_SIGNING: "codeSigning",
    ExtendedKeyUsageOID.EMAIL_PROTECTION: "emailProtection",
    ExtendedKeyUsageOID.TIME_STAMPING: "timeStamping",
    ExtendedKeyUsageOID.OCSP_SIGNING: "OCSPSigning",
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE: "anyExtendedKeyUsage",
}


def ca_purposes_allow(extension: ExtendedKeyUsage | None, purpose: Purpose) -> bool:
    """Whether a CA with this extension may issue certificates for the purpose."""
    return leaf_purposes_allow(extension, purpose, any_purpose=True)


def leaf_purposes_allow(extension: ExtendedKeyUsage | None, purpose: Purpose, *, any_purpose: bool) -> bool:
    """Whether a leaf with this extension may be used so; ``any_purpose``: does anyExtendedKeyUsage count."""
    if extension is None:
        return True
    purposes = list(extension)
    return _WANTED[purpose] in purposes or (any_purpose and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in purposes)


# Netscape's own form of the same, a BIT STRING: which bit stands for whom.
_NETSCAPE_CERT_TYPE = x509.ObjectIdentifier("2.16.840.1.113730.1.1")
_NETSCAPE_BITS = {Purpose.CLIENT: 0x80, Purpose.SERVER: 0x40}


def netscape_type_allows(extensions: Extensions, purpose: Purpose) -> bool:
    """Whether a leaf's nsCertType, if it has one, holds the purpose; one that does not parse holds none."""
    try:
        encoded = extensions.get_extension_for_oid(_NETSCAPE_CERT_TYPE).value.public_bytes()
    except x509.ExtensionNotFound:
        return True
    try:
        bits = der.expect(der.element(encoded), der.BIT_STRING)[1:2]
    except ValueError:
        return False
    return bool(int.from_bytes(bits) & _NETSCAPE_BITS[purpose])


def wanted(purpose: Purpose) -> str:
    """The name of the extended key usage for the purpose."""
    return _NAMES[_WANTED[purpose]]


def purpose_names(extension: ExtendedKeyUsage) -> tuple[str, ...]:
    """The purposes as RFC 5280 names them; dotted numbers for the others."""
    return tuple(_NAMES.get(one, one.dotted_string) for one in extension)


def key_usage_has(extension: KeyUsage | None, wanted: bytes) -> bool:
    """Whether every bit of a DER BIT STRING is asserted; b"" is content with any, and what is neither with none."""
    if extension is None or not wanted:
        return extension is not None
    try:
        ours = der.expect(der.element(extension.public_bytes()), der.BIT_STRING)[1:]
        theirs = der.expect(der.element(wanted), der.BIT_STRING)[1:]
    except ValueError:
        return False
    width = max(len(ours), len(theirs))
    return not int.from_bytes(theirs.ljust(width, b"\0")) & ~int.from_bytes(ours.ljust(width, b"\0"))


def purposes_have(extension: ExtendedKeyUsage | None, wanted: bytes) -> bool:
    """Whether every purpose of a DER ExtendedKeyUsage is there; b"" and nonsense as above."""
    if extension is None or not wanted:
        return extension is not None
    try:
        theirs = der.elements(der.expect(der.element(wanted), der.SEQUENCE))
        ours = der.elements(der.expect(der.element(extension.public_bytes()), der.SEQUENCE))
        return {one.encoded for one in theirs} <= {one.encoded for one in ours}
    except ValueError:
        return False
