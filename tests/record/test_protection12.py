"""Sealing and opening TLS 1.2 records, at every size, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handfast.crypto.suites12 import SUITES_12
from handfast.errors import LocalFailure, PeerMisbehaved
from handfast.keys.schedule12 import DirectionKeys
from handfast.limits import MAX_CIPHERTEXT_12
from handfast.record.protection12 import Protection12

ALERT, HANDSHAKE, DATA = 21, 22, 23
GCM = SUITES_12[0xC02B]
CHACHA20 = SUITES_12[0xCCA9]
every_suite = pytest.mark.parametrize("suite", SUITES_12.values(), ids=lambda suite: suite.name)


def keys_of(suite):
    return DirectionKeys(b"\7" * suite.key_length, bytes(range(1, suite.iv_length + 1)))


def pair(suite=GCM):
    return Protection12(suite, keys_of(suite)), Protection12(suite, keys_of(suite))


def refusal(act):
    with pytest.raises(PeerMisbehaved) as caught:
        act()
    return caught.value.code


def drain(receiver, wire):
    data, at = b"", 0
    others: list[tuple[int, bytes, int]] = []
    while True:
        content, following, other = receiver.open_run(wire, at)
        if following == at:
            return data, others, at
        data += content
        at = following
        others += [other] if other else []


@every_suite
@pytest.mark.parametrize("size", [0, 1, 16383, 16384, 16385, 3 * 16384 + 7])
def test_application_data_round_trip(suite, size):
    sender, receiver = pair(suite)
    data = (bytes(range(256)) * (size // 256 + 1))[:size]
    wire = sender.seal_application_data(data)
    records = -(-size // 16384)
    assert len(wire) == size + records * (5 + sender.overhead)
    assert (sender.records, sender.overhead) == (records, 16 + suite.explicit_nonce)
    assert drain(receiver, wire) == (data, [], len(wire))


@every_suite
@pytest.mark.parametrize("content_type", [ALERT, HANDSHAKE, DATA])
@pytest.mark.parametrize("size", [0, 1, 16384])
def test_seal_and_open(suite, content_type, size):
    sender, receiver = pair(suite)
    for _ in range(3):
        record = sender.seal(content_type, b"x" * size)
        assert record[:3] == bytes((content_type, 3, 3))
        assert int.from_bytes(record[3:5], "big") == len(record) - 5
        assert receiver.open(record[:5], record[5:]) == (content_type, b"x" * size, 0)


def test_the_record_as_the_rfcs_print_it():
    """By hand: explicit nonce, associated data and nonce. RFC 5246 6.2.3.3, RFC 5288 3 and RFC 7905 2."""
    sender, _ = pair(GCM)
    sender.seal(DATA, b"the first")
    iv, aead = keys_of(GCM).iv, GCM.aead(keys_of(GCM).key)
    number = (1).to_bytes(8, "big")
    sealed = aead.encrypt(iv + number, b"content", number + b"\x16\3\3\0\7")
    assert sender.seal(HANDSHAKE, b"content") == b"\x16\3\3\0\x1f" + number + sealed

    sender, _ = pair(CHACHA20)
    sender.seal(DATA, b"the first")
    iv, aead = keys_of(CHACHA20).iv, CHACHA20.aead(keys_of(CHACHA20).key)
    nonce = iv[:-1] + bytes((iv[-1] ^ 1,))
    sealed = aead.encrypt(nonce, b"content", number + b"\x16\3\3\0\7")
    assert sender.seal(HANDSHAKE, b"content") == b"\x16\3\3\0\x17" + sealed


def test_any_explicit_nonce_is_read():
    """RFC 5288 3: the sender chooses it."""
    _, receiver = pair()
    explicit = b"whatever"
    keys = keys_of(GCM)
    sealed = GCM.aead(keys.key).encrypt(keys.iv + explicit, b"content", bytes(8) + b"\x17\3\3\0\7")
    assert receiver.open(b"\x17\3\3\0\x1f", explicit + sealed) == (DATA, b"content", 0)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("size", [5, 40000])
@every_suite
def test_any_bytes_like_object_will_do(suite, kind, size):
    sender, receiver = pair(suite)
    data = b"abcde" * (size // 5)
    wire = sender.seal_application_data(kind(data))
    assert drain(receiver, kind(wire)) == (data, [], len(wire))


@every_suite
@given(data=st.binary(min_size=1, max_size=2000), limit=st.integers(64, 1500), cut=st.floats(0, 1))
@settings(max_examples=20)
def test_runs_with_any_limit_and_any_cut(suite, data, limit, cut):
    sender, receiver = pair(suite)
    wire = sender.seal_application_data(data, limit) + sender.seal(DATA, b"") + sender.seal(DATA, b"end")
    split = int(len(wire) * cut)
    first, others, at = drain(receiver, wire[:split])
    second, more, _ = drain(receiver, wire[at:])
    assert (first + second, others + more) == (data + b"end", [(DATA, b"", 0)])


def test_a_run_ends_before_another_type_and_before_an_error():
    sender, receiver = pair()
    wire = sender.seal(DATA, b"one") + sender.seal(ALERT, b"\1\0")
    content, at, other = receiver.open_run(wire, 0)
    assert (content, other) == (b"one", None)
    assert receiver.open_run(wire, at) == (b"", at, None)

    sender, receiver = pair()
    good, bad = sender.seal(DATA, b"one"), bytearray(sender.seal(DATA, b"two"))
    bad[-1] ^= 1
    content, at, _ = receiver.open_run(good + bad, 0)
    assert (content, at) == (b"one", len(good))
    assert refusal(lambda: receiver.open_run(good + bad, at)) == "bad_record_mac"


@every_suite
def test_every_byte_counts(suite):
    sender, _ = pair(suite)
    record = sender.seal(DATA, b"data")
    for at in (*range(3), *range(5, len(record))):
        _, receiver = pair(suite)
        broken = bytearray(record)
        broken[at] ^= 1
        with pytest.raises(PeerMisbehaved) as caught:
            receiver.open(broken[:5], broken[5:])
        assert caught.value.code == "bad_record_mac"


@every_suite
def test_records_have_their_order(suite):
    sender, receiver = pair(suite)
    first, second = sender.seal(DATA, b"1"), sender.seal(DATA, b"2")
    assert refusal(lambda: receiver.open(second[:5], second[5:])) == "bad_record_mac"
    receiver.open(first[:5], first[5:])
    assert refusal(lambda: receiver.open(first[:5], first[5:])) == "bad_record_mac"


def test_sizes():
    sender, receiver = pair()
    long = sender.seal(DATA, bytes(2**14 + 1))
    assert refusal(lambda: receiver.open(long[:5], long[5:])) == "record_overflow"
    assert refusal(lambda: receiver.open(b"\x17\3\3\0\0", bytes(MAX_CIPHERTEXT_12 + 1))) == "record_overflow"
    for size in (0, 8, 23):
        assert refusal(lambda size=size: receiver.open(b"\x17\3\3\0\0", bytes(size))) == "bad_record_mac"


def test_limits_of_a_key():
    suite = replace(GCM, records_per_key=3)
    sender, receiver = pair(suite)
    sender.seal(DATA, b"1")
    for act in (lambda: sender.seal_application_data(bytes(3), 1),):
        with pytest.raises(LocalFailure) as caught:
            act()
        assert caught.value.code == "key_exhausted"
    assert sender.records == 1
    sender.seal_application_data(bytes(2), 1)
    with pytest.raises(LocalFailure):
        sender.seal(DATA, b"4")
    sender, _ = pair(replace(GCM, records_per_key=100))
    for _ in range(6):
        record = sender.seal(DATA, b"x")
        receiver.open(record[:5], record[5:])
    record = sender.seal(DATA, b"x")
    assert refusal(lambda: receiver.open(record[:5], record[5:])) == "key_overused"


def test_keys_do_not_show():
    assert "07" not in repr(keys_of(GCM))
    assert repr(pair()[0]) == "<Protection12 TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, 0 records>"
