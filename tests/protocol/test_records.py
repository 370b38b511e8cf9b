"""Records: where they may be split and mixed, what they may hold, how they are protected, and the dummy one."""

from __future__ import annotations

from typing import Any

import pytest

from handfast.engine import ClientAuth, Data
from handfast.keys.schedule import TrafficSecret
from handfast.limits import MAX_CHANGE_CIPHER_SPECS, MAX_CIPHERTEXT_13, MAX_EMPTY_RECORDS, MAX_PLAINTEXT
from handfast.record.protection import Protection13
from handfast.roles import Role
from handfast.wire.extensions import Extensions
from handfast.wire.messages import EncryptedExtensions, KeyUpdate, NewSessionTicket
from tests import certificates
from tests.lies import (
    ALERT,
    APPLICATION_DATA,
    CHANGE_CIPHER_SPEC,
    DUMMY_CHANGE_CIPHER_SPEC,
    HANDSHAKE,
    Plain,
    Record,
    Wire,
    flipped,
    followed_by,
    in_plaintext,
    preceded_by,
    sealed,
    split_around,
)
from tests.protocol.ours import (
    APPLICATION_KEYS,
    HANDSHAKE_KEYS,
    PLAINTEXT,
    SECP256R1,
    Row,
    both_roles,
    meet,
)

HEARTBEAT = 24
DATA = Record(APPLICATION_DATA, b"data")
TICKET = NewSessionTicket(3600, 0, b"", b"ticket", Extensions())

# Where a peer speaks, by the role of ours: the step, which keys protect what it sends there, and which protect the
# alert that ours answers. A server's alerts after its own Finished use application keys.
STEPS = {
    Role.CLIENT: [
        ("ServerHello", PLAINTEXT, PLAINTEXT),
        ("EncryptedExtensions", HANDSHAKE_KEYS, HANDSHAKE_KEYS),
        ("CertificateRequest", HANDSHAKE_KEYS, HANDSHAKE_KEYS),
        ("Certificate", HANDSHAKE_KEYS, HANDSHAKE_KEYS),
        ("CertificateVerify", HANDSHAKE_KEYS, HANDSHAKE_KEYS),
        ("Finished", HANDSHAKE_KEYS, HANDSHAKE_KEYS),
    ],
    Role.SERVER: [
        ("ClientHello", PLAINTEXT, PLAINTEXT),
        ("Certificate", HANDSHAKE_KEYS, APPLICATION_KEYS),
        ("CertificateVerify", HANDSHAKE_KEYS, APPLICATION_KEYS),
        ("Finished", HANDSHAKE_KEYS, APPLICATION_KEYS),
    ],
}
ALL_STEPS = [
    pytest.param(role, step, keys, under, id=f"{step} to our {role}")
    for role, steps in STEPS.items()
    for step, keys, under in steps
]
every_step = pytest.mark.parametrize(("role", "step", "keys", "under"), ALL_STEPS)
every_protected_step = pytest.mark.parametrize(
    ("role", "step", "under"),
    [pytest.param(*one.values[:2], one.values[3], id=one.id) for one in ALL_STEPS if one.values[2] == HANDSHAKE_KEYS],
)


def mutual(role):
    """Options for a handshake in which each side shows a certificate: of the peer, and of ours."""
    if role is Role.CLIENT:
        return {"requests_certificate": True}, {}
    return {"identity": certificates.client()}, {"client_auth": ClientAuth.REQUIRE_AND_VERIFY}


def check(role, step, lie, code, alert, under):
    peer, ours = mutual(role)
    Row("", lie, code, alert, under, peer, ours).check(role, step)


def check_after(role, code, alert, *items):
    """What the peer sends when the handshake is complete."""
    Row("", {}, code, alert, APPLICATION_KEYS, after=lambda peer: peer.say(*items)).check(role)


# Handshake bytes left over where keys change

LEFT_OVER = {"a byte": b"\x08", "a whole message": EncryptedExtensions().encode(), "a whole ticket": TICKET.encode()}
left_over = pytest.mark.parametrize("rest", LEFT_OVER.values(), ids=LEFT_OVER)


@left_over
@pytest.mark.parametrize(
    ("role", "step", "under"),
    [
        (Role.CLIENT, "ServerHello", PLAINTEXT),
        (Role.CLIENT, "HelloRetryRequest", PLAINTEXT),
        (Role.CLIENT, "Finished", HANDSHAKE_KEYS),
        (Role.SERVER, "ClientHello", PLAINTEXT),
        (Role.SERVER, "SecondClientHello", PLAINTEXT),
        (Role.SERVER, "Finished", APPLICATION_KEYS),
    ],
)
def test_handshake_bytes_left_over_after(role, step, under, rest):
    retries: dict[str, dict[str, Any]] = {
        "HelloRetryRequest": {"group": SECP256R1},
        "SecondClientHello": {"shared_groups": ()},
    }
    peer = retries.get(step, {})
    row = Row("", followed_by(rest), "message_spans_key_change", "unexpected_message", under, peer)
    row.check(role, step)


@left_over
@both_roles
def test_handshake_bytes_left_over_after_key_update(role, rest):
    check_after(role, "message_spans_key_change", "unexpected_message", KeyUpdate(0), rest)


# Another record inside a split message

STRANGERS = {
    "change_cipher_spec": DUMMY_CHANGE_CIPHER_SPEC,
    "an alert": Record(ALERT, b"\2\50"),
    "a close_notify": Record(ALERT, b"\1\0"),
    "application data": DATA,
    "empty application data": Record(APPLICATION_DATA, b""),
}
stranger = pytest.mark.parametrize("record", STRANGERS.values(), ids=STRANGERS)


@stranger
@every_step
def test_inside_a_split_message(role, step, keys, under, record):
    check(role, step, split_around(record), "interleaved_record", "unexpected_message", under)


@stranger
@both_roles
def test_inside_a_split_key_update(role, record):
    split = split_around(record)(KeyUpdate(0))
    check_after(role, "interleaved_record", "unexpected_message", *split)


# The dummy change_cipher_spec of middlebox compatibility mode


@pytest.mark.parametrize(
    ("role", "step"),
    [(role, step) for role, steps in STEPS.items() for step, *_ in steps if step != "ClientHello"]
    + [(Role.CLIENT, "HelloRetryRequest"), (Role.SERVER, "SecondClientHello")],
)
def test_a_dummy_is_dropped_before(role, step):
    peer, ours = mutual(role)
    if step == "HelloRetryRequest":
        peer["group"] = SECP256R1
    if step == "SecondClientHello":
        peer["shared_groups"] = ()
    liar = meet(role, ours, lies={step: preceded_by(DUMMY_CHANGE_CIPHER_SPEC)}, **peer).run()
    assert liar.complete, liar.connection.error


def test_a_dummy_before_the_first_client_hello():
    check(Role.SERVER, "ClientHello", preceded_by(DUMMY_CHANGE_CIPHER_SPEC), "late_change_cipher_spec",
          "unexpected_message", PLAINTEXT)  # fmt: skip


@both_roles
def test_a_dummy_after_the_handshake(role):
    check_after(role, "late_change_cipher_spec", "unexpected_message", DUMMY_CHANGE_CIPHER_SPEC)


@pytest.mark.parametrize("content", [b"", b"\0", b"\2", b"\1\1", b"\1\0"], ids=bytes.hex)
@every_step
def test_a_change_cipher_spec_that_is_not_a_single_01(role, step, keys, under, content):
    lie = preceded_by(Plain(CHANGE_CIPHER_SPEC, content))
    check(role, step, lie, "bad_change_cipher_spec", "unexpected_message", under)


@every_protected_step
def test_a_change_cipher_spec_under_keys(role, step, under):
    lie = preceded_by(Record(CHANGE_CIPHER_SPEC, b"\1"))
    check(role, step, lie, "unexpected_record_type", "unexpected_message", under)


@both_roles
def test_as_many_dummies_as_are_allowed(role):
    sent_anyway = 1
    dummies = [DUMMY_CHANGE_CIPHER_SPEC] * (MAX_CHANGE_CIPHER_SPECS - sent_anyway)
    assert meet(role, lies={"Finished": preceded_by(*dummies)}).run().complete


@both_roles
def test_more_dummies_than_are_allowed(role):
    under = HANDSHAKE_KEYS if role is Role.CLIENT else APPLICATION_KEYS
    lie = preceded_by(*[DUMMY_CHANGE_CIPHER_SPEC] * MAX_CHANGE_CIPHER_SPECS)
    check(role, "Finished", lie, "too_many_change_cipher_specs", "unexpected_message", under)


# What a record holds

CONTENTS = {
    "a single zero": (Record(0, b""), "all_zero_inner_plaintext"),
    "only padding": (Record(0, b"", padding=100), "all_zero_inner_plaintext"),
    "an empty handshake content": (Record(HANDSHAKE, b""), "empty_record"),
    "an empty handshake content, padded": (Record(HANDSHAKE, b"", padding=100), "empty_record"),
    "an empty alert": (Record(ALERT, b""), "empty_record"),
    "a type that only TLS 1.2 has": (Record(HEARTBEAT, b"\1\0\0"), "unexpected_record_type"),
    "an unknown type": (Record(255, b"?"), "unexpected_record_type"),
    "type 19": (Record(19, b"?"), "unexpected_record_type"),
}
every_content = pytest.mark.parametrize(("record", "code"), CONTENTS.values(), ids=CONTENTS)


@every_content
@every_protected_step
def test_under_handshake_keys(role, step, under, record, code):
    check(role, step, preceded_by(record), code, "unexpected_message", under)


@every_content
@both_roles
def test_under_application_keys(role, record, code):
    check_after(role, code, "unexpected_message", record)


@pytest.mark.parametrize(
    ("lie", "code", "alert"),
    [
        (preceded_by(Plain(HANDSHAKE, b"")), "empty_record", "unexpected_message"),
        (preceded_by(Plain(ALERT, b"")), "empty_record", "unexpected_message"),
        (preceded_by(Plain(APPLICATION_DATA, b"data")), "early_application_data", "unexpected_message"),
        (preceded_by(Plain(APPLICATION_DATA, b"")), "early_application_data", "unexpected_message"),
        (preceded_by(Plain(HEARTBEAT, b"\1\0\0")), "not_tls", "decode_error"),
        (preceded_by(Plain(HANDSHAKE, b"\0", 0x0200)), "not_tls", "decode_error"),
    ],
    ids=["empty handshake", "empty alert", "data", "empty data", "an unknown type", "another version than 3.x"],
)
@both_roles
def test_the_first_plaintext_record_is(role, lie, code, alert):
    check(role, "ServerHello" if role is Role.CLIENT else "ClientHello", lie, code, alert, PLAINTEXT)


@every_protected_step
def test_a_plaintext_message_after_keys_are_on(role, step, under):
    check(role, step, in_plaintext, "plaintext_after_keys", "unexpected_message", under)


@both_roles
def test_a_plaintext_message_after_the_handshake(role):
    check_after(role, "plaintext_after_keys", "unexpected_message", Plain(HANDSHAKE, KeyUpdate(0).encode()))


@both_roles
@pytest.mark.parametrize("content_type", [19, HEARTBEAT, 0, 255])
def test_a_record_header_of_an_unknown_type_after_the_handshake(role, content_type):
    check_after(role, "unexpected_record_type", "unexpected_message", Plain(content_type, b"?"))


@every_protected_step
def test_a_record_header_of_another_version_than_3(role, step, under):
    lie = preceded_by(Wire(b"\x17\2\0\0\x20" + bytes(32)))
    check(role, step, lie, "record_version", "protocol_version", under)


@every_protected_step
def test_application_data_before_finished(role, step, under):
    check(role, step, preceded_by(DATA), "early_application_data", "unexpected_message", under)


@every_protected_step
def test_empty_application_data_before_finished(role, step, under):
    lie = preceded_by(Record(APPLICATION_DATA, b"", padding=9))
    check(role, step, lie, "early_application_data", "unexpected_message", under)


# Sizes


@pytest.mark.parametrize("length", [MAX_PLAINTEXT + 1, 0xFFFF])
@both_roles
def test_a_plaintext_record_is_too_large_by_its_header(role, length):
    lie = Wire(b"\x16\3\3" + length.to_bytes(2, "big"))
    check(role, "ServerHello" if role is Role.CLIENT else "ClientHello", lie, "record_overflow", "record_overflow",
          PLAINTEXT)  # fmt: skip


@pytest.mark.parametrize("length", [MAX_CIPHERTEXT_13 + 1, 0xFFFF])
@every_protected_step
def test_a_protected_record_is_too_large_by_its_header(role, step, under, length):
    lie = Wire(b"\x17\3\3" + length.to_bytes(2, "big"))
    check(role, step, lie, "record_overflow", "record_overflow", under)


@pytest.mark.parametrize("length", [MAX_CIPHERTEXT_13 + 1, 0xFFFF])
@both_roles
def test_application_data_is_too_large_by_its_header(role, length):
    check_after(role, "record_overflow", "record_overflow", Wire(b"\x17\3\3" + length.to_bytes(2, "big")))


TOO_LARGE = [Record(APPLICATION_DATA, bytes(MAX_PLAINTEXT + 1)), Record(APPLICATION_DATA, b"x", padding=MAX_PLAINTEXT)]
LARGEST = [Record(APPLICATION_DATA, bytes(MAX_PLAINTEXT)), Record(APPLICATION_DATA, b"x", padding=MAX_PLAINTEXT - 1)]


@pytest.mark.parametrize("record", TOO_LARGE, ids=["content", "padding"])
@both_roles
def test_an_inner_plaintext_that_is_too_large(role, record):
    check_after(role, "record_overflow", "record_overflow", record)


@pytest.mark.parametrize("record", LARGEST, ids=["content", "padding"])
@both_roles
def test_the_largest_inner_plaintext(role, record):
    peer = meet(role).run().say(record)
    assert peer.connection.error is None
    assert [len(one.data) for one in peer.results if isinstance(one, Data)] == [len(record.content)]


def test_plaintext_that_only_ciphertext_may_be_as_large_as():
    lie = preceded_by(Plain(APPLICATION_DATA, bytes(MAX_PLAINTEXT + 1)))
    check(Role.CLIENT, "ServerHello", lie, "record_overflow", "record_overflow", PLAINTEXT)


# Empty records


@both_roles
def test_as_many_empty_records_in_a_row_as_are_allowed(role):
    empty = [Record(APPLICATION_DATA, b"")] * MAX_EMPTY_RECORDS
    for observers in ([], [repr]):
        peer = meet(role, {"observers": observers}).run().say(*empty, DATA, *empty, DATA)
        assert peer.connection.error is None
        assert [bytes(one.data) for one in peer.results if isinstance(one, Data)] == [b"data", b"data"]


@both_roles
def test_more_empty_records_in_a_row_than_are_allowed(role):
    empty = [Record(APPLICATION_DATA, b"", padding=3)] * (MAX_EMPTY_RECORDS + 1)
    check_after(role, "too_many_empty_records", "unexpected_message", *empty)


# Protection

DAMAGES = {
    "a tag with a bit turned over": flipped,
    "a ciphertext with a bit turned over": lambda record: flipped(record, 5),
    "another version in its header": lambda record: flipped(record, 2),
    "a byte less": lambda record: record[:3] + (len(record) - 6).to_bytes(2, "big") + record[5:-1],
    "no room for a tag": lambda record: b"\x17\3\3\0\x10" + record[5:21],
    "no content": lambda record: b"\x17\3\3\0\0",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@every_protected_step
def test_a_handshake_record_with(role, step, under, damage):
    check(role, step, sealed(damage=damage), "bad_record_mac", "bad_record_mac", under)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@both_roles
def test_a_data_record_with(role, damage):
    check_after(role, "bad_record_mac", "bad_record_mac", Record(APPLICATION_DATA, b"data", damage=damage))


@every_protected_step
def test_a_record_under_wrong_keys(role, step, under):
    suite = meet(role).suite
    wrong = Protection13(suite, TrafficSecret("another", suite.hash, bytes(suite.hash.size)))
    check(role, step, sealed(keys=wrong), "bad_record_mac", "bad_record_mac", under)


@pytest.mark.parametrize("content_type", [HANDSHAKE, APPLICATION_DATA, ALERT])
def test_application_keys_before_finished(content_type):
    """Our server reads with them only when the client's Finished has come."""
    peer = meet(Role.SERVER)

    def too_early(_):
        return Record(content_type, b"\2\50", keys=Protection13(peer.suite, peer.application_secrets[0]))

    peer.lies = {"Finished": too_early}
    assert peer.run().refusal == ("bad_record_mac", "bad_record_mac", APPLICATION_KEYS)


@both_roles
def test_handshake_keys_after_finished(role):
    peer = meet(role)
    old_keys = []

    def remember(finished):
        old_keys.append(Protection13(peer.suite, peer.write_secret))
        return finished

    peer.lies = {"Finished": remember}
    assert peer.run().complete
    peer.say(Record(APPLICATION_DATA, b"late", keys=old_keys[0]))
    assert peer.refusal == ("bad_record_mac", "bad_record_mac", APPLICATION_KEYS)


@both_roles
def test_a_record_that_comes_twice(role):
    twice = Record(APPLICATION_DATA, b"data", damage=lambda record: record + record)
    check_after(role, "bad_record_mac", "bad_record_mac", twice)


@both_roles
def test_a_record_that_is_missing(role):
    missing = Record(APPLICATION_DATA, b"data", damage=lambda record: b"")
    check_after(role, "bad_record_mac", "bad_record_mac", missing, DATA)


@both_roles
def test_records_that_change_places(role):
    held = []

    def hold(record):
        held.append(record)
        return b""

    def exchange(record):
        return record + held.pop()

    first = Record(APPLICATION_DATA, b"first", damage=hold)
    second = Record(APPLICATION_DATA, b"second", damage=exchange)
    check_after(role, "bad_record_mac", "bad_record_mac", first, second)


@both_roles
@pytest.mark.parametrize("padding", [1, 255, 4000])
def test_padding_is_taken_off(role, padding):
    peer, ours = mutual(role)
    lies = {"Certificate": sealed(padding), "CertificateVerify": sealed(padding), "Finished": sealed(padding)}
    liar = meet(role, ours, lies=lies, **peer).run()
    assert liar.complete, liar.connection.error
    liar.say(Record(APPLICATION_DATA, b"content that ends in zeros\0\0", padding))
    assert [bytes(one.data) for one in liar.results if isinstance(one, Data)] == [b"content that ends in zeros\0\0"]
