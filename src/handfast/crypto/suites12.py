"""The TLS 1.2 cipher suites that are spoken: ECDHE with an AEAD, nothing else. RFC 5289, RFC 7905, RFC 9325 4.2."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from handfast.crypto.hashes import SHA256, SHA384, Hash
from handfast.crypto.suites import IV_LENGTH, Aead
from handfast.limits import AES_GCM_RECORDS_PER_KEY, CHACHA20_RECORDS_PER_KEY
from handfast.registry import CipherSuite

# What stands in each record and is the rest of GCM's nonce, in bytes. RFC 5288 3.
EXPLICIT_NONCE = 8

ECDSA, RSA = "ECDSA", "RSA"


@dataclass(frozen=True, slots=True)
class Suite12:
    """A TLS 1.2 cipher suite.

    ``aead(key)`` makes the AEAD for a key of ``key_length`` bytes; ``iv_length`` bytes of its nonce are secret;
    ``hash`` is the PRF's; ``authentication`` is the kind of key that the server's certificate needs, where EdDSA
    counts as ECDSA (RFC 8422 5.1).
    """

    id: CipherSuite
    name: str
    authentication: str
    hash: Hash
    key_length: int
    iv_length: int
    aead: Callable[[bytes], Aead]
    records_per_key: int

    @property
    def explicit_nonce(self) -> int:
        """How many bytes of the nonce stand in each record."""
        return IV_LENGTH - self.iv_length

    def fits(self, key_kind: str) -> bool:
        """Whether a certificate with a key of this kind authenticates this suite."""
        return key_kind.startswith("RSA") == (self.authentication == RSA)


@cache
def with_aead(suite: Suite12, aead: Callable[[bytes], Aead]) -> Suite12:
    """This suite with the AEAD of another provider."""
    return replace(suite, aead=aead)


def _gcm(suite: CipherSuite, authentication: str, suite_hash: Hash, key_length: int) -> Suite12:
    iv_length = IV_LENGTH - EXPLICIT_NONCE
    return Suite12(
        suite, suite.name, authentication, suite_hash, key_length, iv_length, AESGCM, AES_GCM_RECORDS_PER_KEY
    )


def _chacha20(suite: CipherSuite, authentication: str) -> Suite12:
    return Suite12(suite, suite.name, authentication, SHA256, 32, IV_LENGTH, ChaCha20Poly1305, CHACHA20_RECORDS_PER_KEY)


# In the default order of preference, for the reasons of TLS 1.3's; what authenticates is the quicker signature first.
SUITES_12: dict[int, Suite12] = {
    suite.id: suite
    for suite in (
        _gcm(CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, ECDSA, SHA256, 16),
        _gcm(CipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, RSA, SHA256, 16),
        _gcm(CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, ECDSA, SHA384, 32),
        _gcm(CipherSuite.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, RSA, SHA384, 32),
        _chacha20(CipherSuite.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, ECDSA),
        _chacha20(CipherSuite.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, RSA),
    )
}
