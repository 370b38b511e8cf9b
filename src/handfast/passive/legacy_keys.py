"""Keys of what came before AEADs, for reading recordings: TLS 1.0 to 1.2 with a MAC of its own in each record.

TLS 1.2 has one hash in its PRF (RFC 5246 5), the older versions have MD5 and SHA-1, each with half of the secret (RFC
4346 5). The key block is the same in all: MAC keys, cipher keys and, in TLS 1.0 only, first IVs (RFC 2246 6.3).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from handfast.crypto.hashes import Hash
from handfast.crypto.old_ciphers import RC4_KEY
from handfast.keys.schedule12 import VERIFY_DATA_LENGTH, prf
from handfast.roles import Role

if TYPE_CHECKING:
    from typing import Protocol

    from handfast.crypto.old_ciphers import BlockCipher
    from handfast.keys.schedule import Report
    from handfast.registry import CipherSuite

    class Digest(Protocol):
        """What hashes a transcript."""

        def digest(self, data: bytes) -> bytes:
            """The hash of ``data``."""


MD5 = Hash("MD5", hashlib.md5, 16, 64)
SHA1 = Hash("SHA1", hashlib.sha1, 20, 64)


class _Md5Sha1:
    """The two hashes side by side. RFC 4346 7.4.9."""

    @staticmethod
    def digest(data: bytes) -> bytes:
        return MD5.digest(data) + SHA1.digest(data)


MD5_SHA1 = _Md5Sha1()


@dataclass(frozen=True, slots=True)
class LegacySuite:
    """A suite whose records have a MAC of their own; ``cipher`` None is RC4, ``hash`` is the transcript's."""

    id: CipherSuite
    name: str
    hash: Hash | Digest
    mac: Hash
    cipher: BlockCipher | None

    @property
    def key_length(self) -> int:
        """Bytes of the cipher's key."""
        return RC4_KEY if self.cipher is None else self.cipher.key_length

    @property
    def block(self) -> int:
        """Bytes of the cipher's block, 0 for RC4."""
        return 0 if self.cipher is None else self.cipher.block


class LegacyKeys(NamedTuple):
    """What protects one direction."""

    mac_key: bytes
    key: bytes
    initialization_vector: bytes


class LegacyFinishedKey(NamedTuple):
    """Makes the verify_data of one side's Finished."""

    main_secret: LegacyMainSecret
    sender: Role

    def finished(self, transcript_hash: bytes) -> bytes:
        """verify_data, 12 bytes. RFC 5246 7.4.9, RFC 4346 7.4.9."""
        return self.main_secret.prf(f"{self.sender} finished", transcript_hash, VERIFY_DATA_LENGTH)


class LegacyMainSecret:
    """The main secret of one connection. ``value``, 48 bytes, does not show."""

    def __init__(self, suite: LegacySuite, value: bytes, randoms: tuple[bytes, bytes], report: Report | None) -> None:
        """``randoms`` are the client's and the server's."""
        self.value = value
        self._suite = suite
        self._randoms = randoms
        self._report = report

    def __repr__(self) -> str:
        return f"<LegacyMainSecret of {self._suite.name}>"

    def prf(self, label: str, seed: bytes, length: int) -> bytes:
        """So many bytes of the PRF of the version."""
        if isinstance(self._suite.hash, Hash):
            return prf(self._suite.hash, self.value, label, seed, length)
        half = (len(self.value) + 1) // 2
        one = prf(MD5, self.value[:half], label, seed, length)
        other = prf(SHA1, self.value[-half:], label, seed, length)
        return bytes(a ^ b for a, b in zip(one, other, strict=True))

    def keys(self) -> dict[Role, LegacyKeys]:
        """The keys that each role writes with. RFC 5246 6.3, RFC 2246 6.3."""
        suite = self._suite
        lengths = (suite.mac.size, suite.key_length, suite.block)
        seed = self._randoms[1] + self._randoms[0]
        block = self.prf("key expansion", seed, 2 * sum(lengths))
        if self._report is not None:
            self._report("key_block", "key expansion", ("main_secret",), seed, block)
        found: dict[Role, list[bytes]] = {Role.CLIENT: [], Role.SERVER: []}
        at = 0
        for length in lengths:
            for parts in found.values():
                parts.append(block[at : at + length])
                at += length
        return {role: LegacyKeys(*parts) for role, parts in found.items()}

    def finished_key(self, sender: Role) -> LegacyFinishedKey:
        """What makes the Finished of one role."""
        return LegacyFinishedKey(self, sender)
