"""The TLS 1.3 cipher suites: an AEAD with its key length and limit, and a hash. RFC 9846 B.4."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from handfast.crypto.hashes import SHA256, SHA384, Hash
from handfast.limits import AES_GCM_RECORDS_PER_KEY, CHACHA20_RECORDS_PER_KEY
from handfast.registry import CipherSuite

__all__ = [
    "IV_LENGTH",
    "SUITES_13",
    "TAG_LENGTH",
    "Aead",
    "InvalidTag",
    "NumberedAead",
    "SplitAead",
    "Suite13",
    "ticket_aead",
    "with_aead",
]

# Sizes that all AEADs of TLS 1.3 share, in bytes. RFC 9846 5.2 and 5.3.
TAG_LENGTH = 16
IV_LENGTH = 12


class Aead(Protocol):
    """An AEAD with its key. The tag, 16 bytes, stands at the end of the ciphertext; input and output may overlap.

    The decrypting methods raise ``InvalidTag``. RFC 5116.
    """

    def encrypt(self, nonce: bytes, data: bytes | bytearray | memoryview, associated_data: bytes, /) -> bytes:
        """The ciphertext, tag included."""

    def encrypt_into(self, nonce: bytes, data: memoryview, associated_data: bytes, buf: memoryview, /) -> int:
        """Write the ciphertext to ``buf``, whose length is that of ``data`` and the tag."""

    def decrypt(
        self, nonce: bytes, data: bytes | bytearray | memoryview, associated_data: bytes | bytearray | memoryview, /
    ) -> bytes:
        """The plaintext."""

    def decrypt_into(
        self,
        nonce: bytes,
        data: memoryview,
        associated_data: bytes | bytearray | memoryview,
        buf: bytearray | memoryview,
        /,
    ) -> int:
        """Write the plaintext to ``buf``, whose length is that of ``data`` without the tag."""


class NumberedAead(Protocol):
    """An AEAD with its key and the first 4 bytes of its nonces. The other 8 are a number, which it is given."""

    def encrypt(self, number: int, data: bytes, associated_data: bytes, /) -> bytes:
        """The ciphertext, tag included."""

    def decrypt(self, number: int, data: bytes, associated_data: bytes, /) -> bytes:
        """The plaintext. Raises the ``refused`` of the ``SplitAead`` that this is of."""


class SplitAead(Aead, Protocol):
    """An AEAD of a provider that is quickest by number: ``numbered`` is the one for nonces that start so.

    ``refused`` is what that one raises for what does not decrypt.
    """

    @property
    def refused(self) -> type[Exception]: ...

    def numbered(self, start: bytes, /) -> NumberedAead: ...


@dataclass(frozen=True, slots=True)
class Suite13:
    """A TLS 1.3 cipher suite. ``aead(key)`` makes the AEAD for a key of ``key_length`` bytes."""

    id: CipherSuite
    name: str
    hash: Hash
    key_length: int
    aead: Callable[[bytes], Aead]
    records_per_key: int


def _suite(
    suite: CipherSuite, suite_hash: Hash, key_length: int, aead: Callable[[bytes], Aead], records_per_key: int
) -> Suite13:
    return Suite13(suite, suite.name, suite_hash, key_length, aead, records_per_key)


# In the default order of preference. AES-128 comes first: it is the suite that RFC 9846 9.1 obliges everybody to have,
# its strength is that of X25519, P-256 and the certificates around it, and with SHA-256 it is the quickest of all.
# ChaCha20 comes last because processors without AES instructions are rare among those that run Python.
SUITES_13: dict[int, Suite13] = {
    suite.id: suite
    for suite in (
        _suite(CipherSuite.TLS_AES_128_GCM_SHA256, SHA256, 16, AESGCM, AES_GCM_RECORDS_PER_KEY),
        _suite(CipherSuite.TLS_AES_256_GCM_SHA384, SHA384, 32, AESGCM, AES_GCM_RECORDS_PER_KEY),
        _suite(CipherSuite.TLS_CHACHA20_POLY1305_SHA256, SHA256, 32, ChaCha20Poly1305, CHACHA20_RECORDS_PER_KEY),
    )
}


@cache
def with_aead(suite: Suite13, aead: Callable[[bytes], Aead]) -> Suite13:
    """This suite with the AEAD of another provider."""
    return replace(suite, aead=aead)


def ticket_aead(key: bytes) -> Aead:
    """What seals tickets: AES-256-GCM, for a key of 32 bytes."""
    return AESGCM(key)
