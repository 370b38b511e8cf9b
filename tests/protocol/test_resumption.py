"""Sessions between two connections of ours: what survives, what is judged again, and what keeps them apart."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from handfast import limits
from handfast.credentials.signers import DEFERRED
from handfast.engine import (
    ClientAuth,
    ClientConfig,
    ClientConnection,
    ServerConfig,
    ServerConnection,
    UnverifiedPeer,
    VerifiedPeer,
)
from handfast.errors import ApiMisuse, ConnectionLost, LocalFailure
from handfast.events import Event, MessageSeen, PeerJudged
from handfast.handshake.negotiate import TLS12, TLS13
from handfast.pki.authority import CertificateAuthority
from handfast.roles import Role
from handfast.sessions.cache import SessionCache
from handfast.sessions.tickets import SealedTickets, StoredTickets
from handfast.trust.revocation.crl_store import Crls
from handfast.trust.roots import Roots
from handfast.trust.verifiers import PathVerifier
from handfast.verdict import accept, refuse
from handfast.wire.extensions import ClientTicketRequest, ServerNameAcknowledged, ServerTicketRequestHint
from handfast.wire.messages import CertificateEntry, EncryptedExtensions, ServerHello
from tests import certificates
from tests.lies import change
from tests.peer import Client
from tests.protocol.later import our_client
from tests.protocol.ours import Judge, credentials, server
from tests.protocol.sessions import KEY, KnownJudge, Pair, World, data_of, sealing, ticket

REQUIRED = ClientAuth.REQUIRE_AND_VERIFY
MUTUAL: dict[str, Any] = {
    "client": {"credentials": (credentials(certificates.client()),)},
    "server": {"client_auth": REQUIRED},
}
HOUR = 3600
# What a server speaks; its clients speak both.
EACH_VERSION = pytest.mark.parametrize("versions", [(TLS13,), (TLS12,)], ids=["1.3", "1.2"])


def mutual(versions: tuple[int, ...], **server: Any) -> World:
    """A world in which clients show who they are, to a server that speaks these versions."""
    return World(client=MUTUAL["client"], server={**MUTUAL["server"], "versions": versions, **server})


def once(first: object, then: object) -> Callable[[], object]:
    """An answer that is another one the second time."""
    answers = [then, first]
    return lambda: answers.pop() if len(answers) > 1 else answers[0]


def no() -> object:
    return refuse("unknown_issuer", "not any more")


# What survives


@pytest.mark.parametrize("watched", [True, False])
@pytest.mark.parametrize("tickets", [SealedTickets, lambda: SealedTickets([KEY]), StoredTickets])
def test_a_session_is_resumed_again_and_again(tickets, watched):
    world = World(**MUTUAL)
    world.server["tickets"] = tickets()
    assert [world.meet(watched=watched).resumed for _ in range(4)] == [False, True, True, True]


def test_chain_and_verdict_survive_in_both_roles():
    world = World(**MUTUAL)
    verdict = accept(certificates.client().chain)
    world.judge_of_server.answer = verdict
    for resumed in (False, True, True):
        pair = world.meet()
        assert pair.resumed == resumed
        theirs, ours = pair.client.info, pair.server.info
        assert isinstance(theirs.verified_peer, VerifiedPeer)
        assert theirs.verified_peer.chain == theirs.peer_chain == certificates.server().chain
        assert isinstance(ours.verified_peer, VerifiedPeer)
        assert ours.verified_peer.chain == ours.peer_chain == certificates.client().chain
        assert ours.verified_peer.verdict is verdict
        assert ours.client_auth_requested == (not resumed)


@EACH_VERSION
def test_what_came_beside_the_leaf_survives_in_both_roles(versions):
    """From session to session. In TLS 1.2, which the client decides on, clients present nothing there."""

    def shown(issued, *timestamps):
        return (replace(credentials(issued), ocsp_response=b"a response", sct_list=timestamps),)

    asks: dict[str, Any] = {"ask_for_ocsp_response": True, "ask_for_timestamps": True}
    world = World(
        client={"credentials": shown(certificates.client(), b"alice's"), "versions": versions, **asks},
        server={
            "credentials": shown(certificates.server(), b"the server's", b"another"),
            "client_auth": REQUIRED,
            **asks,
        },
    )
    of_client = (b"a response", (b"alice's",)) if versions == (TLS13,) else (b"", ())
    for resumed in (False, True, True):
        pair = world.meet()
        assert pair.resumed == resumed
        theirs, ours = pair.client.info, pair.server.info
        of_server = b"a response", (b"the server's", b"another")
        assert (theirs.ocsp_response, theirs.signed_certificate_timestamps) == of_server
        assert (ours.ocsp_response, ours.signed_certificate_timestamps) == of_client


@EACH_VERSION
@pytest.mark.parametrize(("size", "kept"), [(limits.MAX_STORED_CHAIN // 2, True), (limits.MAX_STORED_CHAIN, False)])
def test_timestamps_count_for_the_size_of_a_session(versions, size, kept):
    stapled = replace(credentials(certificates.server()), sct_list=(bytes(size),))
    world = World(client={"ask_for_timestamps": True}, server={"credentials": (stapled,), "versions": versions})
    assert [world.meet().resumed for _ in range(2)] == [False, kept]


def test_a_resumed_connection_is_as_good_as_another():
    world = World(client={"application_protocols": ("h2",)}, server={"application_protocols": ("h2",)})
    world.meet()
    pair = world.meet()
    assert pair.resumed
    assert pair.client.info.application_protocol == pair.server.info.application_protocol == "h2"
    assert pair.client.export("EXPORTER-a", b"", 32) == pair.server.export("EXPORTER-a", b"", 32)
    pair.client.send(b"question")
    pair.client.update_keys(request=True)
    pair.run()
    pair.server.send(b"answer")
    pair.run()
    assert (data_of(pair.client_results), data_of(pair.server_results)) == (b"answer", b"question")


@pytest.mark.parametrize("observers", [(), (repr,)], ids=["unwatched", "watched"])
@pytest.mark.parametrize("resumed", [True, False])
def test_a_name_is_acknowledged_in_full_handshakes_alone(resumed, observers):
    """RFC 6066 3."""
    ours = server(**sealing(), observers=observers)
    peer = Client(ours, psks=(ticket(),) if resumed else ()).run()
    assert (peer.complete, ours.info.resumed) == (True, resumed)
    assert (peer.got(EncryptedExtensions).find(ServerNameAcknowledged) is None) == resumed


@pytest.mark.parametrize("resumed", [True, False])
def test_who_watches_sees_one_verdict_on_each_connection(resumed):
    """It is told where the session is taken up; nothing is told of a session that was offered in vain."""
    world = World(**MUTUAL)
    world.meet()
    told: dict[Role, list[Event]] = {role: [] for role in Role}
    tickets = world.server["tickets"] if resumed else SealedTickets()
    ours = ClientConnection(
        ClientConfig(**world.client), server_name="localhost", seams=world.seams, observers=[told[Role.CLIENT].append]
    )
    theirs = ServerConnection(
        ServerConfig(**{**world.server, "tickets": tickets}), seams=world.seams, observers=[told[Role.SERVER].append]
    )
    assert Pair(ours, theirs).run().resumed == resumed
    for role in Role:
        [verdict] = [event for event in told[role] if isinstance(event, PeerJudged)]
        assert verdict.direction is role.peer.sends
        before = [event for event in told[role][: told[role].index(verdict)] if isinstance(event, MessageSeen)]
        assert any(isinstance(event.message, ServerHello) for event in before)


# Known from the Finished on


@EACH_VERSION
def test_a_recorded_hello_makes_nobody_a_verified_peer(versions):
    """It has a ticket and its binder, and who sends it again need not hold the PSK."""
    world = mutual(versions)
    world.meet()
    recorded = world.pair().client.outgoing()
    ours = ServerConnection(ServerConfig(**world.server), seams=world.seams)
    ours.receive(recorded)
    assert ours.error is None
    assert not ours.connected
    assert (ours.info.peer, ours.info.peer_chain, ours.info.session_peer) == (None, (), None)
    with pytest.raises(ConnectionLost):
        ours.eof()
    assert (ours.info.verified_peer, ours.info.peer_chain) == (None, ())


@EACH_VERSION
def test_a_resumed_client_is_known_once_its_finished_came(versions):
    world = mutual(versions)
    world.meet()
    known = []
    pair = world.pair().run(lambda server: known.append((server.connected, server.info.verified_peer is not None)))
    assert pair.resumed
    assert known == [(False, False), (True, True)]


@EACH_VERSION
def test_a_resumed_server_is_known_once_its_finished_came(versions):
    world = mutual(versions)
    world.meet()
    pair = world.pair()
    pair.server.receive(pair.client.outgoing())
    flight = pair.server.outgoing()
    pair.client.receive(flight[: -len(flight) // 3])
    assert not pair.client.connected
    assert (pair.client.info.peer, pair.client.info.peer_chain) == (None, ())
    pair.client.receive(flight[-len(flight) // 3 :])
    assert pair.client.info.verified_peer is not None


# Judged again, each time


@EACH_VERSION
@pytest.mark.parametrize("mode", list(ClientAuth))
def test_the_server_judges_the_chain_of_a_session_each_time(mode, versions):
    world = mutual(versions, client_auth=mode)
    assert [world.meet().resumed for _ in range(3)] == [False, True, True]
    asked = world.judge_of_server.asked
    assert [presented.chain for presented in asked] == [certificates.client().chain] * (0 if mode == "none" else 3)


@EACH_VERSION
def test_the_client_judges_the_chain_of_a_session_each_time(versions):
    world = World(server={"versions": versions})
    for number in range(3):
        world.now += 60
        world.meet()
        assert len(world.judge_of_client.asked) == number + 1
        presented = world.judge_of_client.asked[-1]
        assert (presented.chain, presented.server_name) == (certificates.server().chain, "localhost")
        assert presented.at.timestamp() == world.now


@EACH_VERSION
@pytest.mark.parametrize("mode", [ClientAuth.VERIFY_IF_GIVEN, REQUIRED])
def test_a_server_that_changes_its_mind_asks_anew(mode, versions):
    world = mutual(versions, client_auth=mode)
    world.meet()
    world.judge_of_server.answer = once(no(), accept())
    pair = world.meet()
    assert not pair.resumed
    assert pair.server.info.client_auth_requested
    assert isinstance(pair.server.info.peer, VerifiedPeer)


@EACH_VERSION
def test_a_server_that_keeps_its_mind_refuses(versions):
    world = mutual(versions)
    world.meet()
    world.judge_of_server.answer = no()
    pair = world.meet()
    assert pair.server.error is not None
    assert pair.server.error.code == "unknown_issuer"
    assert pair.server.info.peer_chain == certificates.client().chain


def test_a_client_that_changes_its_mind_does_not_offer_its_session():
    world = World()
    world.meet()
    world.judge_of_client.answer = once(no(), accept())
    seen: list[bool] = []

    def choose(hello: Any) -> Any:
        seen.append(hello.offers_psk)
        return plain(world)

    world.server["choose_config"] = choose
    assert not world.meet().resumed
    assert seen == [False]
    world.judge_of_client.answer = accept()
    assert world.meet().resumed
    assert seen == [False, True]


def plain(world):
    """The server's configuration without the hook that chooses it."""
    return ServerConfig(**{**world.server, "choose_config": None})


@EACH_VERSION
def test_a_client_that_does_not_enforce_resumes_what_it_does_not_trust(versions):
    world = World(client={"enforce_verdict": False}, server={"versions": versions})
    world.judge_of_client.answer = no()
    assert not world.meet().resumed
    pair = world.meet()
    assert pair.resumed
    assert isinstance(pair.client.info.peer, UnverifiedPeer)
    assert pair.client.info.verified_peer is None


def real_world(**more: Any) -> tuple[CertificateAuthority, World]:
    """A world whose verifiers look at certificates; the client's lives for half an hour, tickets live longer."""
    ca = CertificateAuthority.create("Today's CA")
    world = World()
    world.now = time.time()
    verifier = PathVerifier(Roots.from_der([ca.certificate_der]), **more)
    issued = ca.client("alice", days=0.5 / 24)
    world.client |= {"verifier": PathVerifier(verifier.roots), "credentials": (credentials(issued),)}
    world.server |= {"credentials": (credentials(ca.server("localhost")),), "client_auth": REQUIRED}
    world.server["verifier"] = verifier
    return ca, world


def test_a_client_certificate_that_expires_ends_its_sessions():
    _, world = real_world()
    assert [world.meet().resumed for _ in range(2)] == [False, True]
    world.now += HOUR
    pair = world.meet()
    assert not pair.server.info.resumed
    assert pair.server.error is not None
    assert pair.server.error.code == "expired"


def test_a_server_certificate_that_expires_ends_its_sessions():
    ca, world = real_world()
    world.server["client_auth"] = ClientAuth.NONE
    world.server["credentials"] = (credentials(ca.server("localhost", days=0.5 / 24)),)
    assert [world.meet().resumed for _ in range(2)] == [False, True]
    world.now += HOUR
    pair = world.meet()
    assert not pair.client.info.resumed
    assert pair.client.error is not None
    assert pair.client.error.code == "expired"


def test_a_revoked_client_certificate_ends_its_sessions():
    ca, world = real_world()
    world.server["verifier"].crls = Crls.from_pem(ca.crl())
    assert [world.meet().resumed for _ in range(2)] == [False, True]
    chain = world.client["credentials"][0].chain
    from cryptography import x509

    world.server["verifier"].crls = Crls.from_pem(ca.crl([x509.load_der_x509_certificate(chain[0])]))
    pair = world.meet()
    assert not pair.server.info.resumed
    assert pair.server.error is not None
    assert pair.server.error.code == "revoked"


def test_the_session_of_another_root_is_not_resumed():
    ca, world = real_world()
    world.meet()
    other = certificates.other_ca()
    for role, roots in (("client", [ca.certificate_der, other.certificate_der]), ("server", [other.certificate_der])):
        options = {**getattr(world, role), "verifier": PathVerifier(Roots.from_der(roots))}
        pair = world.meet(**{role: options})
        assert not pair.server.info.resumed


def test_a_verifier_that_cannot_say_ends_the_handshake():
    """As it would in a full one: what cannot be judged is not resumed."""
    world = World(**MUTUAL)
    world.meet()
    world.judge_of_server.answer = lambda: 1 / 0
    pair = world.meet()
    assert pair.server.error is not None
    assert pair.server.error.code == "need_failed"
    assert pair.client.error is not None


# What keeps sessions apart


OTHERS: dict[str, dict[str, Any]] = {
    "another server name": {"name": "server.example.com"},
    "another verifier of the client": {"client": {"verifier": Judge()}},
    "another identity of the client": {"client": {"credentials": (credentials(certificates.client(name="bob")),)}},
    "no identity of the client": {"client": {"credentials": ()}},
    "other protocols": {"client": {"application_protocols": ("h2",)}},
    "a verdict that is not enforced": {"client": {"enforce_verdict": False}},
    "another verifier of the server": {"server": {"verifier": Judge()}},
    "no verifier of the server": {"server": {"verifier": None, "client_auth": ClientAuth.REQUEST}},
    "another way to ask for a certificate": {"server": {"client_auth": ClientAuth.VERIFY_IF_GIVEN}},
    "other ticket keys": {"server": {"tickets": SealedTickets()}},
    "another store": {"server": {"tickets": StoredTickets()}},
    "no tickets": {"server": {"tickets": None}},
    "another suite": {"server": {"suites": (0x1302,)}},
    "other suites of the client": {"client": {"suites": (0x1302,)}},
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_not_resumed_under(other):
    world = World()
    world.client["credentials"] = (credentials(certificates.client()),)
    assert [world.meet().resumed for _ in range(2)] == [False, True]
    assert not world.meet(**other).resumed


def test_a_ticket_that_went_to_another_name_of_the_server():
    """A client is free to show it there; the server is not to take it."""
    for name, accepted in ((b"localhost", True), (b"server.example.com", False)):
        peer = Client(server(**sealing()), psks=(ticket(),), server_name=name).run()
        assert peer.complete
        assert (peer.accepted is not None) == accepted


def test_sessions_of_a_verifier_without_an_id_stay_with_its_configuration():
    world = World(client={"verifier": Judge()})
    config = ClientConfig(**world.client)

    def meet(one):
        return (
            Pair(ClientConnection(one, server_name="localhost", seams=world.seams), world.pair().server).run().resumed
        )

    assert [meet(config), meet(config), meet(replace(config)), meet(config)] == [False, True, False, True]


def test_a_long_server_name_is_no_trouble():
    """A name in SNI may have 2^16-1 bytes; what a ticket holds of it must not be less."""
    from handfast.wire.extensions import ServerName, ServerNameList
    from tests.lies import extended

    for size in (255, 256, 5000):
        lie = extended(ServerNameList((ServerName(0, b"a" * size),)))
        first = Client(server(**sealing()), lies={"ClientHello": lie}).run()
        assert first.complete, first.connection.error
        peer = Client(server(**sealing()), lies={"ClientHello": lie}, psks=tuple(first.tickets[:1])).run()
        assert peer.complete
        assert peer.accepted is not None


# Time


def test_a_ticket_lives_as_long_as_the_server_said():
    world = World(server={"ticket_lifetime": 100})
    for age, resumed in ((99, True), (100, False), (101, False)):
        world.meet()
        world.now += age
        assert world.meet().resumed == resumed
        world.client["sessions"] = SessionCache()


def test_the_server_keeps_to_the_life_of_a_ticket_whatever_the_client_does():
    psk = ticket()
    for seconds, resumed in ((0, True), (limits.TICKET_LIFETIME - 60, True), (limits.TICKET_LIFETIME + 1, False)):
        world = World()
        world.now += seconds
        peer = Client(server(**sealing(seams=world.seams)), psks=(psk,)).run()
        assert peer.connection.info.resumed == resumed


def renewals(world: World, limit: int) -> int:
    """How often a session is resumed that is renewed each hour."""
    world.meet()
    for number in range(limit):
        world.now += HOUR
        if not world.meet().resumed:
            return number
    return limit


def test_the_first_authentication_caps_the_life_of_all_that_come_after():
    """The server's bound, the client's own, and the bound of what is promised in a ticket."""
    week = limits.MAX_TICKET_LIFETIME
    assert renewals(World(server={"session_lifetime": 5 * HOUR}), 30) == 4
    assert limits.SESSION_LIFETIME == 24 * HOUR
    assert renewals(World(server={"session_lifetime": week, "ticket_lifetime": week}), 30) == 23


def test_a_ticket_promises_no_more_than_is_left():
    world = World(server={"session_lifetime": 3 * HOUR, "ticket_lifetime": 2 * HOUR})
    lifetimes = []
    for _ in range(3):
        world.meet()
        session = world.client["sessions"].take(partition_of(world))
        lifetimes.append(session.lifetime)
        world.client["sessions"].put(partition_of(world), session)
        world.now += HOUR
    assert lifetimes == [2 * HOUR, 2 * HOUR, HOUR]


def partition_of(world: World) -> bytes:
    from handfast.handshake.client_resumption import partition

    return partition(ClientConfig(**world.client), "localhost")


# When tickets are given, and how many


@pytest.mark.parametrize("identity", [None, certificates.client()], ids=["none", "refused"])
def test_a_client_that_is_refused_gets_no_ticket(identity):
    ours = server(**sealing(client_auth=REQUIRED, verifier=KnownJudge(no())))
    peer = Client(ours, identity=identity).run()
    assert peer.complete
    assert ours.error is not None
    assert peer.tickets == []


def test_no_ticket_before_the_verdict():
    ours = server(**sealing(client_auth=REQUIRED, verifier=KnownJudge(DEFERRED)))
    peer = Client(ours, identity=certificates.client()).run()
    assert peer.complete
    assert peer.tickets == []
    assert ours.need is not None
    ours.answer(ours.need, accept())
    assert len(peer.tickets) == limits.TICKETS_PER_CONNECTION


def test_no_ticket_before_the_clients_finished():
    peer = Client(server(**sealing()), lies={"Finished": []}).run()
    assert peer.tickets == []


@pytest.mark.parametrize(("room", "tickets"), [(0, 2), (1, 0)])
def test_a_client_chain_too_long_to_store_brings_no_ticket(room, tickets):
    chain = certificates.client().chain
    rest = bytes(limits.MAX_STORED_CHAIN - len(chain[0]) + room)
    lie = change(certificate_list=(CertificateEntry(chain[0]), CertificateEntry(rest)))
    ours = server(**sealing(client_auth=REQUIRED))
    peer = Client(ours, identity=certificates.client(), lies={"Certificate": lie}).run()
    assert peer.complete
    assert ours.connected
    assert len(peer.tickets) == tickets


@pytest.mark.parametrize(
    ("asked", "new", "resumed"),
    [((0, 0), 0, 0), ((1, 3), 1, 3), ((3, 1), 3, 1), ((255, 254), limits.MAX_TICKETS_SENT, limits.MAX_TICKETS_SENT)],
)
def test_as_many_tickets_as_the_client_asks_for(asked, new, resumed):
    """RFC 9149 3."""
    for psks, count in (((), new), ((ticket(),), resumed)):
        peer = Client(server(**sealing()), more=(ClientTicketRequest(*asked),), psks=psks).run()
        assert peer.complete
        assert len(peer.tickets) == count
        assert len({one.identity for one in peer.tickets}) == len({one.key for one in peer.tickets}) == count
        hint = peer.got(EncryptedExtensions).find(ServerTicketRequestHint)
        assert (0 if hint is None else hint.expected_count) == count


def test_our_client_asks_for_tickets():
    world = World(client={"ticket_request": (3, 1)})
    world.meet()
    assert len(world.client["sessions"]) == 3
    assert world.meet().resumed
    assert len(world.client["sessions"]) == 3


def test_a_server_that_gives_none_gives_none_whatever_is_asked_for():
    """RFC 9149 3: a server may send fewer than it was asked for."""
    world = World(client={"ticket_request": (5, 5)}, server={"ticket_count": 0})
    assert [world.meet().resumed for _ in range(2)] == [False, False]
    assert len(world.client["sessions"]) == 0


def test_nobody_asked_and_the_server_says_how_many():
    for count in (0, 1, limits.MAX_TICKETS_SENT):
        assert len(Client(server(**sealing(ticket_count=count))).run().tickets) == count


# Used once


def test_our_client_uses_a_ticket_once():
    """Two connections at once show different tickets, and the third none."""
    world = World()
    world.meet()
    pairs = [world.pair() for _ in range(3)]
    assert [pair.run().resumed for pair in pairs] == [True, True, False]
    assert len({pair.client_sent[0] for pair in pairs}) == 3


def test_a_stored_ticket_is_good_once():
    tickets = StoredTickets()
    first = Client(server(**sealing(tickets=tickets))).run()
    for accepted in (True, False):
        peer = Client(server(**sealing(tickets=tickets)), psks=tuple(first.tickets[:1])).run()
        assert peer.complete
        assert (peer.accepted is not None) == accepted


def test_a_sealed_ticket_is_good_as_long_as_it_lives():
    for _ in range(2):
        assert Client(server(**sealing()), psks=(ticket(),)).run().accepted is not None


@pytest.mark.parametrize("later", [False, True], ids=["in the handshake", "after it"])
def test_a_misuse_within_a_handshake_ends_it(later):
    """It is raised by something of the program's own that is only looked at: the connection is over all the same."""

    class Broken(Judge):
        @property
        def policy_id(self):
            raise ApiMisuse("bad_argument", reason="looked at too early")

    class Source:
        broken = False

        @property
        def current(self):
            if self.broken:
                raise ApiMisuse("bad_argument", reason="looked at too early")
            return credentials(certificates.client())

    if later:
        source = Source()
        peer = our_client(credentials=(source,))
        source.broken = True
        peer.ask()
        ours, again = peer.connection, b"\x17\3\3"
    else:
        world = World()
        assert not world.meet().resumed
        pair = world.pair(server={"verifier": Broken(), "client_auth": ClientAuth.REQUIRE_AND_VERIFY})
        ours, again = pair.server, pair.client.outgoing()
        with pytest.raises(LocalFailure):
            ours.receive(again)
    assert ours.error is not None
    assert (ours.error.code, ours.connected) == ("internal_error", False)
    assert "looked at too early" in str(ours.error)
    # Bytes that come once more do not complete a handshake that broke off.
    with pytest.raises(LocalFailure):
        ours.receive(again)
    assert not ours.info.complete or later
