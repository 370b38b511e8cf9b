"""Block ciphers in CBC mode, and RC4, for reading recordings of old connections: nothing here encrypts."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cryptography.hazmat.decrepit.ciphers.algorithms import ARC4, Camellia, TripleDES
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher, algorithms, modes

_ALGORITHMS: dict[str, Callable[[bytes], BlockCipherAlgorithm]] = {
    "AES": algorithms.AES,
    "CAMELLIA": Camellia,
    "3DES": TripleDES,
}


class BlockCipher(NamedTuple):
    """A block cipher as the suites name it, such as AES; ``key_length`` and ``block`` are bytes."""

    name: str
    key_length: int
    block: int

    def decrypt(self, key: bytes, initialization_vector: bytes, data: bytes) -> bytes:
        """The plaintext with its padding, of whole blocks in CBC mode."""
        decryptor = Cipher(_ALGORITHMS[self.name](key), modes.CBC(initialization_vector)).decryptor()
        return decryptor.update(data) + decryptor.finalize()


# By what stands in the names of suites.
BLOCK_CIPHERS = {
    "AES_128_CBC": BlockCipher("AES", 16, 16),
    "AES_256_CBC": BlockCipher("AES", 32, 16),
    "CAMELLIA_128_CBC": BlockCipher("CAMELLIA", 16, 16),
    "CAMELLIA_256_CBC": BlockCipher("CAMELLIA", 32, 16),
    "3DES_EDE_CBC": BlockCipher("3DES", 24, 8),
}
RC4, RC4_KEY = "RC4_128", 16


def rc4(key: bytes) -> Callable[[bytes], bytes]:
    """What decrypts a stream, piece after piece."""
    return Cipher(ARC4(key), None).decryptor().update
