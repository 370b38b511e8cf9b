"""Certificates in fewer bytes: CompressedCertificate <-> Certificate. RFC 8879.

The receiver inflates before it knows anything of the peer, so what it costs is bounded beforehand: the announced
length by the limit of every handshake message, the output by the announced length. What is compressed is the message
without its header; the transcript holds the CompressedCertificate.

zlib is always there. brotli and zstd are packages of their own (the extras ``brotli`` and ``zstd``), imported
when used.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import NamedTuple

from handfast.errors import BadMessage, PeerMisbehaved
from handfast.limits import MAX_HANDSHAKE_MESSAGE, MAX_ZSTD_WINDOW
from handfast.registry import CertificateCompressionAlgorithm, HandshakeType
from handfast.wire.codec import decode, encode
from handfast.wire.messages import HANDSHAKE_HEADER, Certificate, CompressedCertificate


class Algorithm(NamedTuple):
    """One algorithm: the module it needs, and both ways; ``inflate`` gets the expected length and raises ValueError."""

    module: str
    deflate: Callable[[bytes], bytes]
    inflate: Callable[[bytes, int], bytes]


def available(algorithm: int) -> bool:
    """Whether this algorithm is known and its package installed."""
    known = ALGORITHMS.get(algorithm)
    return known is not None and find_spec(known.module) is not None


def compress(certificate: Certificate, algorithm: int) -> CompressedCertificate | None:
    """The message in compressed form, or None unless that is smaller. RFC 8879 4."""
    body = encode(certificate)
    compressed = CompressedCertificate(algorithm, len(body), ALGORITHMS[algorithm].deflate(body))
    return compressed if len(compressed.encode()) < HANDSHAKE_HEADER + len(body) else None


def decompress(message: CompressedCertificate) -> Certificate:
    """What was compressed, by an ``available`` algorithm. RFC 8879 4.

    Raises PeerMisbehaved compressed_too_large, bad_compression; and what a Certificate that does not decode raises.
    """
    length, limit = message.uncompressed_length, MAX_HANDSHAKE_MESSAGE - HANDSHAKE_HEADER
    if length > limit:
        raise PeerMisbehaved("compressed_too_large", length=length, limit=limit)
    try:
        body = ALGORITHMS[message.algorithm].inflate(message.compressed_certificate_message, length)
    except ValueError as error:
        raise PeerMisbehaved("bad_compression", length=length, reason=str(error)) from None
    if len(body) != length:
        held = "more" if len(body) > length else f"{len(body)}"
        raise PeerMisbehaved("bad_compression", length=length, reason=f"it holds {held}")
    raw = bytes((HandshakeType.certificate,)) + length.to_bytes(HANDSHAKE_HEADER - 1, "big") + body
    certificate = decode(Certificate, raw, at=HANDSHAKE_HEADER)
    certificate.raw = raw
    return certificate


def certificate_in(message: object) -> Certificate | None:
    """The Certificate that a message is, or holds compressed in an ``available`` way; for those who only look on."""
    if not isinstance(message, CompressedCertificate):
        return message if isinstance(message, Certificate) else None
    if not available(message.algorithm):
        return None
    try:
        return decompress(message)
    except (BadMessage, PeerMisbehaved):
        return None


# Each stops soon after ``length`` bytes of output, and raises ValueError for a stream that does not end as it should.


def _inflate_zlib(data: bytes, length: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        # One more, because a stream that is not over after ``length`` bytes must show it.
        body = stream.decompress(data, length + 1)
    except zlib.error:
        raise ValueError("it is no zlib stream") from None
    if len(body) <= length:
        _require_end(over=stream.eof, surplus=bool(stream.unused_data))
    return body


def _deflate_brotli(body: bytes) -> bytes:
    import brotli

    compressed: bytes = brotli.compress(body)
    return compressed


def _inflate_brotli(data: bytes, length: int) -> bytes:
    import brotli

    stream = brotli.Decompressor()
    try:
        # The limit is a soft one: the last buffer that it lets begin is filled.
        body: bytes = stream.process(data, output_buffer_limit=length + 1)
    except brotli.error:
        raise ValueError("it is no brotli stream, or bytes follow it") from None
    if len(body) <= length:
        _require_end(over=stream.is_finished(), surplus=False)
    return body


def _deflate_zstd(body: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor(level=19).compress(body)


def _inflate_zstd(data: bytes, length: int) -> bytes:
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_ZSTD_WINDOW)
    try:
        # Its buffer is as large as the frame says, whatever limit is given, unless the frame says nothing.
        announced = zstandard.frame_content_size(data)
        if announced not in (-1, length):
            raise ValueError(f"its frame announces {announced} bytes")
        return decompressor.decompress(data, max_output_size=length, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from None


def _require_end(*, over: bool, surplus: bool) -> None:
    if not over:
        raise ValueError("the stream is cut off")
    if surplus:
        raise ValueError("bytes follow the stream")


ALGORITHMS: Mapping[int, Algorithm] = {
    CertificateCompressionAlgorithm.zlib: Algorithm("zlib", zlib.compress, _inflate_zlib),
    CertificateCompressionAlgorithm.brotli: Algorithm("brotli", _deflate_brotli, _inflate_brotli),
    CertificateCompressionAlgorithm.zstd: Algorithm("zstandard", _deflate_zstd, _inflate_zstd),
}
