"""The hashes of the cipher suites, with an HMAC that is quick for the short messages of a key schedule.

HMAC(K, m) = H((K ^ opad) || H((K ^ ipad) || m)), RFC 2104. ``bytes.translate`` does the XOR with a constant at C speed,
and two one-shot hashes do the rest in about half the time of ``hmac.digest``, which looks its algorithm up anew on
every call. A handshake computes some twenty of them. Where one key serves several messages, its two padded blocks are
hashed once, and each message goes on from copies of these states.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))


class HashState(Protocol):
    """A hash under way, such as a transcript."""

    def update(self, data: bytes, /) -> None:
        """Append ``data``."""

    def digest(self) -> bytes:
        """The hash of everything appended so far; more may be appended afterwards."""

    def copy(self) -> Self:
        """An independent state that continues from here."""


class _NewState(Protocol):
    def __call__(self, data: bytes = b"", /) -> HashState: ...


class Hash:
    """A hash function. ``size`` and ``block_size`` are bytes; ``empty`` is the hash of the empty string.

    ``new(data=b"")`` starts a ``HashState``.
    """

    __slots__ = ("block_size", "empty", "name", "new", "size")

    def __init__(self, name: str, new: _NewState, size: int, block_size: int) -> None:
        self.name = name
        self.new = new
        self.size = size
        self.block_size = block_size
        self.empty = new().digest()

    def __repr__(self) -> str:
        return f"Hash({self.name})"

    def digest(self, data: bytes) -> bytes:
        """The hash of ``data``."""
        return self.new(data).digest()

    def hmac(self, key: bytes, message: bytes) -> bytes:
        """HMAC of ``message``, ``size`` bytes. RFC 2104."""
        new, block_size = self.new, self.block_size
        if len(key) > block_size:
            key = new(key).digest()
        key = key.ljust(block_size, b"\0")
        return new(key.translate(_OUTER_PAD) + new(key.translate(_INNER_PAD) + message).digest()).digest()

    def pads(self, key: bytes) -> tuple[HashState, HashState]:
        """The hashes, under way, of the inner and the outer padded key of up to ``block_size`` bytes. RFC 2104."""
        key = key.ljust(self.block_size, b"\0")
        new = self.new
        return new(key.translate(_INNER_PAD)), new(key.translate(_OUTER_PAD))


def mac(pads: tuple[HashState, HashState], message: bytes) -> bytes:
    """HMAC of ``message`` under the key that these are the ``pads`` of."""
    inner, outer = pads
    inner = inner.copy()
    inner.update(message)
    outer = outer.copy()
    outer.update(inner.digest())
    return outer.digest()


def macs(pads: tuple[HashState, HashState], starts: Iterable[bytes], end: bytes) -> list[bytes]:
    """``mac`` for several messages, which all end alike."""
    inner, outer = pads
    found = []
    for start in starts:
        first = inner.copy()
        first.update(start + end)
        second = outer.copy()
        second.update(first.digest())
        found.append(second.digest())
    return found


SHA256 = Hash("SHA-256", hashlib.sha256, 32, 64)
SHA384 = Hash("SHA-384", hashlib.sha384, 48, 128)
SHA512 = Hash("SHA-512", hashlib.sha512, 64, 128)
