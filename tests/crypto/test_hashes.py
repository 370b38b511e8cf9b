"""Hashes and our HMAC, against the standard library's."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handfast.crypto.hashes import SHA256, SHA384, SHA512

HASHES = {"sha256": SHA256, "sha384": SHA384, "sha512": SHA512}


@pytest.mark.parametrize(("name", "hash_"), HASHES.items(), ids=HASHES)
def test_sizes_and_states(name, hash_):
    reference = hashlib.new(name)
    assert (hash_.size, hash_.block_size) == (reference.digest_size, reference.block_size)
    assert hash_.empty == reference.digest()
    state = hash_.new()
    state.update(b"abc")
    fork = state.copy()
    fork.update(b"d")
    assert state.digest() == hash_.digest(b"abc") == hashlib.new(name, b"abc").digest()
    assert fork.digest() == hash_.digest(b"abcd")


@given(name=st.sampled_from(sorted(HASHES)), key=st.binary(max_size=200), message=st.binary(max_size=200))
def test_hmac_is_that_of_the_standard_library(name, key, message):
    assert HASHES[name].hmac(key, message) == hmac.digest(key, message, name)
