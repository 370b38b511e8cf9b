"""PKCS#12: a private key and certificates in one encrypted file, .p12 or .pfx. RFC 7292.

A MAC over the file proves that a password is the right one, so a wrong one is told from a damaged file only where the
file is visibly cut. No password and an empty one are two different things there: where none is given, both are tried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm

from handfast.crypto.private_keys import checked_private_key, public_key_info, resolved
from handfast.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12KeyAndCertificates

    from handfast.crypto.private_keys import Password
    from handfast.crypto.signatures import PrivateKey

# PFX ::= SEQUENCE { version INTEGER {v3(3)}, authSafe SEQUENCE ... }; no other file of keys has version 3.
_SEQUENCE = 0x30
_VERSION_3 = bytes.fromhex("02010330")


class Bundle(NamedTuple):
    """What a PKCS#12 file holds. ``certificates`` are DER, the key's own first if the file says which that is."""

    key: PrivateKey | None
    certificates: tuple[bytes, ...]


class PublicParts(NamedTuple):
    """What of a PKCS#12 file may be shown: the key's public half (DER SubjectPublicKeyInfo) and DER certificates."""

    public_key_info: bytes | None
    certificates: tuple[bytes, ...]


def is_pkcs12(data: bytes) -> bool:
    """Whether ``data`` begins as a PKCS#12 file does, in DER or in BER."""
    return data[:1] == bytes((_SEQUENCE,)) and data[_header(data) :].startswith(_VERSION_3)


def load_pkcs12(data: bytes, *, path: str, password: Password | None = None) -> Bundle:
    """The key and the certificates of ``data``, the contents of the file ``path``.

    Raises ConfigError bad_pkcs12, password_needed, password_wrong, unsupported_key, weak_key.
    """
    found = _parse(data, path, password)
    key = None if found.key is None else checked_private_key(found.key, path)
    return Bundle(key, _certificates(found))


def public_parts(data: bytes, *, path: str, password: Password | None = None) -> PublicParts:
    """What of ``data``, the contents of the file ``path``, may be shown; the key may be of any kind and strength.

    Raises ConfigError bad_pkcs12, password_needed, password_wrong.
    """
    found = _parse(data, path, password)
    return PublicParts(None if found.key is None else public_key_info(found.key), _certificates(found))


def _certificates(found: PKCS12KeyAndCertificates) -> tuple[bytes, ...]:
    from cryptography.hazmat.primitives.serialization import Encoding

    held = ([] if found.cert is None else [found.cert]) + found.additional_certs
    return tuple(one.certificate.public_bytes(Encoding.DER) for one in held)


def _header(data: bytes) -> int:
    """How many bytes stand before the contents of the outermost element."""
    return 2 + (data[1] & 0x7F if data[1:2] > b"\x80" else 0)


def _parse(data: bytes, path: str, password: Password | None) -> PKCS12KeyAndCertificates:
    from cryptography.hazmat.primitives.serialization import pkcs12

    length = int.from_bytes(data[2 : _header(data)], "big") if data[1] & 0x80 else data[1]
    if data[1] != 0x80 and len(data) != _header(data) + length:
        raise ConfigError("bad_pkcs12", path=path, reason="it is cut short, or something follows it")
    try:
        for nothing in (None, b""):
            try:
                return pkcs12.load_pkcs12(data, nothing)
            except ValueError:
                continue
        secret = resolved(password)
        if not secret:
            raise ConfigError("password_needed", path=path)
        return pkcs12.load_pkcs12(data, secret)
    except UnsupportedAlgorithm:
        raise ConfigError("bad_pkcs12", path=path, reason="its encryption is of an unknown kind") from None
    except ValueError:
        raise ConfigError("password_wrong", path=path) from None
