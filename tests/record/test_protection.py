"""Sealing and opening TLS 1.3 records, at every size, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handfast.crypto.hashes import SHA256
from handfast.crypto.suites import SUITES_13
from handfast.errors import LocalFailure, PeerMisbehaved
from handfast.keys.schedule import TrafficSecret
from handfast.limits import MAX_CIPHERTEXT_13
from handfast.record.protection import Protection13

ALERT, HANDSHAKE, DATA = 21, 22, 23
SUITE = SUITES_13[0x1301]
SIZES = [0, 1, 16383, 16384, 16385, 3 * 16384 + 7]
every_suite = pytest.mark.parametrize("suite", SUITES_13.values(), ids=lambda suite: suite.name)


def pair(suite=SUITE):
    secret = TrafficSecret("a traffic secret", suite.hash, b"\7" * suite.hash.size)
    return Protection13(suite, secret), Protection13(suite, secret)


def raw_record(inner, number=0, suite=SUITE):
    """A record around any inner plaintext, made by hand."""
    key, iv = TrafficSecret("a traffic secret", suite.hash, b"\7" * suite.hash.size).key_and_iv(suite)
    header = b"\x17\3\3" + (len(inner) + 16).to_bytes(2, "big")
    nonce = (int.from_bytes(iv, "big") ^ number).to_bytes(12, "big")
    return header + suite.aead(key).encrypt(nonce, inner, header)


def refusal(act):
    with pytest.raises(PeerMisbehaved) as caught:
        act()
    return caught.value.code


def drain(receiver, wire):
    """All application data of ``wire``, and the other records, by as many runs as it takes."""
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
@pytest.mark.parametrize("size", SIZES)
def test_application_data_round_trip(suite, size):
    sender, receiver = pair(suite)
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    wire = sender.seal_application_data(data)
    records = -(-size // 16384)
    assert len(wire) == size + records * 22
    assert sender.records == records
    assert drain(receiver, wire) == (data, [], len(wire))
    assert receiver.records == records


@every_suite
@pytest.mark.parametrize("size", [size for size in SIZES if size <= 16384])
@pytest.mark.parametrize("content_type", [ALERT, HANDSHAKE, DATA])
def test_seal_and_open(suite, size, content_type):
    sender, receiver = pair(suite)
    for padding in (0, min(1, 16384 - size), 16384 - size):
        record = sender.seal(content_type, b"x" * size, padding)
        assert record[:3] == b"\x17\3\3"
        assert int.from_bytes(record[3:5], "big") == len(record) - 5 == size + 1 + padding + 16
        assert receiver.open(record[:5], record[5:]) == (content_type, b"x" * size, padding)


@every_suite
def test_both_ways_of_sealing_make_the_same_records(suite):
    one, other = pair(suite)
    data = bytes(range(256)) * 200
    expected = b"".join(one.seal(DATA, data[at : at + 16384]) for at in range(0, len(data), 16384))
    assert other.seal_application_data(data) == expected
    assert one.seal(DATA, b"next") == other.seal_application_data(b"next")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("size", [5, 40000])
def test_any_bytes_like_object_will_do(kind, size):
    sender, receiver = pair()
    data = b"ab" * (size // 2)
    wire = bytes(sender.seal_application_data(kind(data)))
    assert drain(receiver, kind(wire)) == (data, [], len(wire))


@every_suite
@pytest.mark.parametrize("size", [1, 64, 2047, 2048, 2049, 16384])
def test_one_record_of_application_data_at_a_time(suite, size):
    """The short ways make and take the records that the others do, in turn with them."""
    sender, receiver = pair(suite)
    other, opener = pair(suite)
    sender.fast_path_until = 3
    data = (b"%d " % size * size)[:size]
    for kind in (bytes, bytearray, memoryview):
        record = sender.seal_one(data)
        assert record == other.seal(DATA, data)
        assert receiver.open_one(kind(record)) == data
        assert opener.open(record[:5], record[5:]) == (DATA, data, 0)
    assert (sender.seal_one(data), sender.records) == (b"", 3)
    record = sender.seal(DATA, data[4:], 4)
    assert (receiver.open_one(record), receiver.records) == (b"", 3)
    expected = (data[4:], len(record), None) if size > 4 else (b"", len(record), (DATA, b"", 4))
    assert receiver.open_run(record, 0) == expected


@every_suite
def test_nonces_of_records_one_at_a_time(suite):
    """What is kept of nonces fits the numbers of its 256 records only, wherever the other ways take over between."""
    sender, receiver = pair(suite)
    other, opener = pair(suite)
    sender.fast_path_until = 2000
    short = {0, 1, 2, 5, 254, 255, 256, 257, 600, 601, 1023, 1024, 1500}
    for number in range(1501):
        data = b"record %d" % number
        record = sender.seal_one(data) if number in short else sender.seal(DATA, data)
        assert record == other.seal(DATA, data)
        if number in short:
            assert receiver.open_one(record) == data
            assert opener.open(record[:5], record[5:]) == (DATA, data, 0)
        else:
            assert receiver.open(record[:5], record[5:]) == (DATA, data, 0)
            assert opener.open_one(record) == data
    # A passive reader sets the number back when it looks for a record that came late.
    sender.records = receiver.records = 3
    assert receiver.open_one(raw_record(b"again\x17", 3, suite)) == b"again"
    assert sender.seal_one(b"again") == raw_record(b"again\x17", 3, suite)


@every_suite
def test_sizes_of_records_one_at_a_time(suite):
    sender, _ = pair(suite)
    sender.fast_path_until = 1
    assert (sender.seal_one(bytes(16385)), sender.records) == (b"", 0)
    assert len(sender.seal_one(bytes(16384))) == 16384 + 22
    assert (sender.seal_one(b"more"), sender.records) == (b"", 1)


@every_suite
@pytest.mark.parametrize("until", [0, 1, 5, 255, 256, 257, 300])
def test_the_short_way_ends_where_it_is_told_to(suite, until):
    """Also in the midst of records whose nonces are kept, and when the end comes nearer meanwhile."""
    sender, _ = pair(suite)
    other, _ = pair(suite)
    sender.fast_path_until = 1000
    for _ in range(until):
        assert sender.seal_one(b"data") == other.seal(DATA, b"data")
    sender.fast_path_until = until
    assert (sender.seal_one(b"data"), sender.records) == (b"", until)
    sender.fast_path_until = until + 2
    assert [bool(sender.seal_one(b"data")) for _ in range(4)] == [True, True, False, False]


@every_suite
@pytest.mark.parametrize("before", [0, 100, 255, 256])
def test_records_are_opened_one_at_a_time_up_to_the_limit(suite, before):
    _, receiver = pair(suite)
    limit = receiver.records = 2 * receiver.limit - before
    while receiver.records < 2 * receiver.limit:
        assert receiver.open_one(raw_record(b"data\x17", receiver.records, suite)) == b"data"
    assert receiver.records == limit + before
    assert receiver.open_one(raw_record(b"data\x17", receiver.records, suite)) == b""


@pytest.mark.parametrize("size", [1, 64, 2048, 2049, 16384])
def test_what_is_not_one_record_of_application_data(size):
    _, receiver = pair()
    record = raw_record(b"x" * size + b"\x17")
    wrong = [record[:-1], record + b"\x17", record + record, raw_record(b"\x17" * size + b"\x16")]
    wrong += [record[:at] + bytes((record[at] ^ 1,)) + record[at + 1 :] for at in (0, 1, 2, 3, 4, 5, len(record) - 1)]
    wrong += [b"", record[:5], raw_record(b"\x17"), raw_record(b"x" * 16385 + b"\x17"), raw_record(bytes(size))]
    for data in wrong:
        assert receiver.open_one(data) == b""
    assert receiver.records == 0
    assert receiver.open_one(record) == b"x" * size


@given(
    data=st.binary(min_size=1, max_size=3000),
    limit=st.integers(64, 2000),
    cut=st.floats(0, 1),
    padding=st.integers(0, 40),
)
@settings(max_examples=60)
def test_runs_with_any_limit_and_any_cut(data, limit, cut, padding):
    sender, receiver = pair()
    wire = bytes(sender.seal_application_data(data, limit)) + sender.seal(DATA, b"padded", padding)
    wire += sender.seal(HANDSHAKE, b"ticket", padding) + sender.seal(DATA, b"", padding) + sender.seal(DATA, b"end")
    split = int(len(wire) * cut)
    first, others, at = drain(receiver, wire[:split])
    second, more, end = drain(receiver, wire[at:])
    assert first + second == data + b"paddedend"
    assert others + more == [(HANDSHAKE, b"ticket", padding), (DATA, b"", padding)]
    assert at + end == len(wire)
    assert max(int.from_bytes(wire[3:5], "big"), 0) <= limit + 17


def test_a_run_starts_anywhere_and_ends_after_other_content():
    sender, receiver = pair()
    wire = b"12345" + sender.seal(DATA, b"one") + sender.seal(DATA, b"two") + sender.seal(ALERT, b"\1\0")
    rest = sender.seal(DATA, b"three")
    content, at, other = receiver.open_run(wire + rest, 5)
    assert (content, at, other) == (b"onetwo", len(wire), (ALERT, b"\1\0", 0))
    assert receiver.open_run(wire + rest, at) == (b"three", len(wire + rest), None)


@pytest.mark.parametrize(
    "stop",
    [b"", b"\x17", b"\x17\3\3\0\x30abc", b"\x14\3\3\0\1\1", b"\x17\2\3\0\1\1", b"\x17\3\3\x41\1" + bytes(16641)],
    ids=["end", "one byte", "incomplete", "change_cipher_spec", "version", "too long"],
)
def test_a_run_ends_before_what_it_cannot_open(stop):
    sender, receiver = pair()
    wire = sender.seal(DATA, b"one") + sender.seal(DATA, b"two")
    assert receiver.open_run(wire + stop, 0) == (b"onetwo", len(wire), None)
    assert receiver.open_run(wire + stop, len(wire)) == (b"", len(wire), None)
    assert receiver.records == 2


@every_suite
def test_every_altered_byte_of_a_record_is_found(suite):
    sender, receiver = pair(suite)
    record = sender.seal(DATA, b"abc", 2)
    for at in range(5, len(record)):
        altered = record[:at] + bytes((record[at] ^ 0x10,)) + record[at + 1 :]
        assert refusal(lambda altered=altered: receiver.open(altered[:5], altered[5:])) == "bad_record_mac"
        assert refusal(lambda altered=altered: receiver.open_run(altered, 0)) == "bad_record_mac"
        assert refusal(lambda altered=altered: receiver.open_run(altered + record, 0)) == "bad_record_mac"
    # The header is authenticated too: its last version byte is the one that nothing else checks.
    for at in range(5):
        header = bytearray(record[:5])
        header[at] ^= 1
        assert refusal(lambda header=header: receiver.open(bytes(header), record[5:])) == "bad_record_mac"
    assert receiver.records == 0
    assert receiver.open(record[:5], record[5:]) == (DATA, b"abc", 2)


@pytest.mark.parametrize("length", range(17))
def test_a_body_without_room_for_tag_and_type(length):
    _, receiver = pair()
    record = b"\x17\3\3" + length.to_bytes(2, "big") + bytes(length)
    assert refusal(lambda: receiver.open(record[:5], record[5:])) == "bad_record_mac"
    assert refusal(lambda: receiver.open_run(record, 0)) == "bad_record_mac"
    assert refusal(lambda: receiver.open_run(record + record, 0)) == "bad_record_mac"


def test_an_empty_inner_plaintext_with_a_valid_tag():
    _, receiver = pair()
    record = raw_record(b"")
    assert refusal(lambda: receiver.open(record[:5], record[5:])) == "bad_record_mac"


@pytest.mark.parametrize("length", [1, 2, 16385])
def test_only_padding(length):
    _, receiver = pair()
    record = raw_record(bytes(length))
    assert refusal(lambda: receiver.open_run(record + bytes(9), 0)) == "all_zero_inner_plaintext"
    assert refusal(lambda: receiver.open(record[:5], record[5:])) == "all_zero_inner_plaintext"


def test_the_largest_inner_plaintext_and_one_byte_more():
    for inner, code in (
        (b"x" * 16384 + b"\x17", None),
        (b"x" * 16000 + b"\x17" + bytes(384), None),
        (b"x" * 16385 + b"\x17", "record_overflow"),
        (b"x\x17" + bytes(16384), "record_overflow"),
    ):
        for tail in (b"", b"\x17\3\3\0\x30"):
            _, receiver = pair()
            record = raw_record(inner)
            if code is None:
                assert receiver.open_run(record + tail, 0)[0] == inner.rstrip(b"\0")[:-1]
            else:
                act = lambda record=record, tail=tail, receiver=receiver: receiver.open_run(record + tail, 0)  # noqa: E731
                assert refusal(act) == code


def test_a_ciphertext_beyond_the_limit_is_not_even_decrypted():
    _, receiver = pair()
    body = bytes(MAX_CIPHERTEXT_13 + 1)
    header = b"\x17\3\3" + len(body).to_bytes(2, "big")
    assert refusal(lambda: receiver.open(header, body)) == "record_overflow"


def test_data_before_a_bad_record_is_not_lost():
    for bad in (raw_record(b"x\x17", number=9), raw_record(bytes(3), number=2), raw_record(b"x" * 16386, number=2)):
        sender, receiver = pair()
        wire = sender.seal(DATA, b"one") + sender.seal(DATA, b"two")
        content, at, other = receiver.open_run(wire + bad + wire, 0)
        assert (content, at, other) == (b"onetwo", len(wire), None)
        with pytest.raises(PeerMisbehaved):
            receiver.open_run(wire + bad + wire, at)


def test_sequence_numbers():
    """A record opens at its own place only: not twice, not early, not left out."""
    sender, receiver = pair()
    first, second = sender.seal(DATA, b"1"), sender.seal(DATA, b"2")
    assert first != raw_record(b"1\x17", number=1)
    assert (first, second) == (raw_record(b"1\x17", number=0), raw_record(b"2\x17", number=1))
    assert refusal(lambda: receiver.open(second[:5], second[5:])) == "bad_record_mac"
    receiver.open(first[:5], first[5:])
    assert refusal(lambda: receiver.open(first[:5], first[5:])) == "bad_record_mac"
    assert receiver.open(second[:5], second[5:]) == (DATA, b"2", 0)


def test_a_key_update_changes_the_records():
    secret = TrafficSecret("a_secret_0", SHA256, bytes(32))
    old, new = Protection13(SUITE, secret), Protection13(SUITE, secret.updated())
    record = new.seal(DATA, b"after")
    assert refusal(lambda: old.open(record[:5], record[5:])) == "bad_record_mac"
    assert Protection13(SUITE, secret.updated()).open(record[:5], record[5:]) == (DATA, b"after", 0)


def test_the_sender_stops_at_the_limit():
    sender, receiver = pair(replace(SUITE, records_per_key=3))
    assert sender.limit == 3
    wire = sender.seal(HANDSHAKE, b"x") + sender.seal_application_data(b"y")
    for act in (
        lambda: sender.seal_application_data(bytes(16385)),
        lambda: sender.seal_application_data(bytes(10**6)),
    ):
        with pytest.raises(LocalFailure) as caught:
            act()
        assert caught.value.code == "key_exhausted"
        assert sender.records == 2
    wire += sender.seal_application_data(b"z")
    for act in (lambda: sender.seal(HANDSHAKE, b""), lambda: sender.seal_application_data(b"z")):
        with pytest.raises(LocalFailure):
            act()
    assert drain(receiver, wire) == (b"yz", [(HANDSHAKE, b"x", 0)], len(wire))


def test_the_receiver_stops_at_twice_the_limit():
    sender, _ = pair(replace(SUITE, records_per_key=100))
    _, receiver = pair(replace(SUITE, records_per_key=3))
    wire = b"".join(sender.seal(DATA, b"x") for _ in range(8))
    content, at, other = receiver.open_run(wire, 0)
    assert (content, other, receiver.records) == (b"x" * 6, None, 6)
    assert refusal(lambda: receiver.open_run(wire, at)) == "key_overused"
    assert receiver.open_one(wire[at : at + 23]) == b""
    assert refusal(lambda: receiver.open(wire[at : at + 5], wire[at + 5 : at + 23])) == "key_overused"


def test_no_key_in_the_repr():
    sender, _ = pair()
    sender.seal(DATA, b"")
    assert repr(sender) == "<Protection13 TLS_AES_128_GCM_SHA256, 1 records>"
