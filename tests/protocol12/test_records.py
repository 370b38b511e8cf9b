"""Records of TLS 1.2: ChangeCipherSpec is a message here, and each content type shows."""

from __future__ import annotations

from functools import partial

import pytest

from handfast.crypto.suites12 import RSA, SUITES_12
from handfast.engine import ClientAuth, Data
from handfast.errors import HandfastError
from handfast.limits import MAX_EMPTY_RECORDS
from handfast.roles import Role
from handfast.wire.messages12 import ServerHelloDone
from tests import certificates
from tests.lies import (
    ALERT,
    APPLICATION_DATA,
    CHANGE_CIPHER_SPEC,
    DUMMY_CHANGE_CIPHER_SPEC,
    HANDSHAKE,
    Lie,
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
from tests.peer12 import Server12
from tests.protocol.ours import both_roles, client
from tests.protocol12.ours12 import BOTH, KEYS, ONLY, PLAINTEXT, Row12, meet12

CCS = DUMMY_CHANGE_CIPHER_SPEC
UNEXPECTED = "unexpected_message"
ALICE = {"identity": certificates.client()}

# What protects our alert once the peer's Finished was to come: a client's own keys are on by then.
LATE = {Role.CLIENT: KEYS, Role.SERVER: PLAINTEXT}
# A step in the middle of the peer's messages.
MIDDLE = {Role.CLIENT: "ServerKeyExchange", Role.SERVER: "ClientKeyExchange"}
FIRST = {Role.CLIENT: "ServerHello", Role.SERVER: "ClientHello"}


# ChangeCipherSpec


@pytest.mark.parametrize("versions", [BOTH, ONLY], ids=["both", "1.2 only"])
@both_roles
def test_too_early(role, versions):
    row = Row12("", preceded_by(CCS), "early_change_cipher_spec", UNEXPECTED, ours=versions)
    row.check(role, MIDDLE[role])
    row.check(role, FIRST[role], code="early_change_cipher_spec" if role is Role.CLIENT else "late_change_cipher_spec")


def test_a_client_before_its_certificate_verify():
    row = Row12("", preceded_by(CCS), "early_change_cipher_spec", UNEXPECTED)
    row.check(Role.SERVER, "CertificateVerify", peer=ALICE, ours={"client_auth": ClientAuth.REQUEST})


@both_roles
def test_missing(role):
    lies: dict[str, Lie] = {"ChangeCipherSpec": [], "Finished": in_plaintext}
    Row12("", lies, "missing_change_cipher_spec", UNEXPECTED, LATE[role]).check(role)
    Row12("", [], "missing_change_cipher_spec", UNEXPECTED, LATE[role]).check(role, "ChangeCipherSpec")


@both_roles
def test_in_the_middle_of_a_message(role):
    row = Row12("", split_around(CCS), "interleaved_record", UNEXPECTED)
    row.check(role, MIDDLE[role])
    # A part of Finished before it, in plaintext.
    early = lambda item: [Record(HANDSHAKE, b"\x14\0"), item]  # noqa: E731
    Row12("", early, "missing_change_cipher_spec", UNEXPECTED, LATE[role]).check(role, "ChangeCipherSpec")


@pytest.mark.parametrize("content", [b"", b"\0", b"\2", b"\1\1"])
@both_roles
def test_with_other_contents(role, content):
    lie = Plain(CHANGE_CIPHER_SPEC, content)
    Row12("", lie, "bad_change_cipher_spec", UNEXPECTED, LATE[role]).check(role, "ChangeCipherSpec")


@both_roles
def test_twice(role):
    Row12("", [CCS, CCS], "late_change_cipher_spec", UNEXPECTED, LATE[role]).check(role, "ChangeCipherSpec")
    Row12("", {}, "late_change_cipher_spec", UNEXPECTED, KEYS, after=lambda peer: peer.say(CCS)).check(role)
    protected = Record(CHANGE_CIPHER_SPEC, b"\1")
    row = Row12("", {}, "bad_change_cipher_spec", UNEXPECTED, KEYS, after=lambda peer: peer.say(protected))
    row.check(role)


@both_roles
def test_a_finished_under_no_keys_after_it(role):
    Row12("", in_plaintext, "bad_record_mac", "bad_record_mac", LATE[role]).check(role, "Finished")


@both_roles
def test_application_data_before_finished(role):
    lie = preceded_by(Record(APPLICATION_DATA, b"data"))
    Row12("", lie, "early_application_data", UNEXPECTED, LATE[role]).check(role, "Finished")
    lie = preceded_by(Plain(APPLICATION_DATA, b"data"))
    Row12("", lie, "early_application_data", UNEXPECTED).check(role, MIDDLE[role])


@both_roles
def test_another_record_inside_a_message(role):
    lie = split_around(Record(ALERT, b"\1\x64"))
    Row12("", lie, "interleaved_record", UNEXPECTED).check(role, MIDDLE[role])


# Protection


@both_roles
def test_a_record_that_was_altered(role):
    for at in (-1, 5, 20, 1):
        row = Row12("", sealed(damage=partial(flipped, at=at)), "bad_record_mac", "bad_record_mac")
        if at == 1:
            row = Row12("", row.lie, "record_version", "protocol_version")
        row.check(role, "Finished", under=LATE[role])


@both_roles
def test_a_record_that_says_to_be_of_another_type(role):
    def relabelled(record):
        return bytes((APPLICATION_DATA,)) + record[1:]

    Row12("", sealed(damage=relabelled), "bad_record_mac", "bad_record_mac", LATE[role]).check(role, "Finished")


@both_roles
def test_the_longest_record(role):
    peer = meet12(role).run()
    peer.say(Record(APPLICATION_DATA, bytes(2**14)))
    assert [len(result.data) for result in peer.results if isinstance(result, Data)] == [2**14]
    assert peer.connection.error is None
    row = Row12("", {}, "record_overflow", "record_overflow", KEYS)
    row.check(role, after=lambda peer: peer.say(Record(APPLICATION_DATA, bytes(2**14 + 1))))
    # It is judged by its header, before the rest of it came.
    header = b"\x17\3\3" + (2**14 + 2049).to_bytes(2, "big")
    row.check(role, after=lambda peer: peer.say(Wire(header)))
    fitting = b"\x17\3\3" + (2**14 + 2048).to_bytes(2, "big")
    assert meet12(role).run().say(Wire(fitting)).refusal is None
    bad = Row12("", {}, "bad_record_mac", "bad_record_mac", KEYS)
    bad.check(role, after=lambda peer: peer.say(Wire(fitting + bytes(2**14 + 2048))))
    bad.check(role, after=lambda peer: peer.say(Wire(b"\x17\3\3\0\x17" + bytes(23))))
    bad.check(role, after=lambda peer: peer.say(Wire(b"\x17\3\3\0\0")))


@both_roles
def test_empty_records(role):
    empty = Record(APPLICATION_DATA, b"")
    peer = meet12(role).run().say(*[empty] * MAX_EMPTY_RECORDS, Record(APPLICATION_DATA, b"x"), empty)
    assert peer.connection.error is None
    row = Row12("", {}, "too_many_empty_records", UNEXPECTED, KEYS)
    row.check(role, after=lambda peer: peer.say(*[empty] * (MAX_EMPTY_RECORDS + 1)))
    row = Row12("", {}, "empty_record", UNEXPECTED, KEYS)
    row.check(role, after=lambda peer: peer.say(Record(HANDSHAKE, b"")))
    row.check(role, after=lambda peer: peer.say(Record(ALERT, b"")))


@both_roles
def test_a_plaintext_alert_after_keys_is_none(role):
    row = Row12("", {}, "bad_record_mac", "bad_record_mac", KEYS)
    row.check(role, after=lambda peer: peer.say(Plain(ALERT, b"\2\x28")))


@pytest.mark.parametrize("suite", SUITES_12)
def test_nonces_and_numbers_do_not_repeat(suite):
    identity = certificates.server("rsa-2048" if SUITES_12[suite].authentication == RSA else "ecdsa-p256")
    peer = Server12(client(**BOTH), identity=identity, chosen_suite=suite).run()
    for _ in range(3):
        peer.connection.send(b"the same")
    wire = peer.connection.outgoing()
    size = len(wire) // 3
    assert len({wire[at : at + size] for at in range(0, len(wire), size)}) == 3
    peer._incoming += wire
    assert bytes(peer.listen().data) == b"the same" * 3


@both_roles
def test_a_record_that_comes_again_is_refused(role):
    peer = meet12(role).run()
    record = peer._seal(Record(APPLICATION_DATA, b"once"))
    peer.say(Wire(record), Wire(record))
    assert peer.refusal == ("bad_record_mac", "bad_record_mac", KEYS)


# Ends


@both_roles
def test_an_end_without_close_notify(role):
    peer = meet12(role).run()
    with pytest.raises(HandfastError) as caught:
        peer.connection.eof()
    assert caught.value.code == "unexpected_eof"


def test_handshake_bytes_behind_the_last_message_of_a_flight():
    row = Row12("", followed_by(ServerHelloDone()), "message_spans_key_change", UNEXPECTED)
    row.check(Role.CLIENT, "ServerHelloDone")
