"""A server that chooses its configuration by the client's hello: at once, later, or wrongly."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from handfast.config.asked import HelloSeen
from handfast.credentials.signers import DEFERRED
from handfast.engine import ClientAuth, ServerConfig
from handfast.handshake.needs import Choose
from handfast.registry import SignatureScheme
from handfast.wire.extensions import CertificateAuthorities
from handfast.wire.messages import Certificate
from tests import certificates
from tests.peer import Client
from tests.protocol.ours import APPLICATION_KEYS, PLAINTEXT, SECP256R1, X25519, credentials, server
from tests.protocol.sessions import (
    OTHER_SHA256_SUITE,
    QUESTION,
    KnownJudge,
    World,
    early,
    early_data_of,
    sealing,
    ticket,
)
from tests.scripted import Refusal

OTHER = certificates.server("rsa-2048")


def config(**options: Any) -> ServerConfig:
    settings = {"groups": (X25519, SECP256R1), "verifier": KnownJudge(), **options}
    settings.setdefault("credentials", (credentials(OTHER),))
    settings.pop("seams", None)
    return ServerConfig(**settings)


def choosing(answer: Any, **ours: Any) -> Any:
    """Our server, which asks for its configuration."""
    return server(choose_config=answer if callable(answer) else lambda hello: answer, **ours)


def leaf_of(peer: Client) -> bytes:
    return peer.got(Certificate).certificate_list[0].cert_data


def test_the_chosen_configuration_is_the_one_that_holds():
    ours = choosing(config(suites=(OTHER_SHA256_SUITE,), application_protocols=("h2",)))
    peer = Client(ours, protocols=(b"h2",)).run()
    assert peer.complete, ours.error
    assert leaf_of(peer) == OTHER.chain[0]
    assert ours.info.suite == OTHER_SHA256_SUITE
    assert ours.info.application_protocol == "h2"


@pytest.mark.parametrize(
    ("name", "chain"), [(b"localhost", certificates.server().chain), (b"other.example", OTHER.chain)]
)
def test_by_the_name_that_the_client_asks_for(name, chain):
    mine = config(credentials=(credentials(certificates.server()),))
    ours = choosing(lambda hello: mine if hello.server_name == "localhost" else config())
    peer = Client(ours, server_name=name).run()
    assert peer.complete
    assert leaf_of(peer) == chain[0]


def test_what_the_hook_sees():
    seen: list[HelloSeen] = []

    def choose(hello: HelloSeen) -> ServerConfig:
        seen.append(hello)
        return config(tickets=sealing()["tickets"])

    names = (b"\x30\x02\x31\x00",)
    more = (CertificateAuthorities(names),)
    peer = Client(choosing(choose), protocols=(b"h2", b"\xff"), psks=(ticket(),), more=more, early_data=QUESTION).run()
    assert peer.complete
    hello = seen[0]
    assert hello.server_name == "localhost"
    assert hello.application_protocols == (b"h2", b"\xff")
    assert hello.versions == (0x0304,)
    assert hello.suites == peer.suites
    assert hello.groups == peer.groups
    assert hello.schemes == peer.schemes
    assert hello.ca_names == names
    assert hello.offers_psk
    assert hello.early_data
    assert hello.raw in bytes(peer.delivered)
    Client(choosing(choose)).run()
    assert (seen[1].offers_psk, seen[1].early_data, seen[1].ca_names) == (False, False, ())


def test_it_is_asked_once_even_after_a_retry():
    seen: list[HelloSeen] = []

    def choose(hello: HelloSeen) -> ServerConfig:
        seen.append(hello)
        return config()

    ours = choosing(choose)
    assert Client(ours, shared_groups=()).run().complete
    assert len(seen) == 1
    assert ours.info.retried


def test_a_chosen_configuration_that_would_choose_again_is_refused():
    """It would not be asked, and whoever wrote it relies on what it chooses."""
    inner = config(choose_config=lambda hello: 1 / 0)
    assert Client(choosing(inner)).run().refusal == Refusal("need_failed", "internal_error", PLAINTEXT)


async def later(value: object) -> object:
    return value


@pytest.mark.parametrize("deferred", [True, False])
@pytest.mark.parametrize("chunk", [0, 1])
def test_the_answer_may_come_later(deferred, chunk):
    ours = choosing(lambda hello: DEFERRED if deferred else later(config()), observers=[repr] if chunk else [])
    peer = Client(ours, chunk=chunk)

    def answer(connection):
        need = connection.need
        assert isinstance(need, Choose)
        value = config() if deferred else asyncio.run(connection.awaitable)
        peer.results += connection.answer(need, value)

    peer.on_need = answer
    assert peer.run().complete, ours.error
    assert leaf_of(peer) == OTHER.chain[0]


@pytest.mark.parametrize(
    "answer", [True, "config", object(), ServerConfig, {}], ids=lambda answer: type(answer).__name__
)
def test_what_is_no_configuration_refuses_the_client(answer):
    peer = Client(choosing(lambda hello: answer)).run()
    assert peer.refusal == ("need_failed", "internal_error", PLAINTEXT)
    assert type(answer).__name__ in peer.error.what


@pytest.mark.parametrize("error", [ValueError, KeyError, RecursionError])
def test_a_hook_that_raises_refuses_the_client(error):
    def choose(hello):
        raise error("no such tenant")

    peer = Client(choosing(choose)).run()
    assert peer.refusal == ("need_failed", "internal_error", PLAINTEXT)
    assert "no such tenant" in peer.error.what


def test_an_answer_that_fails_later_refuses_the_client():
    ours = choosing(lambda hello: DEFERRED)

    def fail(connection):
        connection.fail(connection.need, TimeoutError("the directory is down"))

    peer = Client(ours, on_need=fail).run()
    assert peer.refusal == ("need_failed", "internal_error", PLAINTEXT)


# What the chosen configuration governs


def test_client_authentication():
    chosen = config(client_auth=ClientAuth.REQUIRE_AND_VERIFY)
    assert Client(choosing(chosen), identity=certificates.client()).run().connection.info.verified_peer is not None
    refusal = ("certificate_required", "certificate_required", APPLICATION_KEYS)
    assert Client(choosing(chosen)).run().refusal == Refusal(*refusal)
    lax = choosing(config(), client_auth=ClientAuth.REQUIRE_AND_VERIFY)
    assert Client(lax).run().complete
    assert not lax.info.client_auth_requested


def test_tickets():
    """Those of the outer configuration are not even looked at."""
    for inner, outer, resumed in ((sealing(), {}, True), ({}, {"tickets": sealing()["tickets"]}, False)):
        ours = choosing(config(**inner), **outer, seams=sealing()["seams"])
        peer = Client(ours, psks=(ticket(),)).run()
        assert peer.complete
        assert ours.info.resumed == resumed
        assert bool(peer.tickets) == bool(inner)


def test_early_data():
    for inner, taken in ((early(), True), (sealing(), False)):
        ours = choosing(config(**inner), seams=sealing()["seams"])
        peer = Client(ours, psks=(ticket(),), early_data=QUESTION).run()
        assert peer.complete
        assert early_data_of(peer.results) == (QUESTION if taken else b"")


def test_sessions_of_two_configurations_do_not_meet():
    """They share keys and verifier, and differ in what they ask of clients: each resumes its own alone."""
    world = World(client={"credentials": (credentials(certificates.client()),)})
    strict = {"client_auth": ClientAuth.REQUIRE_AND_VERIFY}
    assert not world.meet().resumed
    pair = world.meet(server=strict)
    assert not pair.resumed
    assert pair.server.info.verified_peer is not None
    assert world.meet(server=strict).resumed


def test_credentials_and_early_data_wait_for_the_answer():
    """Early data that comes while the configuration is awaited is neither lost nor taken too early."""
    ours = choosing(lambda hello: DEFERRED, seams=sealing()["seams"])
    peer = Client(ours, psks=(ticket(),), early_data=QUESTION)
    seen = []

    def answer(connection):
        seen.append(early_data_of(peer.results))
        peer.results += connection.answer(connection.need, config(**early()))

    peer.on_need = answer
    assert peer.run().complete
    assert seen == [b""]
    assert early_data_of(peer.results) == QUESTION


def test_the_scheme_is_of_the_chosen_key():
    peer = Client(choosing(config())).run()
    assert peer.connection.info.own_scheme == SignatureScheme.rsa_pss_rsae_sha256
