"""Secrets reach those who asked for them, in time, and nobody else: no traceback, log or repr shows one."""

from __future__ import annotations

import gc
import logging
import traceback
from dataclasses import replace

import pytest

from handfast.engine import ClientAuth, Connection
from handfast.errors import HandfastError
from handfast.events import Epoch, RecordSeen, Secret, SecretDerived, SecretLevel
from handfast.keys.schedule import TrafficSecret
from handfast.roles import Direction, Role
from handfast.verdict import refuse
from tests import certificates
from tests.lies import APPLICATION_DATA, Record, Wire, change, flipped
from tests.protocol.ours import Judge, both_roles, client, meet, server

GARBAGE = Wire(b"\x17\3\3\0\x20" + bytes(32))


def mutual(role, secrets, **more):
    """Our connection, whose secrets are recorded, and its peer, both with certificates."""
    ours = {"sinks": [secrets.append], **more.pop("ours", {})}
    if role is Role.SERVER:
        return meet(
            role, {"client_auth": ClientAuth.REQUIRE_AND_VERIFY, **ours}, identity=certificates.client(), **more
        )
    return meet(role, ours, requests_certificate=True, **more)


def raising(error):
    def answer():
        raise error

    return answer


# Tracebacks, whose locals debuggers and crash reporters show


def shown_by(error):
    """Everything that a traceback with locals shows of an error and of the errors behind it."""
    shown, errors = [], [error]
    while errors:
        error = errors.pop()
        errors += [behind for behind in (error.__context__, error.__cause__) if behind is not None]
        shown += [repr(error), str(error), repr(vars(error))]
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if "/handfast/" in frame.f_code.co_filename:
                for value in frame.f_locals.values():
                    shown += [repr(value), repr(getattr(value, "__dict__", ""))]
    return "\n".join(shown)


def assert_only_the_boundary_shows(error, secrets):
    """The frames are those of the entry that was called, nothing stands behind the error, and no local is a secret."""
    assert error.__context__ is None
    assert error.__cause__ is None
    files = {frame.filename for frame in traceback.extract_tb(error.__traceback__) if "/handfast/" in frame.filename}
    assert {file.partition("/handfast/")[2] for file in files} <= {
        "engine/alerts.py",
        "engine/connection.py",
        "engine/driver.py",
    }
    assert_shows_none(shown_by(error), secrets)


def assert_shows_none(text, secrets):
    assert len(secrets) >= 5
    for secret in secrets:
        assert repr(secret.value)[2:-1] not in text, secret.name
        assert secret.value.hex() not in text, secret.name


@pytest.mark.parametrize(
    "lies",
    [
        {"Finished": lambda finished: replace(finished, verify_data=flipped(finished.verify_data))},
        {"CertificateVerify": change(signature=bytes(70))},
        {"Finished": GARBAGE},
        {"Certificate": b"\x0b\0\0\1?"},
    ],
    ids=["a wrong Finished", "a wrong proof", "a record that does not open", "a message that does not decode"],
)
@both_roles
def test_no_secret_in_the_traceback_of(role, lies):
    secrets: list[Secret] = []
    peer = mutual(role, secrets, lies=lies).run()
    assert peer.raised is not None
    assert_only_the_boundary_shows(peer.raised, secrets)


class PanicException(BaseException):
    """As what Rust code under Python raises: no Exception."""


class Stopped(BaseException):
    """As what ends a thread or a task from outside: gevent's GreenletExit, KeyboardInterrupt."""


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), Stopped(), refuse("expired", "").error()])
@both_roles
def test_no_secret_in_the_traceback_of_a_verifier_that_raises(role, error):
    secrets: list[Secret] = []
    peer = mutual(role, secrets, ours={"verifier": Judge(raising(error))})
    if isinstance(error, Exception):
        raised = peer.run().raised
    else:
        with pytest.raises(type(error)) as caught:
            peer.run()
        assert caught.value is error
        raised = error
    assert peer.connection.error is not None
    assert_only_the_boundary_shows(raised, secrets)


@pytest.mark.parametrize("bug", [RuntimeError, AssertionError, MemoryError, PanicException])
@both_roles
def test_no_secret_in_the_traceback_or_the_log_of_a_bug(role, bug, monkeypatch, caplog):
    """Whatever exception is not ours becomes internal_error, and the connection is dead."""

    def broken(*_):
        raise bug("in the middle of the key schedule")

    monkeypatch.setattr(f"handfast.handshake.{role}13.check_finished", broken)
    caplog.set_level(logging.DEBUG)
    secrets: list[Secret] = []
    peer = mutual(role, secrets).run()
    assert peer.refusal is not None
    assert peer.refusal[:2] == ("internal_error", "internal_error")
    assert peer.raised is not None
    assert_only_the_boundary_shows(peer.raised, secrets)
    assert_shows_none(caplog.text + repr([vars(record) for record in caplog.records]), secrets)
    assert "in the middle of the key schedule" in caplog.text


@both_roles
def test_no_secret_in_the_traceback_of_a_later_call(role):
    secrets: list[Secret] = []
    peer = mutual(role, secrets).run().say(GARBAGE)
    for call in (lambda: peer.connection.send(b"data"), lambda: peer.connection.receive(b""), peer.connection.eof):
        with pytest.raises(HandfastError) as caught:
            call()
        assert_only_the_boundary_shows(caught.value, secrets)


@both_roles
def test_no_secret_in_a_repr(role):
    secrets: list[Secret] = []
    events: list[object] = []
    peer = mutual(role, secrets, ours={"observers": [events.append]}).run()
    peer.connection.update_keys()
    assert_shows_none("\n".join(map(repr, [*events, *secrets, peer.connection, peer.connection.info])), secrets)
    assert_shows_none(repr(vars(peer.connection)), secrets)
    parts = [vars(part) for part in vars(peer.connection).values() if hasattr(part, "__dict__")]
    assert_shows_none(repr(parts), secrets)


# Sinks


DIRECTIONS = {
    "client_handshake_traffic_secret": (Direction.CLIENT_TO_SERVER, Epoch.HANDSHAKE),
    "server_handshake_traffic_secret": (Direction.SERVER_TO_CLIENT, Epoch.HANDSHAKE),
    "client_application_traffic_secret_0": (Direction.CLIENT_TO_SERVER, Epoch.APPLICATION),
    "server_application_traffic_secret_0": (Direction.SERVER_TO_CLIENT, Epoch.APPLICATION),
}


def story_of(role, **options):
    """Secrets and events in the order in which they were told; with data and new keys in both directions."""
    story: list[object] = []
    peer = mutual(role, story, ours={"observers": [story.append]}, **options).run()
    assert peer.complete
    peer.connection.send(b"ours")
    peer.say(Record(APPLICATION_DATA, b"theirs")).update_keys().say(Record(APPLICATION_DATA, b"theirs"))
    peer.connection.update_keys()
    peer.connection.send(b"ours")
    return story


def position(story, wanted):
    return next(index for index, told in enumerate(story) if wanted(told))


@both_roles
def test_every_secret_comes_before_the_first_record_it_protects(role):
    story = story_of(role)
    for name, (direction, epoch) in DIRECTIONS.items():
        secret = position(story, lambda told, name=name: isinstance(told, Secret) and told.name == name)
        record = position(
            story,
            lambda told, direction=direction, epoch=epoch: (
                isinstance(told, RecordSeen) and (told.direction, told.epoch) == (direction, epoch)
            ),
        )
        assert secret < record, name


@both_roles
def test_the_secrets_of_new_keys_come_before_the_first_record_they_protect(role):
    story = story_of(role)
    for side in Role:
        name = f"{side}_application_traffic_secret_1"
        secret = position(story, lambda told, name=name: isinstance(told, Secret) and told.name == name)
        data = [
            index
            for index, told in enumerate(story)
            if isinstance(told, RecordSeen) and told.direction is side.sends and told.content_type == APPLICATION_DATA
        ]
        assert data[-2] < secret < data[-1]


def test_application_secrets_come_before_our_record_that_holds_finished():
    """So that a capture has them when it has the record after which they are needed."""
    for role in Role:
        story = story_of(role)
        ours = [
            index
            for index, told in enumerate(story)
            if isinstance(told, RecordSeen) and (told.direction, told.epoch) == (role.sends, Epoch.HANDSHAKE)
        ]
        for name in ("client_application_traffic_secret_0", "server_application_traffic_secret_0", "exporter_secret"):
            secret = position(story, lambda told, name=name: isinstance(told, Secret) and told.name == name)
            assert secret < ours[-1]


@both_roles
def test_a_secret_comes_before_the_event_that_tells_of_it(role):
    known = set()
    for told in story_of(role):
        if isinstance(told, Secret):
            known.add(told.name)
        elif isinstance(told, SecretDerived):
            assert told.name in known


@both_roles
def test_the_secrets_of_a_handshake_in_their_order(role):
    secrets: list[Secret] = []
    peer = mutual(role, secrets).run()
    assert [secret.name for secret in secrets] == [
        "early_secret",
        "derived_from_early_secret",
        "shared_secret",
        "handshake_secret",
        "client_handshake_traffic_secret",
        "server_handshake_traffic_secret",
        "derived_from_handshake_secret",
        "main_secret",
        "client_application_traffic_secret_0",
        "server_application_traffic_secret_0",
        "exporter_secret",
        "resumption_secret",
    ]
    values = {secret.name: secret.value for secret in secrets}
    assert values["client_application_traffic_secret_0"] == peer.application_secrets[0].value
    assert values["server_application_traffic_secret_0"] == peer.application_secrets[1].value
    assert values["exporter_secret"] == peer.exporter.value
    assert {secret.name for secret in secrets if secret.level is SecretLevel.ALL} == {
        "exporter_secret",
        "resumption_secret",
    }


@both_roles
def test_secrets_are_told_with_the_random_of_the_hello_that_counts(role):
    """The one that key logs name a connection by; both hellos of a retry have it."""
    secrets: list[Secret] = []
    peer = mutual(role, secrets, **({"group": 23} if role is Role.CLIENT else {"shared_groups": ()})).run()
    assert peer.complete
    randoms = {secret.client_random for secret in secrets}
    assert len(randoms) == 1
    if role is Role.CLIENT:
        assert randoms == {message.random for message in peer.messages[:2]}


@both_roles
def test_without_a_sink_nothing_is_told_and_all_is_the_same(role):
    peer = meet(role).run()
    assert peer.complete
    assert peer.connection.export("EXPORTER-a", b"", 32) == peer.exporter.export("EXPORTER-a", b"", 32)


# Memory


def secrets_in_memory() -> set[bytes]:
    """The values of all traffic secrets that are still there."""
    gc.collect()
    return {one.value for one in gc.get_objects() if type(one) is TrafficSecret}


def test_nothing_keeps_an_application_traffic_secret_that_a_key_update_replaced():
    secrets: list[Secret] = []
    ends = client(sinks=[secrets.append]), server()
    exchange(*ends)
    first = {one.value for one in secrets if one.name.endswith("_application_traffic_secret_0")}
    assert secrets_in_memory() & first == first
    for end in ends:
        end.update_keys()
        exchange(*ends)
    assert secrets_in_memory() & first == set()


def exchange(*ends: Connection) -> None:
    """Carry what both have to say, until neither says more."""
    while any(end.wants_write for end in ends):
        for end, other in (ends, ends[::-1]):
            other.receive(end.outgoing())
