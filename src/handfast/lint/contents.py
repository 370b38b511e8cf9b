"""What a file holds, in whatever form it is found: certificates, requests, keys, revocation lists.

Of a private key only the public half is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from cryptography import x509

from handfast import der
from handfast.crypto.library import is_panic
from handfast.crypto.pkcs7 import certificates_in_pkcs7, is_pkcs7
from handfast.crypto.pkcs12 import is_pkcs12, public_parts
from handfast.crypto.private_keys import public_half
from handfast.errors import ConfigError
from handfast.x509 import loading, pem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from handfast.crypto.private_keys import Password


class Kind(StrEnum):
    """What one thing in a file is."""

    CERTIFICATE = "certificate"
    REQUEST = "certificate request"
    KEY = "private key"
    PUBLIC_KEY = "public key"
    REVOCATION_LIST = "revocation list"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing in a file.

    Attributes:
        file: the file's name, escaped.
        number: which of the file's things, from 1.
        count: how many things the file holds.
        kind: what it is.
        form: "PEM", "DER", "PKCS#7" or "PKCS#12".
        encoded: DER; of a key its public half, a SubjectPublicKeyInfo.
    """

    file: str
    number: int
    count: int
    kind: Kind
    form: str
    encoded: bytes = field(repr=False)

    @property
    def place(self) -> str:
        """The file, and where it holds several things, which of them."""
        return f"{self.file} no. {self.number}" if self.count > 1 else self.file


def read(data: bytes, name: str, password: Password | None = None) -> tuple[Item, ...]:
    """Everything in ``data``, the contents of the file ``name``, in its order.

    Raises ConfigError no_certificate where nothing is known, and bad_certificate, bad_crl, bad_key, bad_pkcs12,
    password_needed, password_wrong, unsupported_key for what cannot be read.
    """
    found = list(_things(data, name, password))
    if not found:
        raise loading.no_certificate(data, name)
    return tuple(
        Item(file=name, number=number, count=len(found), kind=kind, form=form, encoded=_checked(kind, encoded, name))
        for number, (kind, form, encoded) in enumerate(found, 1)
    )


def _things(data: bytes, name: str, password: Password | None) -> Iterator[tuple[Kind, str, bytes]]:
    if is_pkcs12(data):
        parts = public_parts(data, path=name, password=password)
        yield from ((Kind.CERTIFICATE, "PKCS#12", one) for one in parts.certificates)
        if parts.public_key_info is not None:
            yield Kind.KEY, "PKCS#12", parts.public_key_info
    elif pem.looks_like_der(data):
        yield from _in_der(data, name, password)
    else:
        for block in pem.blocks(data):
            yield from _in_pem(block, name, password)


def _in_der(data: bytes, name: str, password: Password | None) -> Iterator[tuple[Kind, str, bytes]]:
    if is_pkcs7(data):
        yield from ((Kind.CERTIFICATE, "PKCS#7", one) for one in certificates_in_pkcs7(data, path=name))
        return
    for kind, parse in _PARSERS.items():
        if _parses(parse, data):
            yield kind, "DER", data
            return
    yield Kind.KEY, "DER", public_half(data, path=name, password=password)


def _in_pem(block: pem.Block, name: str, password: Password | None) -> Iterator[tuple[Kind, str, bytes]]:
    label = block.label
    if label in ("PKCS7", "CMS"):
        held = certificates_in_pkcs7(loading.decoded(block, name), path=name)
        yield from ((Kind.CERTIFICATE, "PKCS#7", one) for one in held)
    elif block.is_private_key:
        yield Kind.KEY, "PEM", public_half(block.encoded, path=name, password=password)
    elif block.is_certificate:
        yield Kind.CERTIFICATE, "PEM", loading.decoded(block, name)
    elif kind := _LABELS.get(label):
        yield kind, "PEM", loading.decoded(block, name)


_LABELS = {
    "CERTIFICATE REQUEST": Kind.REQUEST,
    "NEW CERTIFICATE REQUEST": Kind.REQUEST,
    "PUBLIC KEY": Kind.PUBLIC_KEY,
    "X509 CRL": Kind.REVOCATION_LIST,
}


def _public_key(data: bytes) -> object:
    """A SubjectPublicKeyInfo by its shape: an algorithm and a BIT STRING."""
    algorithm, key = der.elements(der.expect(der.element(data), der.SEQUENCE))
    der.expect(algorithm, der.SEQUENCE)
    return der.expect(key, der.BIT_STRING)


def _request(data: bytes) -> object:
    """A request whose parts can be read: the parser looks at each when it is asked for."""
    request = x509.load_der_x509_csr(data)
    info = list(der.elements(der.element(request.tbs_certrequest_bytes).content))
    return request.subject.public_bytes(), info[2].encoded


def _revocation_list(data: bytes) -> object:
    """A revocation list whose parts can be read, likewise."""
    found = x509.load_der_x509_crl(data)
    entries = [entry.serial_number for entry in found]
    return found.issuer.public_bytes(), found.last_update_utc, found.next_update_utc, entries


_PARSERS: dict[Kind, Callable[[bytes], object]] = {
    Kind.CERTIFICATE: der.certificate_fields,
    Kind.REQUEST: _request,
    Kind.REVOCATION_LIST: _revocation_list,
    Kind.PUBLIC_KEY: _public_key,
}


def _checked(kind: Kind, encoded: bytes, name: str) -> bytes:
    """``encoded`` if it has the shape of its kind; ConfigError otherwise."""
    parse = _PARSERS.get(kind)
    if parse is not None and not _parses(parse, encoded):
        code = "bad_crl" if kind is Kind.REVOCATION_LIST else "bad_certificate"
        raise ConfigError(code, path=name, reason=f"the {kind} has not the shape of one")
    return encoded


def _parses(parse: Callable[[bytes], object], data: bytes) -> bool:
    try:
        parse(data)
    except Exception:  # noqa: BLE001 (the parser raises errors of many kinds)
        return False
    except BaseException as error:
        # A panic of the parser is no Exception.
        if not is_panic(error):
            raise
        return False
    return True
