"""What a certificate may be used for, by its extended key usage. RFC 5280 4.2.1.12."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.x509.oid import ExtendedKeyUsageOID

from handfast.trust.presented import Purpose

if TYPE_CHECKING:
    from cryptography.x509 import ExtendedKeyUsage

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


def wanted(purpose: Purpose) -> str:
    """The name of the extended key usage for the purpose."""
    return _NAMES[_WANTED[purpose]]


def purpose_names(extension: ExtendedKeyUsage) -> tuple[str, ...]:
    """The purposes as RFC 5280 names them; dotted numbers for the others."""
    return tuple(_NAMES.get(one, one.dotted_string) for one in extension)
