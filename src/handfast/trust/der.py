"""The few pieces of DER that are needed without an X.509 library: find fields in a certificate, read names.

A server that asks no client for a certificate starts without ``cryptography.x509``; this reads what it needs of its own
chain. Everything returned is a slice of the input. Malformed input raises ValueError. ITU-T X.690 8.1 and 10.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

SEQUENCE = 0x30
SET = 0x31
OBJECT_IDENTIFIER = 0x06
INTEGER = 0x02
BIT_STRING = 0x03
_VERSION_TAG = 0xA0


class Element(NamedTuple):
    """One DER element: its identifier octet, its contents, and all its bytes."""

    tag: int
    content: bytes
    encoded: bytes


def element(data: bytes) -> Element:
    """The one element that ``data`` is, with nothing after it."""
    first, rest = _split(data)
    if rest:
        raise ValueError(f"{len(rest)} bytes after the end")
    return first


def elements(data: bytes) -> Iterator[Element]:
    """The elements that ``data`` is a concatenation of."""
    while data:
        first, data = _split(data)
        yield first


def expect(data: Element, tag: int) -> bytes:
    """The contents of an element that must have this tag."""
    if data.tag != tag:
        raise ValueError(f"tag {data.tag:#04x} where {tag:#04x} was expected")
    return data.content


def _split(data: bytes) -> tuple[Element, bytes]:
    if len(data) < 2 or data[0] & 0x1F == 0x1F:
        raise ValueError("not a DER element")
    start, length = 2, data[1]
    if length & 0x80:
        width = length & 0x7F
        start += width
        length = int.from_bytes(data[2:start], "big")
        if not 1 <= width <= 4 or length < 0x80 or length >> 8 * (width - 1) == 0:
            raise ValueError("a length that is not DER")
    end = start + length
    if end > len(data):
        raise ValueError(f"{end - len(data)} bytes are missing")
    return Element(data[0], data[start:end], data[:end]), data[end:]


def object_identifier(content: bytes) -> str:
    """The dotted form of an OBJECT IDENTIFIER's contents."""
    if not content or content[-1] & 0x80:
        raise ValueError("not an object identifier")
    arcs, value = [], 0
    for octet in content:
        value = value << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


class CertificateFields(NamedTuple):
    """Fields of one certificate as DER. RFC 5280 4.1."""

    serial_number: bytes
    signature: bytes
    issuer: bytes
    validity: bytes
    subject: bytes
    subject_public_key_info: bytes


def certificate_fields(certificate: bytes) -> CertificateFields:
    """RFC 5280 4.1."""
    tbs_certificate, *_ = elements(expect(element(certificate), SEQUENCE))
    fields = list(elements(expect(tbs_certificate, SEQUENCE)))
    if fields and fields[0].tag == _VERSION_TAG:
        del fields[0]
    if [field.tag for field in fields[:6]] != [INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE]:
        raise ValueError("not a certificate")
    return CertificateFields(*(field.encoded for field in fields[:6]))
