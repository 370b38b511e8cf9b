"""After a TLS 1.2 handshake: warnings, attempts to renegotiate, and keys that do not change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from handfast.crypto.randomness import random_bytes
from handfast.crypto.suites12 import SUITES_12
from handfast.engine import Data
from handfast.errors import ApiMisuse, LocalFailure
from handfast.events import AlertSeen, Closed, Event
from handfast.handshake.tls12 import negotiate as negotiate12
from handfast.handshake.tls12.post_handshake import CLOSE_BEFORE_LIMIT
from handfast.limits import MAX_RENEGOTIATIONS, MAX_WARNINGS
from handfast.registry import AlertDescription, HandshakeType
from handfast.roles import Role
from handfast.wire.extensions import Extensions, RenegotiationInfo
from handfast.wire.messages import ClientHello, KeyUpdate
from handfast.wire.messages12 import HelloRequest, NewSessionTicket
from tests import peer12
from tests.lies import APPLICATION_DATA, WARNING, Plain, Record, alert, handshake, preceded_by
from tests.protocol.ours import both_roles
from tests.protocol12.ours12 import KEYS, Row12, meet12

UNEXPECTED = "unexpected_message"
DATA = Record(APPLICATION_DATA, b"data")
AGAIN = {
    Role.CLIENT: HelloRequest(),
    Role.SERVER: ClientHello(
        0x0303, random_bytes(32), b"", (0xC02B,), b"\0", Extensions.of(RenegotiationInfo(bytes(12)))
    ),
}
WARNINGS = ("no_renegotiation", "unrecognized_name", "user_canceled", "certificate_unknown")


def received(peer):
    return b"".join(bytes(result.data) for result in peer.results if isinstance(result, Data))


# Renegotiation


@both_roles
def test_no_other_handshake(role):
    peer = meet12(role).run().say(AGAIN[role], DATA)
    assert peer.connection.error is None
    assert received(peer) == b"data"
    assert [(got.level, got.description, got.under) for got in peer.listen().alerts] == [
        (WARNING, "no_renegotiation", KEYS)
    ]
    peer.connection.send(b"still here")
    assert bytes(peer.listen().data) == b"still here"


@both_roles
def test_whoever_insists_is_refused(role):
    peer = meet12(role).run().say(*[AGAIN[role]] * MAX_RENEGOTIATIONS)
    assert peer.connection.error is None
    row = Row12("", {}, "too_many_renegotiations", UNEXPECTED, KEYS)
    row.check(role, after=lambda peer: peer.say(*[AGAIN[role]] * (MAX_RENEGOTIATIONS + 1)))


@both_roles
def test_nothing_is_read_behind_the_peers_close_notify(role):
    peer = meet12(role).run().say(DATA).say(alert(0, WARNING)).say(DATA)
    assert received(peer) == b"data"
    assert peer.connection.peer_closed
    assert peer.connection.error is None


@both_roles
def test_nothing_follows_our_close_notify(role):
    peer = meet12(role).run()
    peer.connection.close()
    peer.say(AGAIN[role], DATA)
    assert received(peer) == b"data"
    assert [got.description for got in peer.listen().alerts] == ["close_notify"]


def test_the_warning_is_told_and_ends_nothing():
    events: list[Event] = []
    peer = meet12(Role.CLIENT, {"observers": [events.append]}).run().say(HelloRequest())
    (told,) = (event for event in events if isinstance(event, AlertSeen))
    assert (told.direction, told.level, told.description) == ("C>S", WARNING, AlertDescription.no_renegotiation)
    assert not any(isinstance(event, Closed) for event in events)
    peer.connection.close()
    assert [event.how for event in events if isinstance(event, Closed)] == ["close_notify"]


@pytest.mark.parametrize(
    ("role", "kind"), [(role, kind) for role in Role for kind in HandshakeType if kind != AGAIN[role].HANDSHAKE_TYPE]
)
def test_every_other_message_is_refused(role, kind):
    row = Row12("", {}, UNEXPECTED, UNEXPECTED, KEYS)
    row.check(role, after=lambda peer: peer.say(handshake(kind, b"")))


@pytest.mark.parametrize("message", [KeyUpdate(0), NewSessionTicket(3600, b"ticket")])
def test_messages_that_come_too_late_or_in_another_version(message):
    Row12("", {}, UNEXPECTED, UNEXPECTED, KEYS, after=lambda peer: peer.say(message)).check(Role.CLIENT)


# Warnings


@pytest.mark.parametrize("name", WARNINGS)
@both_roles
def test_a_warning_ends_nothing(role, name):
    warning = alert(AlertDescription[name], WARNING)
    peer = meet12(role).run().say(warning, DATA)
    assert peer.connection.error is None
    assert received(peer) == b"data"


@both_roles
def test_too_many_warnings(role):
    warning = alert(AlertDescription.no_renegotiation, WARNING)
    assert meet12(role).run().say(*[warning] * MAX_WARNINGS).connection.error is None
    row = Row12("", {}, "too_many_warnings", UNEXPECTED, KEYS)
    row.check(role, after=lambda peer: peer.say(*[warning] * (MAX_WARNINGS + 1)))


def test_a_warning_before_the_server_hello():
    """Old servers warn of a name that they do not know, and go on."""
    warning = Plain(21, bytes((WARNING, AlertDescription.unrecognized_name)))
    assert meet12(Role.CLIENT, lies={"ServerHello": preceded_by(warning)}).run().complete


def test_no_warning_before_the_client_hello():
    warning = Plain(21, bytes((WARNING, AlertDescription.unrecognized_name)))
    peer = meet12(Role.SERVER, lies={"ClientHello": preceded_by(warning)}).run()
    assert peer.refusal == ("unrecognized_name", None, None)


@both_roles
def test_a_fatal_alert_ends_it(role):
    peer = meet12(role).run().say(alert(AlertDescription.access_denied))
    assert peer.refusal == ("access_denied", None, None)
    peer = meet12(role).run().say(alert(AlertDescription.no_renegotiation, 3))
    assert peer.refusal == ("no_renegotiation", None, None)


# Keys


@both_roles
def test_keys_are_never_updated(role):
    peer = meet12(role).run()
    with pytest.raises(ApiMisuse) as caught:
        peer.connection.update_keys()
    assert caught.value.code == "no_key_update"
    peer.connection.send(b"nothing happened")
    assert bytes(peer.listen().data) == b"nothing happened"


@both_roles
def test_the_connection_is_closed_before_a_key_is_used_up(role, monkeypatch):
    small = replace(SUITES_12[0xC02B], records_per_key=CLOSE_BEFORE_LIMIT + 4)
    for module in (negotiate12, peer12):
        monkeypatch.setattr(module, "SUITES_12", {0xC02B: small})
    peer = meet12(role, {"suites": (0xC02B,)}, **({"suites": (0xC02B,)} if role is Role.SERVER else {})).run()
    assert peer.complete
    for _ in range(3):
        peer.connection.send(b"x")
    with pytest.raises(LocalFailure) as caught:
        peer.connection.send(b"x")
    assert caught.value.code == "connection_exhausted"
    peer.listen()
    assert bytes(peer.data) == b"xxx"
    assert [(got.level, got.description, got.under) for got in peer.alerts] == [(WARNING, "close_notify", KEYS)]
