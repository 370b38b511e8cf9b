"""Sessions of TLS 1.2 between two connections of ours: what survives, what is judged again, what keeps them apart."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from handfast import limits
from handfast.engine import ClientAuth, ClientConfig, ServerConfig, VerifiedPeer
from handfast.events import Event, MessageSeen, Negotiated, PeerJudged, Secret
from handfast.handshake.tls12.client_resumption import partition_12
from handfast.roles import Role
from handfast.sessions.cache import SessionCache
from handfast.sessions.state12 import ClientSession12, TicketState12
from handfast.sessions.tickets import SealedTickets, StoredTickets
from handfast.trust.roots import Roots
from handfast.trust.verifiers import PathVerifier
from handfast.verdict import accept
from handfast.wire.messages12 import Certificate, CertificateRequest, NewSessionTicket, ServerKeyExchange
from tests import certificates
from tests.protocol.ours import Judge, credentials
from tests.protocol.sessions import KEY, KnownJudge, World, data_of
from tests.protocol.test_resumption import HOUR, mutual, no, once, real_world, renewals
from tests.protocol12.ours12 import ONLY, TLS12, TLS13

BOTH_VERSIONS = (TLS13, TLS12)


class ReusableTickets(StoredTickets):
    """A store that forgets nothing."""

    reusable = True

    def redeem(self, ticket: bytes, policy: bytes) -> bytes | None:
        state = super().redeem(ticket, policy)
        if state is not None:
            self.keep(ticket, state, policy, 60)
        return state


def world_12(*, client: dict[str, Any] | None = None, server: dict[str, Any] | None = None) -> World:
    """A world whose server speaks TLS 1.2 alone."""
    return World(client={"versions": BOTH_VERSIONS, **(client or {})}, server={**ONLY, **(server or {})})


def mutual_12(**server: Any) -> World:
    return mutual((TLS12,), **server)


def kept(world: World) -> ClientSession12:
    """The client's newest session, which it keeps."""
    partition = partition_12(ClientConfig(**world.client), "localhost")
    session = world.client["sessions"].take(partition)
    assert isinstance(session, ClientSession12)
    world.client["sessions"].put(partition, session)
    return session


# What survives


@pytest.mark.parametrize("watched", [True, False])
@pytest.mark.parametrize("versions", [BOTH_VERSIONS, (TLS12,)], ids=["both versions", "1.2 alone"])
@pytest.mark.parametrize("tickets", [SealedTickets, lambda: SealedTickets([KEY]), StoredTickets, ReusableTickets])
def test_a_session_is_resumed_again_and_again(tickets, versions, watched):
    world = mutual_12(tickets=tickets())
    world.client["versions"] = versions
    assert [world.meet(watched=watched).resumed for _ in range(4)] == [False, True, True, True]


def test_nothing_is_resumed_unless_both_want_it():
    for missing in ({"client": {"sessions": None}}, {"server": {"tickets": None}}, {"server": {"ticket_count": 0}}):
        world = world_12(**missing)
        assert [world.meet().resumed for _ in range(2)] == [False, False]
    # Nor is anything kept under an id.
    world = world_12(server={"tickets": StoredTickets(), "ticket_count": 0})
    assert [world.meet().resumed for _ in range(2)] == [False, False]


def test_chain_verdict_and_identity_survive_in_both_roles():
    world = mutual_12()
    verdict = accept(certificates.client().chain)
    world.judge_of_server.answer = verdict
    for resumed in (False, True, True):
        pair = world.meet()
        assert pair.resumed == resumed
        theirs, ours = pair.client.info, pair.server.info
        assert (theirs.version, theirs.suite, theirs.group is None) == (TLS12, ours.suite, resumed)
        assert isinstance(theirs.verified_peer, VerifiedPeer)
        assert theirs.verified_peer.chain == theirs.peer_chain == certificates.server().chain
        assert isinstance(ours.verified_peer, VerifiedPeer)
        assert ours.verified_peer.chain == ours.peer_chain == certificates.client().chain
        assert ours.verified_peer.verdict is verdict
        assert ours.client_auth_requested == (not resumed)
        assert theirs.session_identified == resumed


def test_a_resumed_connection_is_as_good_as_another():
    world = world_12(client={"application_protocols": ("h2",)}, server={"application_protocols": ("h2",)})
    world.meet()
    pair = world.meet()
    assert pair.resumed
    assert pair.client.info.application_protocol == pair.server.info.application_protocol == "h2"
    assert pair.client.export("EXPORTER-a", b"", 32) == pair.server.export("EXPORTER-a", b"", 32)
    pair.client.send(b"question")
    pair.run()
    pair.server.send(b"answer" * 10_000)
    pair.run()
    assert (data_of(pair.client_results), data_of(pair.server_results)) == (b"answer" * 10_000, b"question")


def test_two_connections_of_one_session_have_keys_of_their_own():
    world = world_12(server={"tickets": ReusableTickets()})
    world.meet()
    exported = {world.meet().client.export("EXPORTER-a", b"", 32) for _ in range(3)}
    assert len(exported) == 3


def test_what_who_watches_sees():
    world = mutual_12()
    world.meet()
    told: dict[Role, list[Event]] = {role: [] for role in Role}
    secrets: dict[Role, list[Secret]] = {role: [] for role in Role}
    from handfast.engine import ClientConnection, ServerConnection
    from tests.protocol.sessions import Pair

    ours = ClientConnection(
        ClientConfig(**world.client), server_name="localhost", seams=world.seams,
        observers=[told[Role.CLIENT].append], secret_sinks=[secrets[Role.CLIENT].append],
    )  # fmt: skip
    theirs = ServerConnection(
        ServerConfig(**world.server), seams=world.seams,
        observers=[told[Role.SERVER].append], secret_sinks=[secrets[Role.SERVER].append],
    )  # fmt: skip
    assert Pair(ours, theirs).run().resumed
    logged = [[(one.keylog_label, one.client_random, one.value) for one in secrets[role]] for role in Role]
    assert logged[0] == logged[1]
    assert [label for label, _, _ in logged[0]] == ["CLIENT_RANDOM", ""]
    for role in Role:
        [negotiated] = [event for event in told[role] if isinstance(event, Negotiated)]
        assert (negotiated.version, negotiated.group) == (TLS12, None)
        [verdict] = [event for event in told[role] if isinstance(event, PeerJudged)]
        assert verdict.direction is role.peer.sends
        shown = [type(event.message) for event in told[role] if isinstance(event, MessageSeen)]
        assert not {Certificate, CertificateRequest, ServerKeyExchange, NewSessionTicket} & set(shown)


# Judged again, each time. What is the same in TLS 1.3 stands in tests/protocol/test_resumption.py.


def test_a_client_that_changes_its_mind_does_not_offer_its_session():
    world = world_12()
    world.meet()
    world.judge_of_client.answer = once(no(), accept())
    assert not world.meet().resumed
    world.judge_of_client.answer = accept()
    assert world.meet().resumed


@pytest.mark.parametrize("end", ["client", "server"])
def test_a_certificate_that_expires_ends_its_sessions(end):
    ca, world = real_world()
    world.server |= ONLY
    if end == "server":
        world.server |= {"credentials": (credentials(ca.server("localhost", days=0.5 / 24)),), "client_auth": "none"}
        world.server["client_auth"] = ClientAuth.NONE
    world.client["versions"] = BOTH_VERSIONS
    assert [world.meet().resumed for _ in range(2)] == [False, True]
    world.now += HOUR
    pair = world.meet()
    error = pair.server.error if end == "client" else pair.client.error
    assert error is not None
    assert error.code == "expired"
    assert not pair.server.info.resumed


# What keeps sessions apart

OTHERS: dict[str, dict[str, Any]] = {
    "another server name": {"name": "server.example.com"},
    "another verifier of the client": {"client": {"verifier": Judge()}},
    "another identity of the client": {"client": {"credentials": (credentials(certificates.client(name="bob")),)}},
    "no identity of the client": {"client": {"credentials": ()}},
    "other protocols": {"client": {"application_protocols": ("h2",)}},
    "a verdict that is not enforced": {"client": {"enforce_verdict": False}},
    "another verifier of the server": {"server": {"verifier": Judge()}},
    "no verifier of the server": {"server": {"verifier": None}},
    "another way to ask for a certificate": {"server": {"client_auth": ClientAuth.VERIFY_IF_GIVEN}},
    "other ticket keys": {"server": {"tickets": SealedTickets()}},
    "another store": {"server": {"tickets": StoredTickets()}},
    "no tickets": {"server": {"tickets": None}},
    "another suite": {"server": {"suites": (0xC02C,)}},
    "other suites of the client": {"client": {"suites": (0xC02C,)}},
    "another version": {"server": {"versions": (TLS13,)}},
    "a server that learnt another version": {"server": {"versions": BOTH_VERSIONS}},
}
SUITES = {"suites": (0x1301, 0xC02B, 0xC02C)}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_not_resumed_under(other):
    world = world_12(client=SUITES, server={**SUITES, "client_auth": ClientAuth.REQUEST})
    world.client["credentials"] = (credentials(certificates.client()),)
    assert [world.meet().resumed for _ in range(2)] == [False, True]
    assert not world.meet(**other).resumed


def test_sessions_of_both_versions_are_kept_side_by_side():
    world = World(client={"versions": BOTH_VERSIONS}, server={"versions": BOTH_VERSIONS, "verifier": None})
    versions = []
    for options in ({}, {"server": ONLY}, {}, {"client": ONLY}, {}):
        pair = world.meet(**options)
        versions.append((pair.client.info.version, pair.resumed))
    # The second offers a session of 1.3, which is lost on that server.
    assert versions == [(TLS13, False), (TLS12, False), (TLS13, True), (TLS12, True), (TLS13, True)]


def test_a_ticket_of_one_version_is_none_of_the_other():
    from handfast.sessions.state import TicketState

    world = world_12()
    opened: list[bytes] = []

    class Watching(SealedTickets):
        def issue(self, state: bytes, policy: bytes, lifetime: int, client: bytes = b"") -> bytes | None:
            opened.append(state)
            return super().issue(state, policy, lifetime)

    world.server["tickets"] = Watching([KEY])
    world.meet()
    assert TicketState12.decode(opened[0]) is not None
    assert TicketState.decode(opened[0]) is None
    world.meet(client={"versions": (TLS13,)}, server={"versions": (TLS13,)})
    assert TicketState12.decode(opened[1]) is None
    assert "main_secret" not in repr(TicketState12.decode(opened[0]))


# Time


@pytest.mark.parametrize("tickets", [SealedTickets, StoredTickets])
def test_a_ticket_lives_as_long_as_the_server_said(tickets):
    world = world_12(server={"ticket_lifetime": 100})
    world.server["tickets"] = tickets(clock=lambda: world.now)
    for age, resumed in ((99, True), (100, False), (101, False)):
        world.meet()
        world.now += age
        assert world.meet().resumed == resumed
        world.client["sessions"] = SessionCache()


@pytest.mark.parametrize("tickets", [SealedTickets, StoredTickets])
def test_the_first_authentication_caps_the_life_of_all_that_come_after(tickets):
    def kept_by(**server: Any) -> World:
        world: World = world_12(server=server)
        world.server["tickets"] = tickets(clock=lambda: world.now)
        return world

    week = limits.MAX_TICKET_LIFETIME
    assert renewals(kept_by(session_lifetime=5 * HOUR), 30) == 4
    assert renewals(kept_by(session_lifetime=week, ticket_lifetime=week), 30) == 23


def test_a_reusable_ticket_is_renewed_when_half_its_life_is_over():
    world = world_12(server={"ticket_lifetime": 100})
    world.meet()
    first = kept(world)
    for seconds, renewed in ((49, False), (1, True)):
        world.now += seconds
        assert world.meet().resumed
        assert (kept(world).ticket != first.ticket) == renewed
    assert kept(world).authenticated_at == first.authenticated_at
    assert kept(world).main_secret == first.main_secret
    assert (first.lifetime, kept(world).received_at - first.received_at) == (100, 50)


def test_a_used_up_ticket_is_replaced_at_once():
    world = world_12(server={"tickets": StoredTickets()})
    world.meet()
    first = kept(world)
    assert world.meet().resumed
    assert kept(world).ticket != first.ticket


# Which sessions are kept at all


@pytest.mark.parametrize("role", list(Role))
def test_no_session_without_the_extended_main_secret(role):
    """Neither side keeps one; RFC 7627 5.3 then has nothing to fall back from."""
    from tests.protocol12.test_resumption import old_client, old_server

    assert (old_client if role is Role.SERVER else old_server)() is None


def test_a_store_that_fails_costs_the_resumption_alone():
    class Failing:
        def issue(self, state: bytes, policy: bytes, lifetime: int, client: bytes = b"") -> bytes:
            raise OSError("no store")

        def redeem(self, ticket: bytes, policy: bytes) -> bytes:
            raise OSError("no store")

        def find(self, session_id: bytes, policy: bytes) -> bytes:
            raise OSError("no store")

        def keep(self, session_id: bytes, state: bytes, policy: bytes, lifetime: int, client: bytes = b"") -> None:
            raise OSError("no store")

    world = world_12(server={"tickets": Failing()})
    assert [world.meet().resumed for _ in range(2)] == [False, False]
    assert len(world.client["sessions"]) == 0
    world.server["tickets"] = StoredTickets()
    world.meet()
    assert [world.meet(server={"tickets": Failing()}).resumed, world.meet().resumed] == [False, False]


def test_a_clients_store_that_fails_is_done_without():
    class Failing:
        def put(self, partition: bytes, session: Any) -> None:
            raise OSError("no store")

        def take(self, partition: bytes) -> Any:
            raise OSError("no store")

    world = world_12(client={"sessions": Failing()})
    assert [world.meet().resumed for _ in range(2)] == [False, False]


def test_the_ocsp_response_survives_and_is_judged_again():
    root = certificates.ca()
    response = root.ocsp_response(certificates.server())
    verifier = PathVerifier(Roots.from_der([root.certificate_der]), ocsp="require")
    stapling = replace(credentials(certificates.server()), ocsp_response=response)
    world = world_12(client={"verifier": verifier}, server={"credentials": (stapling,)})
    world.now = time.time()
    for resumed in (False, True):
        info = world.meet().client.info
        assert (info.resumed, info.ocsp_response) == (resumed, response)
    world.now += 60 * 24 * HOUR
    error = world.meet().client.error
    assert error is not None
    assert error.code in ("expired", "ocsp_stale")


class Handle:
    """Credentials that are loaded anew by setting ``current``."""

    def __init__(self) -> None:
        self.current = credentials(certificates.client())


@pytest.mark.parametrize("changes", [False, True])
def test_a_session_of_whom_we_were_is_not_kept_for_whom_we_became(changes):
    handle = Handle()

    def judge_and_change():
        if changes:
            handle.current = credentials(certificates.client(name="mallory"))
        return accept()

    world = mutual_12(verifier=KnownJudge(judge_and_change))
    world.client["credentials"] = (handle,)
    assert [world.meet().resumed for _ in range(2)] == [False, not changes]
