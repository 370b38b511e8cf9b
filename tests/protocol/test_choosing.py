"""What our client shows to a server that asks: what fits, why the others do not, and when it looks."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from handfast.credentials.signers import DEFERRED
from handfast.crypto import signatures
from handfast.engine import (
    CertificateWanted,
    ClientAuth,
    ClientConfig,
    ClientConnection,
    ServerConfig,
    ServerConnection,
)
from handfast.errors import ConfigError
from handfast.events import CertificateChosen
from handfast.handshake.selection import choose_client_credentials
from handfast.lens.outcome import Outcome
from handfast.lens.trace import Trace
from handfast.pki.template import key_usage
from handfast.registry import NamedGroup, SignatureScheme
from handfast.roles import Role
from handfast.sessions.cache import SessionCache
from handfast.sessions.tickets import SealedTickets
from handfast.verdict import refuse
from handfast.wire.extensions import OidFilter, OidFilters
from handfast.wire.messages import Certificate
from tests import certificates
from tests.lies import change, extended
from tests.peer import Server
from tests.protocol.later import our_client
from tests.protocol.ours import HANDSHAKE_KEYS, Judge, client, credentials, server

NOW = datetime.now(UTC)
CA, OTHER = certificates.ca(), certificates.other_ca()
CA_NAME, OTHER_NAME = (ca.certificate.subject.public_bytes() for ca in (CA, OTHER))
ROOT_OF_CHAIN, INTERMEDIATE_NAME = CA_NAME, certificates.intermediate().certificate.subject.public_bytes()
KEY_USAGE, PURPOSES = bytes.fromhex("0603551d0f"), bytes.fromhex("0603551d25")
CLIENT_AUTH, CODE_SIGNING = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.CODE_SIGNING

NO_ISSUER = "its issuer is not among the CA names that the server sent"
NO_FILTER = "is not what the server's oid_filters demand"


@cache
def issued(**fields):
    """A client certificate with something else about it, with its signer."""
    return credentials(CA.issue(replace(CA.client_template("alice"), **fields)))


ALICE = credentials(certificates.client())
STRANGER = credentials(OTHER.client("alice"))
RSA = credentials(certificates.client("rsa-2048"))
BELOW = credentials(certificates.client_below_intermediate())
EXPIRED = issued(not_before=NOW - timedelta(days=9), not_after=NOW - timedelta(days=1))
EARLY = issued(not_before=NOW + timedelta(days=1), not_after=NOW + timedelta(days=9))
SERVERS = issued(extended_key_usage=(ExtendedKeyUsageOID.SERVER_AUTH,))
FOR_ALL = issued(extended_key_usage=())
SIGNS_CODE = issued(extended_key_usage=(CLIENT_AUTH, CODE_SIGNING))
ENCIPHERS = issued(key_usage=frozenset({"key_encipherment"}))
BOTH_BITS = issued(key_usage=frozenset({"digital_signature", "key_encipherment"}))


def wanted(*ca_names, schemes=signatures.SUPPORTED_SCHEMES, filters=()):
    return CertificateWanted(b"", tuple(schemes), ca_names, tuple(filters))


def choose(candidates, request, **options):
    return choose_client_credentials(candidates, request, at=NOW, **options)


def usage(*bits):
    return KEY_USAGE, key_usage(frozenset(bits)).public_bytes()


def purposes(*oids):
    return PURPOSES, x509.ExtendedKeyUsage(oids).public_bytes()


# One by one


@pytest.mark.parametrize(
    ("one", "request_"),
    [
        (ALICE, wanted()),
        (ALICE, wanted(OTHER_NAME, CA_NAME)),
        (BELOW, wanted(INTERMEDIATE_NAME)),
        (BELOW, wanted(ROOT_OF_CHAIN)),
        (FOR_ALL, wanted()),
        (ALICE, wanted(filters=[usage("digital_signature")])),
        (BOTH_BITS, wanted(filters=[usage("digital_signature", "key_encipherment")])),
        (BOTH_BITS, wanted(filters=[usage("key_encipherment")])),
        (ALICE, wanted(filters=[purposes(CLIENT_AUTH)])),
        (SIGNS_CODE, wanted(filters=[purposes(CODE_SIGNING, CLIENT_AUTH), usage("digital_signature")])),
        (ALICE, wanted(filters=[(PURPOSES, b""), (KEY_USAGE, b"")])),
        (ALICE, wanted(filters=[(bytes.fromhex("06032a0304"), b"whatever")])),
    ],
)
def test_what_fits(one, request_):
    choice = choose([one], request_, anyway=False)
    assert choice.credentials is one
    assert choice.scheme in one.signer.schemes
    assert [found.shown for found in choice.considered] == [True]


@pytest.mark.parametrize(
    ("one", "request_", "why"),
    [
        (STRANGER, wanted(CA_NAME), NO_ISSUER),
        (ALICE, wanted(INTERMEDIATE_NAME), NO_ISSUER),
        (EXPIRED, wanted(), f"it expired on {NOW - timedelta(days=1):%Y-%m-%d %H:%M} UTC"),
        (EARLY, wanted(), f"it is not valid before {NOW + timedelta(days=1):%Y-%m-%d %H:%M} UTC"),
        (SERVERS, wanted(), "its extendedKeyUsage lacks clientAuth"),
        (ENCIPHERS, wanted(), "its keyUsage lacks digitalSignature"),
        (EXPIRED, wanted(OTHER_NAME), f"it expired on {NOW - timedelta(days=1):%Y-%m-%d %H:%M} UTC; {NO_ISSUER}"),
    ],
    # Without the time of day: two processes that collect the tests must agree on their names.
    ids=["stranger", "intermediate", "expired", "early", "for servers", "enciphers", "expired stranger"],
)
def test_what_does_not_fit_and_may_be_shown_all_the_same(one, request_, why):
    none = choose([one], request_, anyway=False)
    assert (none.credentials, none.scheme, none.reason) == (None, None, why)
    assert [(found.shown, found.why) for found in none.considered] == [(False, why)]
    anyway = choose([one], request_)
    assert anyway.credentials is one
    assert anyway.reason == f"{why}; it is shown all the same"


@pytest.mark.parametrize(
    ("one", "request_", "why"),
    [
        (
            RSA,
            wanted(schemes=[SignatureScheme.ed25519]),
            "the server accepts no signature scheme that its RSA 2048 key",
        ),
        (RSA, wanted(schemes=[SignatureScheme.rsa_pkcs1_sha256]), "the server accepts no signature scheme"),
        (ALICE, wanted(filters=[purposes(CODE_SIGNING)]), f"its extendedKeyUsage {NO_FILTER}"),
        (FOR_ALL, wanted(filters=[purposes(CLIENT_AUTH)]), f"its extendedKeyUsage {NO_FILTER}"),
        (FOR_ALL, wanted(filters=[(PURPOSES, b"")]), f"its extendedKeyUsage {NO_FILTER}"),
        (ALICE, wanted(filters=[purposes(CLIENT_AUTH), usage("key_encipherment")]), f"its keyUsage {NO_FILTER}"),
        (
            ALICE,
            wanted(filters=[usage("decipher_only", "key_agreement")]),
            f"its keyUsage {NO_FILTER}",
        ),
        (ALICE, wanted(filters=[(KEY_USAGE, b"nonsense")]), f"its keyUsage {NO_FILTER}"),
        (ALICE, wanted(filters=[(PURPOSES, b"nonsense")]), f"its extendedKeyUsage {NO_FILTER}"),
    ],
)
def test_what_is_never_shown(one, request_, why):
    for anyway in (True, False):
        choice = choose([one], request_, anyway=anyway)
        assert choice.credentials is None
        assert choice.reason.startswith(why)


# Of several


@pytest.mark.parametrize(
    ("candidates", "request_", "best"),
    [
        ([STRANGER, ALICE], wanted(), STRANGER),
        ([STRANGER, ALICE, BELOW], wanted(CA_NAME), ALICE),
        ([EXPIRED, ALICE], wanted(CA_NAME), ALICE),
        ([ALICE, SIGNS_CODE], wanted(filters=[purposes(CODE_SIGNING)]), SIGNS_CODE),
        ([ALICE, RSA], wanted(schemes=[SignatureScheme.rsa_pss_rsae_sha256]), RSA),
        # Nothing fits: what comes nearest.
        ([EXPIRED, STRANGER, ALICE], wanted(INTERMEDIATE_NAME), STRANGER),
        ([EXPIRED, SERVERS], wanted(CA_NAME), EXPIRED),
    ],
)
def test_the_first_that_fits_best(candidates, request_, best):
    choice = choose(candidates, request_)
    assert choice.credentials is best
    assert [found.certificate for found in choice.considered] == [one.chain[0] for one in candidates]
    assert [found.shown for found in choice.considered] == [one is best for one in candidates]


def test_none_of_several():
    choice = choose([STRANGER, EXPIRED], wanted(CA_NAME), anyway=False)
    assert choice.reason == "none of our 2 certificates fits the request"
    assert choice.considered[0].why == NO_ISSUER


def test_the_schemes_of_another_version():
    choice = choose([RSA], wanted(schemes=[0x0401]), schemes_of=lambda _: (0x0401,))
    assert (choice.credentials, choice.scheme) == (RSA, 0x0401)


# In a handshake


def asked(*candidates, ca_names=(), filters=(), **options):
    """The peer of our client, and what a trace and the verdict line told."""
    lines: list[str] = []
    events: list[Any] = []
    outcome = Outcome(Role.CLIENT)
    ours = client(credentials=candidates, observers=[Trace(lines.append), events.append, outcome], **options)
    lies = {"CertificateRequest": extended(OidFilters(tuple(OidFilter(*one) for one in filters)))} if filters else {}
    peer = Server(ours, requests_certificate=True, ca_names=ca_names, lies=lies).run()
    assert peer.complete, ours.error
    return peer, "\n".join(lines), [event for event in events if isinstance(event, CertificateChosen)]


def shown(peer):
    return tuple(entry.cert_data for entry in peer.got(Certificate).certificate_list)


def test_the_trace_says_why_for_each():
    peer, trace, (chosen,) = asked(STRANGER, EXPIRED, ALICE, ca_names=(CA_NAME,))
    assert shown(peer) == ALICE.chain
    assert chosen.hints == (CA_NAME,)
    assert "[choice] the client shows" in trace
    assert trace.count("        not CN=alice") == 2
    assert f"(issuer CN=Other CA,O=handfast): {NO_ISSUER}\n" in trace
    assert "(issuer CN=Test CA,O=handfast): it expired on " in trace


@pytest.mark.parametrize(
    ("option", "chain", "said"),
    [
        ({}, STRANGER.chain, f"{NO_ISSUER}; it is shown all the same"),
        ({"when_no_certificate_matches": "send_anyway"}, STRANGER.chain, f"{NO_ISSUER}; it is shown all the same"),
        ({"when_no_certificate_matches": "send_none"}, (), f"shows no certificate: {NO_ISSUER}"),
    ],
)
def test_when_none_matches_the_configuration_decides_and_the_trace_says_what(option, chain, said):
    peer, trace, _ = asked(STRANGER, ca_names=(CA_NAME,), **option)
    assert shown(peer) == chain
    assert said in trace


def test_filters_of_the_request_count():
    peer, trace, _ = asked(ALICE, SIGNS_CODE, filters=[purposes(CODE_SIGNING)])
    assert shown(peer) == SIGNS_CODE.chain
    assert f"its extendedKeyUsage {NO_FILTER}" in trace
    peer, trace, _ = asked(ALICE, filters=[purposes(CODE_SIGNING)])
    assert shown(peer) == ()


def test_a_word_that_there_is_not():
    with pytest.raises(ConfigError, match="send_anyway and send_none"):
        client(when_no_certificate_matches="send_all")


# A function that gives the credentials


class Source:
    """Remembers what it was asked, and who the server was known to be then."""

    def __init__(self, answer=ALICE):
        self.answer = answer
        self.asked: list[Any] = []
        self.connection: Any = None

    def __call__(self, request):
        self.asked.append((request, self.connection.info.verified_peer))
        return self.answer(request) if callable(self.answer) else self.answer


def sourced(source, **options):
    ours = client(credentials=source, **options)
    source.connection = ours
    return ours


def test_a_function_is_asked_once_the_server_is_proven_and_verified():
    source = Source([STRANGER, ALICE])
    peer = Server(sourced(source), requests_certificate=True, ca_names=(CA_NAME,)).run()
    assert shown(peer) == ALICE.chain
    ((request, known),) = source.asked
    assert known is not None
    assert known.chain == certificates.server().chain
    assert (request.ca_names, request.server_name) == ((CA_NAME,), "localhost")
    assert request.schemes == signatures.SUPPORTED_SCHEMES


@pytest.mark.parametrize(
    ("lies", "judge"),
    [
        ({"Finished": change(verify_data=bytes(32))}, Judge()),
        ({"CertificateVerify": change(signature=bytes(70))}, Judge()),
        ({}, Judge(refuse("unknown_issuer", "its CA is unknown"))),
        ({}, Judge(None.__class__)),
    ],
    ids=["a wrong Finished", "a wrong signature", "a verdict", "no verdict"],
)
def test_nobody_is_asked_by_a_server_that_is_not(lies, judge):
    """Neither a function, which may ask a person for a PIN, nor a signer."""

    class Signer:
        schemes = ALICE.signer.schemes
        signed = 0

        def sign(self, scheme, message):
            self.signed += 1
            return ALICE.signer.sign(scheme, message)

    source, signer = Source(), Signer()
    for given in (source, (replace(ALICE, signer=signer),)):
        ours = client(credentials=given, verifier=judge)
        source.connection = ours
        peer = Server(ours, requests_certificate=True, lies=lies).run()
        assert peer.refusal is not None
        assert peer.refusal.under == HANDSHAKE_KEYS
    assert (source.asked, signer.signed) == ([], 0)


def test_a_server_that_asks_for_nothing_has_nobody_asked():
    source = Source()
    assert Server(sourced(source)).run().complete
    assert source.asked == []


@pytest.mark.parametrize(("answer", "chain"), [(None, ()), ([], ()), (ALICE, ALICE.chain), ((RSA, ALICE), RSA.chain)])
def test_what_a_function_may_give(answer, chain):
    assert shown(Server(sourced(Source(answer)), requests_certificate=True).run()) == chain


def test_what_it_may_not():
    peer = Server(sourced(Source("alice.pem")), requests_certificate=True).run()
    assert peer.refusal == ("need_failed", "internal_error", HANDSHAKE_KEYS)


def test_it_may_be_asynchronous():
    async def find(request):
        return [ALICE]

    ours = sourced(Source(find))
    theirs = server(client_auth=ClientAuth.REQUIRE_AND_VERIFY)
    theirs.receive(ours.outgoing())
    ours.receive(theirs.outgoing())
    ours.answer(ours.need, asyncio.run(ours.awaitable))
    theirs.receive(ours.outgoing())
    assert theirs.info.peer_chain == ALICE.chain
    assert theirs.connected


def test_it_is_asked_anew_after_the_handshake():
    source = Source(lambda request: {b"one": ALICE, b"two": RSA}[request.context])
    source.connection = client()
    peer = our_client(credentials=source)
    for context, expected in ((b"one", ALICE), (b"two", RSA)):
        request = peer.ask(context)
        assert peer.take_answer(request) == expected.chain


def test_a_request_that_nobody_answers_holds_up_nothing_else():
    peer = our_client(credentials=lambda _: DEFERRED)
    peer.ask()
    peer.connection.send(b"data")
    assert type(peer.connection.need).__name__ == "Resolve"


@pytest.mark.parametrize(("mode", "kept"), [(ClientAuth.NONE, True), (ClientAuth.REQUEST, False)])
def test_sessions_for_which_it_was_asked_are_not_kept(mode, kept):
    """Next time it might say that we are somebody else."""
    groups = (NamedGroup.x25519,)
    mine = ClientConfig(credentials=lambda _: ALICE, sessions=SessionCache(), verifier=Judge(), groups=groups)
    own = [credentials(certificates.server())]
    theirs = ServerConfig(credentials=own, client_auth=mode, tickets=SealedTickets(), verifier=Judge(), groups=groups)
    resumed = []
    for _ in range(2):
        ours, other = ClientConnection(mine, server_name="localhost"), ServerConnection(theirs)
        while not (ours.connected and other.connected):
            other.receive(ours.outgoing())
            ours.receive(other.outgoing())
        ours.receive(other.outgoing())
        resumed.append(ours.info.resumed)
    assert resumed == [False, kept]
