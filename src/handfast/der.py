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
# Of serialNumber to subjectPublicKeyInfo.
_CERTIFICATE_TAGS = bytes((INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE))


class Element(NamedTuple):
    """One DER element: its identifier octet, its contents, and all its bytes."""

    tag: int
    content: bytes
    encoded: bytes


def element(data: bytes) -> Element:
    """The one element that ``data`` is, with nothing after it."""
    start, end = _bounds(data, 0, len(data))
    if end != len(data):
        raise ValueError(f"{len(data) - end} bytes after the end")
    return Element(data[0], data[start:end], data)


def elements(data: bytes) -> Iterator[Element]:
    """The elements that ``data`` is a concatenation of."""
    at, size = 0, len(data)
    while at < size:
        start, end = _bounds(data, at, size)
        yield Element(data[at], data[start:end], data[at:end])
        at = end


def expect(data: Element, tag: int) -> bytes:
    """The contents of an element that must have this tag."""
    if data.tag != tag:
        raise ValueError(f"tag {data.tag:#04x} where {tag:#04x} was expected")
    return data.content


def _bounds(data: bytes, at: int, limit: int) -> tuple[int, int]:
    """Where the contents of the element at ``at`` start and end; its container ends at ``limit``."""
    start = at + 2
    if start > limit or data[at] & 0x1F == 0x1F:
        raise ValueError("not a DER element")
    length = data[at + 1]
    if length & 0x80:
        width = length & 0x7F
        length = int.from_bytes(data[start : min(start + width, limit)], "big")
        start += width
        if not 1 <= width <= 4 or length < 0x80 or length >> 8 * (width - 1) == 0:
            raise ValueError("a length that is not DER")
    end = start + length
    if end > limit:
        raise ValueError(f"{end - limit} bytes are missing")
    return start, end


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
    start, end = _bounds(certificate, 0, len(certificate))
    parts = _parts(certificate, start, end)
    if end != len(certificate) or not parts or (certificate[0], certificate[start]) != (SEQUENCE, SEQUENCE):
        raise ValueError("not a certificate")
    fields = _parts(certificate, *_bounds(certificate, start, end))
    if fields and fields[0][0] == _VERSION_TAG:
        del fields[0]
    del fields[6:]
    if bytes([field[0] for field in fields]) != _CERTIFICATE_TAGS:
        raise ValueError("not a certificate")
    return CertificateFields(*fields)


def _parts(data: bytes, at: int, end: int) -> list[bytes]:
    """The elements, with all their bytes, that ``data[at:end]`` is a concatenation of."""
    found = []
    while at < end:
        _, stop = _bounds(data, at, end)
        found.append(data[at:stop])
        at = stop
    return found
