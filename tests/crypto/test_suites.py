"""The table of TLS 1.3 suites."""

from __future__ import annotations

import pytest

from handfast.crypto.randomness import random_bytes
from handfast.crypto.suites import SUITES_13, InvalidTag
from handfast.registry import CipherSuite


def test_the_suites_are_those_of_the_rfc():
    assert [(suite.name, suite.hash.name, suite.key_length) for suite in SUITES_13.values()] == [
        ("TLS_AES_128_GCM_SHA256", "SHA-256", 16),
        ("TLS_AES_256_GCM_SHA384", "SHA-384", 32),
        ("TLS_CHACHA20_POLY1305_SHA256", "SHA-256", 32),
    ]
    assert all(number == suite.id == CipherSuite.parse(suite.name) for number, suite in SUITES_13.items())


def test_limits_are_within_those_of_rfc_9846_5_5():
    assert SUITES_13[CipherSuite.TLS_AES_128_GCM_SHA256].records_per_key <= 2**24.5
    assert SUITES_13[CipherSuite.TLS_AES_256_GCM_SHA384].records_per_key <= 2**24.5
    assert SUITES_13[CipherSuite.TLS_CHACHA20_POLY1305_SHA256].records_per_key < 2**64


@pytest.mark.parametrize("suite", SUITES_13.values(), ids=lambda suite: suite.name)
def test_the_aead_takes_the_key_length_and_authenticates(suite):
    aead = suite.aead(random_bytes(suite.key_length))
    sealed = aead.encrypt(bytes(12), b"content", b"header")
    assert aead.decrypt(bytes(12), sealed, b"header") == b"content"
    with pytest.raises(InvalidTag):
        aead.decrypt(bytes(12), sealed, b"Header")


def test_random_bytes_differ():
    assert len({random_bytes(16) for _ in range(100)}) == 100
