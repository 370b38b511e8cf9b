"""Alerts that come: the fatal ones, the two that are not, malformed ones, and those in plaintext after keys are on."""

from __future__ import annotations

import pytest

from handfast.engine import ClientAuth, PeerClosed
from handfast.errors import HandfastError, PeerRejected
from handfast.events import AlertSeen, Event
from handfast.limits import MAX_USER_CANCELED
from handfast.registry import AlertDescription
from handfast.roles import Role
from tests.lies import ALERT, APPLICATION_DATA, FATAL, WARNING, Plain, Record, alert, preceded_by
from tests.protocol.ours import (
    APPLICATION_KEYS,
    HANDSHAKE_KEYS,
    PLAINTEXT,
    Row,
    assert_dead,
    both_roles,
    client,
    meet,
    server,
)

CLOSE_NOTIFY, USER_CANCELED = int(AlertDescription.close_notify), int(AlertDescription.user_canceled)
FATAL_ALERTS = [one for one in AlertDescription if one not in (CLOSE_NOTIFY, USER_CANCELED)]
UNKNOWN = 99

# Where the peer speaks before its Finished, by the role of ours, and what protects the alerts that ours then sends.
STAGES = [
    pytest.param(Role.CLIENT, "ServerHello", PLAINTEXT, id="our client waits for ServerHello"),
    pytest.param(Role.CLIENT, "EncryptedExtensions", HANDSHAKE_KEYS, id="our client waits for EncryptedExtensions"),
    pytest.param(Role.CLIENT, "Finished", HANDSHAKE_KEYS, id="our client waits for Finished"),
    pytest.param(Role.SERVER, "ClientHello", PLAINTEXT, id="our server waits for ClientHello"),
    pytest.param(Role.SERVER, "Finished", APPLICATION_KEYS, id="our server waits for Finished"),
]
every_stage = pytest.mark.parametrize(("role", "step", "under"), STAGES)


def check(role, step, lie, code, alert_name, under):
    Row("", lie, code, alert_name, under).check(role, step)


# Fatal alerts


@pytest.mark.parametrize("level", [WARNING, FATAL, 0, 255])
@pytest.mark.parametrize("description", [*FATAL_ALERTS, UNKNOWN], ids=AlertDescription.describe)
@both_roles
def test_a_fatal_alert_after_the_handshake_whatever_its_level(role, description, level):
    peer = meet(role).run().say(alert(description, level))
    assert isinstance(peer.raised, PeerRejected)
    name = "unknown_alert" if description == UNKNOWN else AlertDescription(description).name
    assert peer.refusal == (name, None, None)
    assert_dead(peer.connection)


@pytest.mark.parametrize("description", FATAL_ALERTS, ids=AlertDescription.describe)
@every_stage
def test_a_fatal_alert_during_the_handshake(role, step, under, description):
    check(role, step, alert(description), AlertDescription(description).name, None, None)


def test_what_is_said_of_a_fatal_alert_names_it_and_what_we_waited_for():
    peer = meet(Role.CLIENT, lies={"ServerHello": alert(AlertDescription.handshake_failure)}).run()
    assert "handshake_failure (40)" in peer.error.what
    assert "ServerHello" in peer.error.what


# Malformed alerts


@pytest.mark.parametrize("content", [b"\2", b"\2\50\0", b"\1\0\1\0"], ids=["1 byte", "3 bytes", "two alerts"])
@every_stage
def test_an_alert_that_has_not_two_bytes(role, step, under, content):
    check(role, step, Record(ALERT, content), "bad_alert", "decode_error", under)


@pytest.mark.parametrize("content", [b"\2", b"\2\50\0", b"\1\0\1\0"], ids=["1 byte", "3 bytes", "two alerts"])
@both_roles
def test_an_alert_that_has_not_two_bytes_after_the_handshake(role, content):
    row = Row(
        "", {}, "bad_alert", "decode_error", APPLICATION_KEYS, after=lambda peer: peer.say(Record(ALERT, content))
    )
    row.check(role)


# The two that are not fatal


@pytest.mark.parametrize("level", [WARNING, FATAL])
@both_roles
def test_a_bounded_number_of_user_canceled_is_ignored(role, level):
    peer = meet(role, lies={"Finished": preceded_by(alert(USER_CANCELED, level))}).run()
    assert peer.complete
    peer.say(*[alert(USER_CANCELED, level)] * (MAX_USER_CANCELED - 1), Record(APPLICATION_DATA, b"data"))
    assert peer.connection.error is None
    assert peer.connection.connected


@every_stage
def test_too_many_user_canceled(role, step, under):
    lie = [alert(USER_CANCELED, WARNING)] * (MAX_USER_CANCELED + 1)
    check(role, step, lie, "too_many_user_canceled", "unexpected_message", under)


@pytest.mark.parametrize("level", [WARNING, FATAL])
@every_stage
def test_close_notify_during_the_handshake_ends_it_without_an_alert(role, step, under, level):
    check(role, step, alert(CLOSE_NOTIFY, level), "eof_in_handshake", None, None)


@pytest.mark.parametrize("level", [WARNING, FATAL])
@both_roles
def test_close_notify_after_the_handshake_is_an_end_in_order(role, level):
    peer = meet(role).run().say(alert(CLOSE_NOTIFY, level))
    assert isinstance(peer.results[-1], PeerClosed)
    assert peer.connection.error is None
    peer.connection.eof()
    assert peer.connection.error is None


# Plaintext alerts after keys are on: OpenSSL's clients refuse a server certificate this way


@pytest.mark.parametrize("description", [*FATAL_ALERTS, USER_CANCELED], ids=AlertDescription.describe)
def test_a_plaintext_alert_is_named_while_nothing_was_decrypted_from_that_peer(description):
    check(Role.SERVER, "Finished", Plain(ALERT, bytes((FATAL, description))), AlertDescription(description).name, None,
          None)  # fmt: skip
    check(Role.CLIENT, "EncryptedExtensions", Plain(ALERT, bytes((FATAL, description))),
          AlertDescription(description).name, None, None)  # fmt: skip


@pytest.mark.parametrize("description", [CLOSE_NOTIFY, UNKNOWN], ids=AlertDescription.describe)
def test_a_plaintext_alert_is_an_error_even_if_it_is_close_notify_or_unknown(description):
    for role, step in ((Role.SERVER, "Finished"), (Role.CLIENT, "EncryptedExtensions")):
        check(role, step, Plain(ALERT, bytes((WARNING, description))), "plaintext_alert", None, None)


def test_a_plaintext_alert_is_marked_as_unauthenticated():
    events: list[Event] = []
    lies = {"Finished": Plain(ALERT, bytes((FATAL, AlertDescription.unknown_ca)))}
    peer = meet(Role.SERVER, {"observers": [events.append]}, lies=lies).run()
    assert "unauthenticated" in peer.error.what
    [seen] = [event for event in events if isinstance(event, AlertSeen)]
    assert (seen.description, seen.authenticated) == (AlertDescription.unknown_ca, False)


@pytest.mark.parametrize(
    ("role", "step", "under"),
    [(Role.CLIENT, "Certificate", HANDSHAKE_KEYS), (Role.SERVER, "Finished", APPLICATION_KEYS)],
)
@pytest.mark.parametrize("description", [AlertDescription.unknown_ca, CLOSE_NOTIFY, UNKNOWN])
def test_a_plaintext_alert_is_believed_no_more_once_something_was_decrypted(role, step, under, description):
    ours = {"client_auth": ClientAuth.REQUEST} if role is Role.SERVER else {}
    lie = Plain(ALERT, bytes((FATAL, description)))
    Row("", lie, "plaintext_after_keys", "unexpected_message", under, ours=ours, peer={"merged": False}).check(
        role, step
    )


@pytest.mark.parametrize("content", [b"\2", b"\2\50\0"])
def test_a_plaintext_alert_of_another_size_after_keys_are_on(content):
    check(
        Role.SERVER, "Finished", Plain(ALERT, content), "plaintext_after_keys", "unexpected_message", APPLICATION_KEYS
    )


@both_roles
def test_a_plaintext_alert_after_the_handshake(role):
    row = Row("", {}, "plaintext_after_keys", "unexpected_message", APPLICATION_KEYS,
              after=lambda peer: peer.say(Plain(ALERT, bytes((FATAL, 48)))))  # fmt: skip
    row.check(role)


# Peers that do not speak TLS

PLAIN_HTTP = b"GET /index.html HTTP/1.1\r\nHost: localhost\r\n\r\n"
METHODS = ("GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "CONNECT")


@pytest.mark.parametrize("chunk", [1, 2, 3, 1000])
@pytest.mark.parametrize("method", METHODS)
def test_a_client_that_speaks_plain_http(method, chunk):
    ours = server()
    assert refusal(ours, PLAIN_HTTP.replace(b"GET", method.encode()), chunk).code == "http_request"
    assert ours.outgoing() == b"\x15\3\3\0\2\2\x0a"


@pytest.mark.parametrize("chunk", [1, 1000])
@pytest.mark.parametrize(
    "data", [b"SSH-2.0-OpenSSH\r\n", b"EHLO there\r\n", b"\x80\x2e\1\3\1\0\x15", b"GETAWAY\r\n", b"\0\0\0\0"]
)
def test_a_client_that_speaks_something_else(data, chunk):
    ours = server()
    assert refusal(ours, data, chunk).code == "not_tls"
    assert ours.outgoing() == b"\x15\3\3\0\2\2\x32"


@pytest.mark.parametrize("chunk", [1, 1000])
@pytest.mark.parametrize(
    ("data", "who"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "an HTTP server"),
        (b"220 mail ESMTP\r\n", "an SMTP server"),
        (b"SSH-2.0-x\r\n", "an SSH server"),
    ],
)
def test_a_server_that_does_not_speak_tls(data, who, chunk):
    ours = client()
    ours.outgoing()
    error = refusal(ours, data, chunk)
    assert error.code == "not_tls"
    assert chunk == 1 or who in error.what
    assert ours.outgoing() == b"\x15\3\3\0\2\2\x32"


def refusal(ours, data, chunk=1000):
    """The error of our connection that gets these bytes, so many at a time."""
    try:
        for start in range(0, len(data), chunk):
            ours.receive(data[start : start + chunk])
    except HandfastError as error:
        return error
    raise AssertionError("nothing was refused")


def test_what_a_strange_peer_says_is_escaped():
    error = refusal(server(), b"\x1b[31mred\x07")
    assert "red" in error.what
    assert error.what.isprintable()
