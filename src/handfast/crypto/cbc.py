"""AES in CBC mode, for reading recordings of old connections: nothing here encrypts."""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

AES_BLOCK = 16


def decrypt(key: bytes, initialization_vector: bytes, data: bytes) -> bytes:
    """The plaintext with its padding, of whole blocks."""
    decryptor = Cipher(algorithms.AES(key), modes.CBC(initialization_vector)).decryptor()
    return decryptor.update(data) + decryptor.finalize()
