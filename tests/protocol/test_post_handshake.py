"""What comes after the handshake: new keys, tickets, and messages that may come no more."""

from __future__ import annotations

import pytest

from handfast.engine import Data
from handfast.errors import ApiMisuse
from handfast.limits import MAX_CONSECUTIVE_KEY_UPDATES
from handfast.registry import HandshakeType
from handfast.roles import Role
from handfast.wire.extensions import Extensions, OpaqueExtension, SignatureSchemeList
from handfast.wire.messages import (
    Certificate,
    CertificateRequest,
    ClientHello,
    Finished,
    KeyUpdate,
    NewSessionTicket,
)
from tests.lies import APPLICATION_DATA, HANDSHAKE, Record, handshake, preceded_by, twice
from tests.protocol.ours import APPLICATION_KEYS, HANDSHAKE_KEYS, PLAINTEXT, Row, both_roles, meet

UPDATE_NOT_REQUESTED, UPDATE_REQUESTED = 0, 1
DATA = Record(APPLICATION_DATA, b"data")
TICKET = NewSessionTicket(3600, 0, b"", b"ticket", Extensions())


def connected(role, **options):
    peer = meet(role, **options).run()
    assert peer.complete
    peer.results.clear()
    return peer


def data_of(peer):
    return [bytes(result.data) for result in peer.results if isinstance(result, Data)]


def key_updates(peer):
    return [message.request_update for message in peer.listen().messages if isinstance(message, KeyUpdate)]


def check_after(role, code, alert, *items):
    """What the peer sends when the handshake is complete."""
    Row("", {}, code, alert, APPLICATION_KEYS, after=lambda peer: peer.say(*items)).check(role)


# KeyUpdate


@both_roles
def test_the_peer_changes_its_keys(role):
    peer = connected(role)
    for number in range(3):
        peer.update_keys().say(Record(APPLICATION_DATA, b"%d" % number))
    assert data_of(peer) == [b"0", b"1", b"2"]
    peer.connection.send(b"ours did not change")
    assert bytes(peer.listen().data) == b"ours did not change"
    assert key_updates(peer) == []


@both_roles
def test_we_change_our_keys(role):
    peer = connected(role)
    for number in range(3):
        peer.connection.update_keys()
        peer.connection.send(b"%d" % number)
    assert bytes(peer.listen().data) == b"012"
    assert key_updates(peer) == [UPDATE_NOT_REQUESTED] * 3


@both_roles
def test_we_ask_the_peer_to_change_its_keys(role):
    peer = connected(role)
    peer.connection.update_keys(request=True)
    assert key_updates(peer) == [UPDATE_REQUESTED]
    peer.update_keys(UPDATE_NOT_REQUESTED).say(DATA)
    assert data_of(peer) == [b"data"]


@both_roles
def test_the_next_write_answers_once_however_often_the_peer_asked(role):
    peer = connected(role)
    for _ in range(3):
        peer.update_keys(UPDATE_REQUESTED)
    assert key_updates(peer) == []
    peer.connection.send(b"first")
    peer.connection.send(b"second")
    assert bytes(peer.listen().data) == b"firstsecond"
    assert key_updates(peer) == [UPDATE_NOT_REQUESTED]
    contents = [record.content_type for record in peer.records if record.under == APPLICATION_KEYS]
    assert contents[-3:] == [HANDSHAKE, APPLICATION_DATA, APPLICATION_DATA]


@both_roles
def test_our_own_key_update_is_the_answer_too(role):
    peer = connected(role)
    peer.update_keys(UPDATE_REQUESTED)
    peer.connection.update_keys()
    peer.connection.send(b"data")
    assert bytes(peer.listen().data) == b"data"
    assert key_updates(peer) == [UPDATE_NOT_REQUESTED]


@both_roles
def test_both_sides_ask_at_once(role):
    peer = connected(role)
    peer.connection.update_keys(request=True)
    peer.update_keys(UPDATE_REQUESTED)
    peer.listen().update_keys(UPDATE_NOT_REQUESTED).say(DATA)
    peer.connection.send(b"ours")
    assert (data_of(peer), bytes(peer.listen().data)) == ([b"data"], b"ours")
    assert peer.connection.error is None


@pytest.mark.parametrize("value", [2, 128, 255])
@both_roles
def test_a_key_update_with_an_unknown_value(role, value):
    check_after(role, "bad_value", "illegal_parameter", KeyUpdate(value))


@pytest.mark.parametrize("body", [b"", b"\0\0"])
@both_roles
def test_a_key_update_of_another_size(role, body):
    code = "trailing_bytes" if body else "truncated"
    check_after(role, code, "decode_error", handshake(HandshakeType.key_update, body))


@both_roles
def test_data_under_the_old_keys_after_a_key_update(role):
    check_after(role, "bad_record_mac", "bad_record_mac", KeyUpdate(UPDATE_NOT_REQUESTED), DATA)


@both_roles
def test_data_under_new_keys_without_a_key_update(role):
    def skip(peer):
        peer._write_with(peer.write_secret.updated())
        peer.say(DATA)

    Row("", {}, "bad_record_mac", "bad_record_mac", APPLICATION_KEYS, after=skip).check(role)


@both_roles
def test_as_many_key_updates_in_a_row_as_are_allowed_and_again_after_data(role):
    peer = connected(role)
    for _ in range(3):
        for _ in range(MAX_CONSECUTIVE_KEY_UPDATES):
            peer.update_keys(UPDATE_REQUESTED)
        peer.say(DATA)
    assert peer.connection.error is None
    assert data_of(peer) == [b"data"] * 3


@both_roles
def test_more_key_updates_in_a_row_than_are_allowed(role):
    def flood(peer):
        for _ in range(MAX_CONSECUTIVE_KEY_UPDATES + 1):
            peer.update_keys()

    Row("", {}, "too_many_key_updates", "unexpected_message", APPLICATION_KEYS, after=flood).check(role)


@both_roles
def test_empty_records_between_key_updates_do_not_count_as_data(role):
    def flood(peer):
        for _ in range(MAX_CONSECUTIVE_KEY_UPDATES + 1):
            peer.update_keys().say(Record(APPLICATION_DATA, b""))

    Row("", {}, "too_many_key_updates", "unexpected_message", APPLICATION_KEYS, after=flood).check(role)


@pytest.mark.parametrize(
    ("role", "step", "under"),
    [
        (Role.CLIENT, "ServerHello", PLAINTEXT),
        (Role.CLIENT, "EncryptedExtensions", HANDSHAKE_KEYS),
        (Role.CLIENT, "Finished", HANDSHAKE_KEYS),
        (Role.SERVER, "ClientHello", PLAINTEXT),
        (Role.SERVER, "Finished", APPLICATION_KEYS),
    ],
)
def test_a_key_update_before(role, step, under):
    row = Row("", preceded_by(KeyUpdate(UPDATE_NOT_REQUESTED)), "unexpected_message", "unexpected_message", under)
    row.check(role, step)


@both_roles
def test_keys_cannot_be_changed_before_the_handshake_is_over_or_after_close(role):
    peer = meet(role)
    with pytest.raises(ApiMisuse) as caught:
        peer.connection.update_keys()
    assert caught.value.code == "not_connected"
    peer.run().connection.close()
    with pytest.raises(ApiMisuse) as caught:
        peer.connection.update_keys()
    assert caught.value.code == "closed_for_writing"


@both_roles
def test_keys_change_by_themselves_before_their_limit(role, monkeypatch):
    """Room is left below the limit, and the peer follows."""
    monkeypatch.setattr("handfast.handshake.post_handshake.UPDATE_BEFORE_LIMIT", 2**24 - 20)
    peer = connected(role)
    for _ in range(50):
        peer.connection.send(b"data")
    assert bytes(peer.listen().data) == b"data" * 50
    assert key_updates(peer) == [UPDATE_NOT_REQUESTED] * 2


# Tickets


def test_our_client_leaves_tickets_alone():
    peer = connected(Role.CLIENT).say(TICKET, TICKET, DATA)
    assert peer.connection.error is None
    assert data_of(peer) == [b"data"]


def test_our_client_ignores_unknown_extensions_of_tickets():
    ticket = NewSessionTicket(
        1, 2, b"n", b"t", Extensions.of(OpaqueExtension(0x1234, b"?"), OpaqueExtension(0x2A2A, b""))
    )
    assert connected(Role.CLIENT).say(ticket).connection.error is None


def test_a_ticket_that_does_not_decode():
    check_after(Role.CLIENT, "length_out_of_bounds", "decode_error",
                handshake(HandshakeType.new_session_ticket, bytes(8) + b"\0" + b"\0\0" + b"\0\0"))  # fmt: skip


def test_a_ticket_with_two_extensions_of_one_type():
    ticket = NewSessionTicket(1, 2, b"n", b"t", Extensions.of(OpaqueExtension(0x1234, b"?")))
    check_after(Role.CLIENT, "duplicate_extension", "illegal_parameter", twice(0x1234)(ticket))


def test_a_ticket_sent_to_a_server():
    check_after(Role.SERVER, "unexpected_message", "unexpected_message", TICKET)


# What may come no more

TOO_LATE = {
    "a CertificateRequest, which nobody offered to answer": CertificateRequest(
        b"context", Extensions.of(SignatureSchemeList((0x0403,)))
    ),
    "a second ClientHello": ClientHello(0x0303, bytes(32), b"", (0x1301,), b"\0", Extensions()),
    "a second Finished": Finished(bytes(32)),
    "a Certificate": Certificate(b"", ()),
    "a Certificate that does not even decode": handshake(HandshakeType.certificate, b"?"),
    "HelloRequest": handshake(HandshakeType.hello_request, b""),
    "end_of_early_data": handshake(HandshakeType.end_of_early_data, b""),
    "a message of an unknown type": handshake(99, b"?"),
    "message_hash": handshake(HandshakeType.message_hash, bytes(32)),
}


@pytest.mark.parametrize("message", TOO_LATE.values(), ids=TOO_LATE)
@both_roles
def test_after_the_handshake_comes(role, message):
    check_after(role, "unexpected_message", "unexpected_message", message)
