"""PKCS#7: certificates in the wrapping of a signed message that has none, .p7b or .p7c. RFC 2315 9, RFC 5652 5."""

from __future__ import annotations

from handfast import der
from handfast.errors import ConfigError
from handfast.text import reported

# 1.2.840.113549.1.7.2, signedData, as a DER OBJECT IDENTIFIER.
_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")


def is_pkcs7(data: bytes) -> bool:
    """Whether ``data`` is one DER element of the kind signedData."""
    try:
        first = next(iter(der.elements(der.expect(der.element(data), der.SEQUENCE))))
    except (ValueError, StopIteration):
        return False
    return first.encoded == _SIGNED_DATA


def certificates_in_pkcs7(data: bytes, *, path: str) -> tuple[bytes, ...]:
    """The certificates in ``data``, from the file ``path``, as DER; ConfigError bad_certificate, no_certificate."""
    from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

    try:
        found = pkcs7.load_der_pkcs7_certificates(data)
    except Exception as error:  # noqa: BLE001 (the parser raises errors of many kinds)
        raise ConfigError("bad_certificate", path=path, reason=reported(error)) from None
    if not found:
        advice = "export it again, with the certificates"
        raise ConfigError("no_certificate", path=path, found="it is PKCS#7 without any", advice=advice)
    return tuple(one.public_bytes(Encoding.DER) for one in found)
