"""Resuming sessions, against peers of both roles that lie about it. RFC 9846 4.3.9, 4.3.11 and 4.7.1.

What two honest sides make of it is in `test_resumption.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from handfast import limits
from handfast.engine import ClientAuth, UnverifiedPeer, VerifiedPeer
from handfast.errors import ConfigError
from handfast.registry import ExtensionType
from handfast.roles import Role
from handfast.sessions.cache import SessionCache
from handfast.sessions.state import ClientSession
from handfast.verdict import refuse
from handfast.wire.extensions import (
    EarlyDataIndication,
    Extensions,
    OfferedPsks,
    PskIdentity,
    SelectedPsk,
    SignatureSchemeList,
)
from handfast.wire.messages import (
    Certificate,
    CertificateEntry,
    CertificateRequest,
    ClientHello,
    NewSessionTicket,
)
from tests import certificates
from tests.lies import change, extended, flipped, followed_by, without
from tests.peer import Client, Server
from tests.protocol.ours import (
    APPLICATION_KEYS,
    HANDSHAKE_KEYS,
    SECP256R1,
    Row,
    client,
    server,
    table,
)
from tests.protocol.sessions import (
    OTHER_SHA256_SUITE,
    SHA256_SUITE,
    SHA384_SUITE,
    Keeping,
    KnownJudge,
    given,
    sealing,
    ticket,
)
from tests.scripted import OTHER_KEYS, Psk

UNKNOWN = Psk(b"an unknown ticket", bytes(32), SHA256_SUITE)
RETRY: dict[str, Any] = {"shared_groups": ()}


def binders(change_them):
    """The hello with its binders changed by a function of their tuple."""

    def lie(hello):
        offered = hello.find(OfferedPsks)
        body = OfferedPsks(offered.identities, tuple(change_them(offered.binders)))
        return replace(hello, extensions=Extensions({**hello.extensions, ExtensionType.pre_shared_key: body}))

    return lie


def wrong(number):
    """The hello with one bit of this binder turned over."""
    return binders(lambda all_: [flipped(one) if index == number else one for index, one in enumerate(all_)])


def offering(identity):
    """The hello with this identity as the one that it offers."""

    def lie(hello):
        body = OfferedPsks((PskIdentity(identity, 0),), (bytes(32),))
        return extended(body)(hello)

    return lie


def test_a_psk_may_be_taken_back_after_a_retry():
    """The server's suite may have another hash. RFC 9846 4.2.2."""
    psks = (UNKNOWN, ticket())
    lies = {"SecondClientHello": without(ExtensionType.pre_shared_key)}
    peer = Client(server(**sealing()), psks=psks, lies=lies, **RETRY).run()
    assert peer.complete, peer.connection.error
    assert not peer.connection.info.resumed


def moved_to_front(hello):
    """The hello with pre_shared_key before its other extensions."""
    psk = hello.extensions[ExtensionType.pre_shared_key]
    return replace(hello, extensions=Extensions({ExtensionType.pre_shared_key: psk, **hello.extensions}))


# Our server


@pytest.mark.parametrize("chunk", [0, 1])
@pytest.mark.parametrize("suite", [SHA256_SUITE, SHA384_SUITE, OTHER_SHA256_SUITE])
@pytest.mark.parametrize("retry", [{}, RETRY], ids=["at once", "after a retry"])
def test_our_server_resumes(chunk, suite, retry):
    psk = ticket(suite)
    peer = Client(
        server(observers=[repr] if chunk else [], **sealing()), psks=(psk,), suites=(suite,), chunk=chunk, **retry
    )
    assert peer.run().complete, peer.connection.error
    assert peer.accepted is psk
    assert peer.connection.info.resumed
    assert peer.connection.info.retried == bool(retry)
    assert peer.connection.export("EXPORTER-a", b"", 32) == peer.exporter.export("EXPORTER-a", b"", 32)
    assert len(peer.tickets) == limits.TICKETS_PER_CONNECTION


def not_resumed(**options):
    """A peer whose PSK our server does not accept: a full handshake follows, and gives tickets all the same."""
    ours = options.pop("ours", {})
    peer = Client(server(**sealing(**ours)), **{"psks": (ticket(),), **options}).run()
    assert peer.complete, peer.connection.error
    assert peer.accepted is None
    assert not peer.connection.info.resumed
    return peer


def test_an_unknown_ticket_is_ignored():
    assert not_resumed(psks=(UNKNOWN,)).tickets


def test_the_binder_of_a_psk_that_is_not_selected_is_not_looked_at():
    ours = server(**sealing())
    peer = Client(ours, psks=(UNKNOWN, ticket(), UNKNOWN), lies={"BoundClientHello": wrong(0)}).run()
    assert peer.complete
    assert peer.accepted is ticket()
    peer = not_resumed(psks=(UNKNOWN,), lies={"BoundClientHello": wrong(0)})
    assert peer.connection.error is None


def test_the_first_ticket_that_is_good_is_taken():
    peer = Client(server(**sealing()), psks=(ticket(), ticket(OTHER_SHA256_SUITE))).run()
    assert peer.complete
    assert peer.accepted is ticket()


def test_of_many_identities_only_the_first_few_are_looked_at():
    strangers = (UNKNOWN,) * (limits.MAX_PSK_IDENTITIES - 1)
    peer = Client(server(**sealing()), psks=(*strangers, ticket())).run()
    assert peer.accepted is ticket()
    not_resumed(psks=(UNKNOWN, *strangers, ticket()))


def test_a_psk_of_another_hash_than_the_suite_is_ignored():
    not_resumed(ours={"suites": (SHA384_SUITE,)})
    other = Client(server(**sealing(suites=(OTHER_SHA256_SUITE,))), psks=(ticket(),)).run()
    assert other.accepted is ticket()
    assert other.connection.info.suite == OTHER_SHA256_SUITE


@pytest.mark.parametrize("modes", [(0,), (0, 7)])
def test_psk_without_dhe_is_not_spoken(modes):
    """psk_ke alone has no forward secrecy: the ticket is left alone, and none is given."""
    assert not_resumed(modes=modes).tickets == []
    assert Client(server(**sealing()), psks=(ticket(),), modes=(0, 1)).run().accepted is ticket()


def test_a_client_that_says_nothing_of_psk_modes_gets_no_ticket():
    peer = Client(server(**sealing()), modes=()).run()
    assert peer.complete
    assert peer.tickets == []


def test_a_hello_that_is_content_with_its_psk():
    """Without signature_algorithms it can be resumed, and nothing else. RFC 9846 4.3.3."""
    lies = {"ClientHello": without(ExtensionType.signature_algorithms)}
    peer = Client(server(**sealing()), psks=(ticket(),), lies=lies).run()
    assert peer.complete
    assert peer.accepted is ticket()


def test_a_ticket_with_one_bit_changed_is_unknown():
    psk = ticket()
    for position in range(len(psk.identity)):
        not_resumed(psks=(psk._replace(identity=flipped(psk.identity, position)),))
    not_resumed(psks=(psk._replace(identity=psk.identity[:-1]),))
    not_resumed(psks=(psk._replace(identity=psk.identity[:20]),))


WITH_PSK: dict[str, Any] = {"peer": {"psks": (ticket(),)}, "ours": sealing()}


@table(
    Row("a wrong binder", {"BoundClientHello": wrong(0)}, "bad_binder", "decrypt_error", **WITH_PSK),
    Row(
        "a wrong binder after a retry",
        {"BoundSecondClientHello": wrong(0)},
        "bad_binder",
        "decrypt_error",
        ours=sealing(),
        peer={"psks": (ticket(),), **RETRY},
    ),
    Row(
        "a binder of another length",
        {"BoundClientHello": binders(lambda all_: [one + b"\0" for one in all_])},
        "bad_binder",
        "decrypt_error",
        **WITH_PSK,
    ),
    Row(
        "the binder of another PSK",
        {},
        "bad_binder",
        "decrypt_error",
        ours=sealing(),
        peer={"psks": (ticket()._replace(key=bytes(32)),)},
    ),
    Row(
        "the binder of an external PSK",
        {},
        "bad_binder",
        "decrypt_error",
        ours=sealing(),
        peer={"psks": (ticket()._replace(external=True),)},
    ),
    Row(
        "something changed behind the binder's back",
        {"BoundClientHello": change(random=bytes(32))},
        "bad_binder",
        "decrypt_error",
        **WITH_PSK,
    ),
    Row(
        "no PSK modes",
        {},
        "missing_extension",
        "missing_extension",
        ours=sealing(),
        peer={**WITH_PSK["peer"], "modes": ()},
    ),
    Row(
        "no PSK modes at a server without tickets",
        {},
        "missing_extension",
        "missing_extension",
        peer={**WITH_PSK["peer"], "modes": ()},
    ),
    Row("PSK is not last", {"ClientHello": moved_to_front}, "psk_not_last", "illegal_parameter", **WITH_PSK),
    Row(
        "more binders than identities",
        {"BoundClientHello": binders(lambda all_: all_ * 2)},
        "binder_count",
        "illegal_parameter",
        **WITH_PSK,
    ),
    Row(
        "no signature_algorithms and a PSK that is not accepted",
        {"ClientHello": without(ExtensionType.signature_algorithms)},
        "missing_extension",
        "missing_extension",
        ours=sealing(),
        peer={"psks": (UNKNOWN,)},
    ),
    Row(
        "another PSK after a retry",
        {"ClientHello": offering(b"another"), "SecondClientHello": offering(ticket().identity)},
        "changed_after_retry",
        "illegal_parameter",
        ours=sealing(),
        peer={"psks": (ticket(),), **RETRY},
    ),
    Row(
        "a PSK after a retry, where there was none",
        {"ClientHello": without(ExtensionType.pre_shared_key), "SecondClientHello": offering(ticket().identity)},
        "changed_after_retry",
        "illegal_parameter",
        ours=sealing(),
        peer={"psks": (ticket(),), **RETRY},
    ),
    Row(
        "a Certificate in spite of the PSK",
        {"Finished": Certificate(b"", ())},
        "unexpected_message",
        "unexpected_message",
        APPLICATION_KEYS,
        **WITH_PSK,
    ),
    Row(
        "a ticket for our server",
        {},
        "unexpected_message",
        "unexpected_message",
        APPLICATION_KEYS,
        after=lambda peer: peer.say(NewSessionTicket(1, 2, b"", b"ticket", Extensions())),
    ),
)
def test_our_server_refuses(row):
    row.check(Role.SERVER)


# Our client


def resuming(**ours):
    """Options of a client of ours that has a session with the peer."""
    return {"sessions": Keeping(given()[1]), **ours}


KNOWS_IT: dict[str, Any] = {"psks": (given()[0],)}


@pytest.mark.parametrize("chunk", [0, 1])
@pytest.mark.parametrize("suite", [SHA256_SUITE, SHA384_SUITE])
@pytest.mark.parametrize("retry", [{}, {"group": SECP256R1}, {"cookie": b"crumbs"}])
def test_our_client_resumes(chunk, suite, retry):
    psk, session = given(suite)
    ours = client(observers=[repr] if chunk else [], sessions=Keeping(session))
    peer = Server(ours, psks=(psk,), chunk=chunk, **retry).run()
    assert peer.complete, peer.connection.error
    assert ours.info.resumed
    assert ours.info.retried == bool(retry)
    assert isinstance(ours.info.peer, VerifiedPeer)
    assert ours.info.peer.chain == ours.info.peer_chain == certificates.server().chain
    assert ours.export("EXPORTER-a", b"", 32) == peer.exporter.export("EXPORTER-a", b"", 32)


def test_our_client_goes_on_when_the_server_does_not_take_its_ticket():
    ours = client(**resuming())
    assert Server(ours).run().complete
    assert not ours.info.resumed


def test_a_retry_with_another_hash_takes_the_ticket_back():
    ours = client(**resuming())
    peer = Server(ours, group=SECP256R1, chosen_suite=SHA384_SUITE).run()
    assert peer.complete, peer.connection.error
    hellos = [message for message in peer.messages if isinstance(message, ClientHello)]
    assert [hello.find(OfferedPsks) is not None for hello in hellos] == [True, False]


def test_the_age_that_our_client_tells():
    """Milliseconds since the ticket came, plus what the server told to add, modulo 2^32. RFC 9846 4.3.11.1."""
    session = given()[1]
    for age_add, told in ((0, 1500), (2**32 - 1000, 500)):
        session = replace(session, ticket_age_add=age_add)
        assert session.obfuscated_age(session.received_at + 1.5) == told
    assert session.obfuscated_age(session.received_at - 1) == 2**32 - 1000


SELECTS = "ServerHello"


def selecting(number):
    return {SELECTS: extended(SelectedPsk(number))}


@table(
    Row(
        "a PSK of a number that was not offered", selecting(1), "psk_not_offered", "illegal_parameter", ours=resuming()
    ),
    Row("a PSK of a large number", selecting(2**16 - 1), "psk_not_offered", "illegal_parameter", ours=resuming()),
    Row("a PSK although none was offered", selecting(0), "unrequested_extension", "unsupported_extension"),
    Row(
        "a PSK although none was offered, to a client that keeps tickets",
        selecting(0),
        "unrequested_extension",
        "unsupported_extension",
        ours={"sessions": SessionCache()},
    ),
    Row(
        "a PSK that the retry's suite took away",
        selecting(0),
        "unrequested_extension",
        "unsupported_extension",
        ours=resuming(),
        peer={"group": SECP256R1, "chosen_suite": SHA384_SUITE},
    ),
    Row(
        "a suite of another hash than the PSK's",
        {SELECTS: change(cipher_suite=SHA384_SUITE)},
        "psk_for_other_hash",
        "illegal_parameter",
        ours=resuming(),
        peer=KNOWS_IT,
    ),
    Row(
        "a Certificate in spite of the PSK",
        {"Finished": Certificate(b"", (CertificateEntry(b"certificate"),))},
        "unexpected_message",
        "unexpected_message",
        HANDSHAKE_KEYS,
        ours=resuming(),
        peer=KNOWS_IT,
    ),
    Row(
        "a CertificateRequest in spite of the PSK",
        {"EncryptedExtensions": followed_by(CertificateRequest(b"", Extensions.of(SignatureSchemeList((0x0403,)))))},
        "unexpected_message",
        "unexpected_message",
        HANDSHAKE_KEYS,
        ours=resuming(),
        peer=KNOWS_IT,
    ),
    Row(
        "no Certificate although the PSK was not taken",
        {"Certificate": [], "CertificateVerify": []},
        "unexpected_message",
        "unexpected_message",
        HANDSHAKE_KEYS,
        ours=resuming(),
    ),
    Row(
        "a PSK that the server has not: its Finished is of other keys",
        selecting(0),
        "bad_record_mac",
        None,
        OTHER_KEYS,
        ours=resuming(),
    ),
    Row(
        "a PSK extension as a client sends it",
        {SELECTS: extended(OfferedPsks((PskIdentity(b"ticket", 0),), (bytes(32),)))},
        "trailing_bytes",
        "decode_error",
        ours=resuming(),
        peer=KNOWS_IT,
    ),
    Row(
        "early data in ServerHello",
        {SELECTS: extended(EarlyDataIndication())},
        "extension_in_wrong_message",
        "illegal_parameter",
        ours=resuming(),
        peer=KNOWS_IT,
    ),
)
def test_our_client_refuses(row):
    row.check(Role.CLIENT)


# Tickets that come to our client


class Counting(Keeping):
    """Counts the sessions that are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[ClientSession] = []

    def put(self, partition, session):
        self.kept.append(session)


def test_our_client_keeps_so_many_tickets_of_one_connection():
    sessions = Counting()
    assert Server(client(sessions=sessions), tickets=limits.MAX_TICKETS_KEPT + 3).run().complete
    assert len(sessions.kept) == limits.MAX_TICKETS_KEPT


def test_a_ticket_that_lives_no_time_is_not_kept_and_none_longer_than_a_week():
    for told, lives in ((0, []), (1, [1]), (2**32 - 1, [limits.MAX_TICKET_LIFETIME])):
        sessions = Counting()
        assert Server(client(sessions=sessions), tickets=1, ticket_lifetime=told).run().complete
        assert [session.lifetime for session in sessions.kept] == lives


def test_a_chain_too_long_to_store_is_not_kept():
    """Its certificates are larger than what a session may hold."""
    padded = (*certificates.server().chain, b"0" * limits.MAX_STORED_CHAIN)
    sessions = Counting()
    lie = change(certificate_list=tuple(CertificateEntry(one) for one in padded))
    peer = Server(client(sessions=sessions), tickets=1, lies={"Certificate": lie}).run()
    assert peer.complete, peer.connection.error
    assert sessions.kept == []


def test_a_verdict_that_does_not_matter_resumes_as_unverified():
    """Where a refused certificate is accepted and reported, so is that of a session."""
    judge = KnownJudge(refuse("unknown_issuer", "its CA is unknown"))
    mode = {"client_auth": ClientAuth.REQUEST}
    first = Client(server(**sealing(**mode)), identity=certificates.client()).run()
    ours = server(**sealing(verifier=judge, **mode))
    peer = Client(ours, identity=certificates.client(), psks=(first.tickets[0],)).run()
    assert peer.accepted is not None
    assert isinstance(ours.info.peer, UnverifiedPeer)
    assert ours.info.client_cert_error == "its CA is unknown"
    assert ours.info.peer_chain == certificates.client().chain
    assert len(judge.asked) == 1


def test_tickets_need_a_name():
    """Without one nobody could say whose ticket it is."""
    sessions = Counting()
    assert Server(client(sessions=sessions, server_name=None), tickets=1).run().complete
    assert sessions.kept == []


@pytest.mark.parametrize(
    "options",
    [
        {"ticket_count": limits.MAX_TICKETS_SENT + 1},
        {"ticket_count": -1},
        {"ticket_lifetime": 0},
        {"ticket_lifetime": limits.MAX_TICKET_LIFETIME + 1},
        {"session_lifetime": 0},
        {"session_lifetime": limits.MAX_TICKET_LIFETIME + 1},
        {"max_early_data": -1},
        {"max_early_data": 2**32},
        {"max_early_data": 1},
    ],
)
def test_what_a_server_cannot_promise(options):
    with pytest.raises(ConfigError) as caught:
        server(**options)
    assert caught.value.code == "bad_option"


@pytest.mark.parametrize("request_", [(-1, 0), (0, 256)])
def test_what_a_client_cannot_ask_for(request_):
    with pytest.raises(ConfigError) as caught:
        client(ticket_request=request_)
    assert caught.value.code == "bad_option"
