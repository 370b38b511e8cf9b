"""The secrets of sessions: told to those who asked, under the right name, and shown to nobody else."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from handfast.credentials.signers import DEFERRED
from handfast.events import Event, Secret, SecretDerived, SecretLevel
from handfast.handshake.needs import Issue, Need, Redeem
from handfast.roles import Role
from handfast.wire.messages import ClientHello
from tests.lies import APPLICATION_DATA, Record, change, flipped
from tests.peer import Client, Server
from tests.protocol.ours import SECP256R1, both_roles, client, server
from tests.protocol.sessions import KEY, QUESTION, Guard, Keeping, early, given, ticket
from tests.protocol.test_secrets import assert_only_the_boundary_shows, assert_shows_none
from tests.scripted import Peer

RETRY: dict[Role, dict[str, Any]] = {Role.CLIENT: {"group": SECP256R1}, Role.SERVER: {"shared_groups": ()}}


def resuming(role: Role, *, sinks: Any = (), observers: Any = (), lies: Any = None, **more: Any) -> Peer:
    """Our connection of this role, which resumes a session and takes or sends early data, and its peer."""
    if role is Role.CLIENT:
        mine = client(sessions=Keeping(given()[1]), early_data=QUESTION, sinks=sinks, observers=observers)
        return Server(mine, psks=(given()[0],), takes_early_data=True, lies=lies or {}, **more)
    ours = server(**early(), sinks=sinks, observers=observers)
    return Client(ours, psks=(ticket(),), early_data=QUESTION, lies=lies or {}, **more)


@pytest.mark.parametrize("retry", [True, False])
@both_roles
def test_secrets_are_told_with_the_random_of_the_hello(role, retry):
    """From the first on: a key log line with another random would be of no use."""
    secrets: list[Secret] = []
    peer = resuming(role, sinks=[secrets.append], **(RETRY[role] if retry else {})).run()
    assert peer.complete, peer.connection.error
    hello = peer.got(ClientHello) if role is Role.CLIENT else None
    randoms = {secret.client_random for secret in secrets}
    assert len(randoms) == 1
    assert len(min(randoms)) == 32
    if hello is not None:
        assert randoms == {hello.random}


@both_roles
def test_the_secrets_of_a_resumption(role):
    secrets: list[Secret] = []
    peer = resuming(role, sinks=[secrets.append]).run()
    values = {secret.name: secret for secret in secrets}
    psk = given()[0] if role is Role.CLIENT else ticket()
    assert values["psk"].value == psk.key
    assert values["psk"].level is values["binder_key"].level is SecretLevel.ALL
    assert values["early_exporter_secret"].value == peer.early_exporter.value  # type: ignore[attr-defined]
    early_secret = values["client_early_traffic_secret"]
    assert (early_secret.keylog_label, early_secret.level) == ("CLIENT_EARLY_TRAFFIC_SECRET", SecretLevel.TRAFFIC)
    names = [secret.name for secret in secrets]
    assert names[:3] == ["psk", "early_secret", "binder_key"]
    assert names.index("client_early_traffic_secret") < names.index("handshake_secret")


@both_roles
def test_a_secret_comes_before_the_event_that_tells_of_it(role):
    story: list[Secret | Event] = []
    assert resuming(role, sinks=[story.append], observers=[story.append]).run().complete
    known = set()
    for told in story:
        if isinstance(told, Secret):
            known.add(told.name)
        elif isinstance(told, SecretDerived):
            assert told.name in known


@both_roles
def test_no_secret_in_a_repr(role):
    secrets: list[Secret] = []
    events: list[object] = []
    peer = resuming(role, sinks=[secrets.append], observers=[events.append]).run()
    connection = peer.connection
    assert_shows_none("\n".join(map(repr, [*events, *secrets, connection, connection.info, *peer.results])), secrets)
    assert_shows_none(repr(vars(connection)), secrets)
    parts = [vars(part) for part in vars(connection).values() if hasattr(part, "__dict__")]
    assert_shows_none(repr(parts), secrets)


def test_no_secret_in_the_repr_of_a_need():
    """A need is what a program sees, and may print."""
    secrets: list[Secret] = []
    needs: list[Need] = []

    class Late:
        """Defers everything."""

        scope, since = b"the guard", 0.0

        def issue(self, state, policy, lifetime, client):
            return DEFERRED

        def redeem(self, identity, policy):
            return DEFERRED

        def first_use(self, key, seconds):
            return DEFERRED

    def answer(connection):
        from handfast.sessions.tickets import SealedTickets

        while (need := connection.need) is not None:
            needs.append(need)
            known = SealedTickets([KEY])
            value: object = True
            if isinstance(need, Redeem):
                value = known.redeem(need.ticket, need.policy)
            elif isinstance(need, Issue):
                value = known.issue(need.state, need.policy, need.lifetime)
            connection.answer(need, value)

    late = Late()
    ours = server(**{**early(), "tickets": late, "replay_guard": late}, sinks=[secrets.append])
    assert Client(ours, psks=(ticket(),), early_data=QUESTION, on_need=answer).run().complete
    assert [type(need).__name__ for need in needs] == ["Redeem", "CheckReplay", "Issue", "Issue"]
    assert_shows_none("\n".join(map(repr, needs)), secrets)


LIES: dict[Role, dict[str, dict[str, Any]]] = {
    Role.CLIENT: {
        "a wrong Finished": {"Finished": change(verify_data=bytes(32))},
        "another suite": {"ServerHello": change(cipher_suite=0x1303)},
        "the suite of another hash": {"ServerHello": change(cipher_suite=0x1302)},
    },
    Role.SERVER: {
        "a wrong Finished": {"Finished": change(verify_data=bytes(32))},
        "a wrong binder": {"BoundClientHello": change(random=bytes(32))},
        "a wrong record": {"EarlyData": Record(APPLICATION_DATA, QUESTION, damage=flipped)},
        "too much": {"EarlyData": Record(APPLICATION_DATA, bytes(5000))},
    },
}


@pytest.mark.parametrize(("role", "lie"), [(role, lie) for role in Role for lie in LIES[role]])
def test_no_secret_in_the_traceback_of(role, lie):
    secrets: list[Secret] = []
    peer = resuming(role, sinks=[secrets.append], lies=LIES[role][lie]).run()
    assert peer.raised is not None
    known = [*secrets, *secrets] if len(secrets) < 5 else secrets
    assert_only_the_boundary_shows(peer.raised, known)


@pytest.mark.parametrize("where", ["tickets_to_send", "send_tickets", "consider_early_data"])
def test_no_secret_in_the_traceback_or_the_log_of_a_bug(where, monkeypatch, caplog):
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("in the middle of it")

    monkeypatch.setattr(f"handfast.handshake.server13.{where}", broken)
    caplog.set_level(logging.DEBUG)
    secrets: list[Secret] = []
    peer = resuming(Role.SERVER, sinks=[secrets.append]).run()
    assert peer.raised is not None
    known = secrets * 2
    assert_only_the_boundary_shows(peer.raised, known)
    assert_shows_none(caplog.text + repr([vars(record) for record in caplog.records]), known)
    assert "in the middle of it" in caplog.text


def test_a_store_that_fails_tells_the_log_no_secret(caplog):
    secrets: list[Secret] = []

    class Failing:
        def issue(self, state, policy, lifetime, client):
            raise ValueError("no room")

        def redeem(self, identity, policy):
            raise ValueError("not found")

    caplog.set_level(logging.DEBUG)
    ours = server(**{**early(), "tickets": Failing(), "replay_guard": Guard(lambda: 1 / 0)}, sinks=[secrets.append])
    assert Client(ours, psks=(ticket(),), early_data=QUESTION).run().complete
    assert "not found" in caplog.text
    assert_shows_none(caplog.text + repr([vars(record) for record in caplog.records]), secrets)
