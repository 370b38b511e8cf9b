"""HKDF as TLS 1.3 uses it. RFC 5869 and RFC 9846 7.1."""

from __future__ import annotations

from functools import lru_cache

from handfast.crypto.hashes import Hash
from handfast.errors import ApiMisuse


def extract(hash_: Hash, salt: bytes, input_keying_material: bytes) -> bytes:
    """HKDF-Extract. RFC 5869 2.2."""
    return hash_.hmac(salt, input_keying_material)


def expand(hash_: Hash, secret: bytes, info: bytes, length: int) -> bytes:
    """HKDF-Expand to ``length`` bytes. RFC 5869 2.3. Raises ApiMisuse beyond 255 hash lengths."""
    if length <= hash_.size:
        return hash_.hmac(secret, info + b"\1")[:length]
    if length > 255 * hash_.size:
        raise ApiMisuse("bad_argument", reason=f"{length} bytes are more than HKDF can expand to")
    block = b""
    output = bytearray()
    counter = 1
    while len(output) < length:
        block = hash_.hmac(secret, block + info + bytes((counter,)))
        output += block
        counter += 1
    return bytes(output[:length])


def expand_label(hash_: Hash, secret: bytes, label: bytes, context: bytes, length: int) -> bytes:
    """HKDF-Expand-Label. RFC 9846 7.1. Raises ApiMisuse for a label or a length that does not fit."""
    info = label_start(label, length, len(context)) + context
    if length <= hash_.size:
        return hash_.hmac(secret, info + b"\1")[:length]
    return expand(hash_, secret, info, length)


# Every connection uses the same dozen labels; the bound is for programs that export under labels of their own.
@lru_cache(maxsize=128)
def label_start(label: bytes, length: int, context_length: int) -> bytes:
    """HkdfLabel up to its context. RFC 9846 7.1. Raises ApiMisuse for what does not fit."""
    if len(label) > 255 - len(b"tls13 ") or not 0 <= length < 2**16 or context_length > 255:
        words = f"a label of {len(label)} bytes and a context of {context_length} for {length} bytes of output"
        raise ApiMisuse("bad_argument", reason=words)
    return length.to_bytes(2, "big") + bytes((len(label) + 6,)) + b"tls13 " + label + bytes((context_length,))
