"""Abbreviated handshakes of TLS 1.2 with honest peers and with liars: tickets, session ids, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from handfast import limits
from handfast.credentials.signers import DEFERRED
from handfast.engine import ClientAuth, VerifiedPeer
from handfast.registry import ExtensionType
from handfast.roles import Role
from handfast.sessions.cache import SessionCache
from handfast.sessions.tickets import SealedTickets, StoredTickets
from handfast.verdict import accept
from handfast.wire import extensions as ext
from handfast.wire.messages import ClientHello
from handfast.wire.messages12 import NewSessionTicket, ServerHello
from tests import certificates
from tests.lies import DUMMY_CHANGE_CIPHER_SPEC, change, extended, followed_by, handshake, without
from tests.peer import Client, Server
from tests.peer12 import Client12, Known, Server12
from tests.protocol.ours import client, server, table
from tests.protocol.sessions import STOPPED, Keeping, KnownJudge, sealing
from tests.protocol.test_resumption import no
from tests.protocol12.ours12 import BOTH, Row12
from tests.protocol12.test_honest_peers import talks

MUTUAL: dict[str, Any] = {"client_auth": ClientAuth.REQUIRE_AND_VERIFY}
OLD: dict[str, Any] = {"require_extended_main_secret": False}
ALICE = certificates.client()


def sealing_12(**more: Any) -> dict[str, Any]:
    """Options of a server whose sessions others like it resume."""
    return sealing(**BOTH, **more)


def ticket_12(suite: int = 0xC02B, **ours: Any) -> Known:
    """A session by a ticket of a server of ours, as the peer has it."""
    identity = ALICE if "client_auth" in ours else None
    peer = Client12(server(**sealing_12(**ours)), suites=(suite,), takes_tickets=True, identity=identity).run()
    assert peer.complete, peer.connection.error
    assert peer.session_id == b""
    return peer.given()


def given_12(ticket: bytes | None = b"a ticket", **options: Any) -> tuple[Known, Keeping]:
    """A session that the peer gave to a client of ours, as both have it."""
    sessions = Keeping()
    peer = Server12(client(**BOTH, sessions=sessions), new_ticket=ticket, **options).run()
    assert peer.complete, peer.connection.error
    return peer.given(), sessions


def old_client() -> Any:
    """What a client without the extended main secret gets of a server that takes it."""
    store = StoredTickets()
    peer = Client12(server(**sealing_12(tickets=store, **OLD)), extended=False, takes_tickets=True).run()
    assert peer.complete
    assert (len(store), peer.session_id) == (0, b"")
    return peer.ticket


def old_server() -> Any:
    """What a client keeps of a server without the extended main secret."""
    sessions = Keeping()
    assert Server12(client(**BOTH, **OLD, sessions=sessions), extended=False, new_ticket=b"a ticket").run().complete
    return sessions.session


# Our server


@pytest.mark.parametrize("suite", [0xC02B, 0xC02C, 0xCCA9])
@pytest.mark.parametrize("chunk", [0, 1])
def test_our_server_resumes_by_ticket(suite, chunk):
    session = ticket_12(suite)
    peer = Client12(server(**sealing_12()), session=session, chunk=chunk).run()
    assert peer.complete
    assert peer.resumed
    assert peer.ticket is None
    assert peer.connection.info.resumed
    assert talks(peer)


def test_a_ticket_without_a_session_id_is_accepted_by_its_empty_echo():
    """RFC 5077 3.4: such a client looks at the message that follows."""
    peer = Client12(server(**sealing_12()), session=ticket_12(), fresh_id=False).run()
    assert peer.complete
    assert peer.got(ServerHello).session_id == b""
    assert peer.connection.info.resumed


def test_our_server_resumes_by_session_id_again_and_again():
    store = StoredTickets()
    ours = sealing_12(tickets=store, **MUTUAL)
    peer = Client12(server(**ours), identity=ALICE).run()
    assert peer.complete
    assert len(peer.session_id) == 32
    session = peer.given()
    for _ in range(3):
        peer = Client12(server(**ours), session=session).run()
        assert peer.complete
        assert peer.resumed
        assert isinstance(peer.connection.info.peer, VerifiedPeer)
        assert len(store) == 1


def test_a_session_id_needs_a_store():
    peer = Client12(server(**sealing_12())).run()
    assert peer.complete
    assert peer.session_id == b""


def test_beside_a_ticket_the_session_id_names_nothing():
    """RFC 5077 3.4."""
    store = StoredTickets()
    peer = Client12(server(**sealing_12(tickets=store))).run()
    session = peer.given()
    lie = extended(ext.SessionTicket(b"not known"))
    peer = Client12(server(**sealing_12(tickets=store)), session=session, lies={"ClientHello": lie}).run()
    assert peer.complete
    assert not peer.resumed
    assert len(store) == 2


def test_who_merely_names_a_session_id_does_not_end_it():
    """It crosses the wire in plaintext."""
    store = StoredTickets()
    session = Client12(server(**sealing_12(tickets=store))).run().given()
    lies = {"Finished": change(verify_data=bytes(12))}
    peer = Client12(server(**sealing_12(tickets=store)), session=session, lies=lies).run()
    assert peer.error.code == "bad_finished"
    assert Client12(server(**sealing_12(tickets=store)), session=session).run().resumed


def check_that_names_are_of_one_kind(tickets: Any) -> None:
    """What names a session in one way names none in another, and is not used up there."""
    ours = sealing_12(tickets=tickets)
    by_id = Client12(server(**ours)).run().given()
    by_ticket = Client12(server(**ours), takes_tickets=True).run().given()
    by_psk = Client(server(**ours)).run().tickets[0]
    assert by_id.session_id
    assert by_ticket.ticket
    others = [
        by_id._replace(ticket=by_id.session_id),
        by_ticket._replace(ticket=b"", session_id=by_ticket.ticket),
        by_ticket._replace(ticket=by_psk.identity),
        by_ticket._replace(ticket=b"", session_id=by_psk.identity),
    ]
    for session in others:
        peer = Client12(server(**ours), session=session).run()
        assert peer.complete
        assert not peer.resumed
    for name in (by_id.session_id, by_ticket.ticket):
        peer13 = Client(server(**ours), psks=(by_psk._replace(identity=name),)).run()
        assert peer13.complete
        assert not peer13.connection.info.resumed
    assert [Client12(server(**ours), session=by_id).run().resumed for _ in range(2)] == [True, True]
    assert [Client12(server(**ours), session=by_ticket).run().resumed for _ in range(2)] == [True, False]
    assert Client(server(**ours), psks=(by_psk,)).run().connection.info.resumed


def test_what_names_a_session_in_one_way_names_none_in_another():
    """A session id crosses the wire in plaintext: shown as a ticket it would end the session of its client."""
    check_that_names_are_of_one_kind(StoredTickets())


UNKNOWN = {
    "another ticket": Known(0xC02B, bytes(48), b"another ticket"),
    "a session id": Known(0xC02B, bytes(48), b"", bytes(32)),
}


@pytest.mark.parametrize("session", UNKNOWN.values(), ids=UNKNOWN)
@pytest.mark.parametrize("tickets", [SealedTickets, StoredTickets])
def test_what_is_not_known_is_no_error(session, tickets):
    peer = Client12(server(**sealing_12(tickets=tickets())), session=session).run()
    assert peer.complete
    assert not peer.resumed


def test_a_session_whose_suite_is_not_offered_again():
    session = ticket_12()
    peer = Client12(server(**sealing_12()), session=session, suites=(0xC02C,)).run()
    assert peer.complete
    assert not peer.resumed


def test_a_ticket_that_went_to_another_name_of_the_server():
    session = ticket_12()
    for name, accepted in ((b"localhost", True), (b"server.example.com", False)):
        peer = Client12(server(**sealing_12()), session=session, server_name=name).run()
        assert peer.complete
        assert peer.resumed == accepted


def test_the_name_is_not_acknowledged_again():
    """RFC 6066 3."""
    session = ticket_12()
    peer = Client12(server(**sealing_12()), session=session).run()
    answer = peer.got(ServerHello)
    assert answer.find(ext.ServerNameAcknowledged) is None
    assert answer.find(ext.RenegotiationInfo) is not None
    assert answer.find(ext.ExtendedMainSecret) is not None


def test_nothing_is_known_of_the_client_before_its_finished():
    """A ticket crosses the wire in plaintext: whoever saw it can show it, and is nobody."""
    session = ticket_12(**MUTUAL)
    peer = Client12(server(**sealing_12(**MUTUAL)), session=session, lies={"Finished": []}).run()
    info = peer.connection.info
    assert peer.resumed
    assert not peer.connection.connected
    assert (info.peer, info.peer_chain, info.resumed) == (None, (), False)


def test_the_server_asks_anew_where_the_verdict_changed():
    session = ticket_12(**MUTUAL)
    ours = server(**sealing_12(**MUTUAL, verifier=KnownJudge(no())))
    peer = Client12(ours, session=session, identity=ALICE).run()
    assert not peer.resumed
    assert peer.error.code == "unknown_issuer"


@table(
    Row12("no extended main secret any more", without(ExtensionType.extended_main_secret), "no_extended_main_secret",
        "handshake_failure"),
    Row12("no extended main secret, where it need not be", without(ExtensionType.extended_main_secret),
        "resumption_not_extended", "handshake_failure", ours=OLD),
    Row12("no ALPN protocol of ours", extended(ext.ProtocolNameList((b"theirs",))), "no_common_application_protocol",
        "no_application_protocol", ours={"application_protocols": ("ours",)}),
)  # fmt: skip
def test_a_hello_that_resumes_is_refused(row):
    row.check(Role.SERVER, "ClientHello", ours={**sealing_12(), **row.ours}, peer={"session": ticket_12()})


@table(
    Row12("no ChangeCipherSpec", {"ChangeCipherSpec": []}, "missing_change_cipher_spec", "unexpected_message",
        "application"),
    Row12("two of them", {"ChangeCipherSpec": [DUMMY_CHANGE_CIPHER_SPEC] * 2}, "late_change_cipher_spec",
        "unexpected_message", "application"),
    Row12("a wrong Finished", {"Finished": change(verify_data=bytes(12))}, "bad_finished", "decrypt_error",
        "application"),
    Row12("a short Finished", {"Finished": change(verify_data=bytes(11))}, "length_out_of_bounds", "decode_error",
        "application"),
    Row12("a ClientKeyExchange", {"ChangeCipherSpec": [handshake(16, b"\x20" + bytes(32)), DUMMY_CHANGE_CIPHER_SPEC]},
        "missing_change_cipher_spec", "unexpected_message", "application"),
    Row12("another message in its first flight", {"ClientHello": followed_by(handshake(16, b""))},
        "message_spans_key_change", "unexpected_message", "plaintext"),
)  # fmt: skip
def test_a_client_that_resumes_is_refused(row):
    row.check(Role.SERVER, ours={**sealing_12(), **row.ours}, peer={"session": ticket_12()})


# When tickets are given


def test_no_ticket_before_the_verdict():
    ours = server(**sealing_12(**MUTUAL, verifier=KnownJudge(DEFERRED)))
    peer = Client12(ours, identity=ALICE, takes_tickets=True).run()
    assert not [message for message in peer.listen().messages if isinstance(message, NewSessionTicket)]
    assert ours.need is not None
    ours.answer(ours.need, accept())
    assert peer.got(NewSessionTicket).ticket


@pytest.mark.parametrize("lie", [[], change(verify_data=bytes(12))], ids=["none", "a wrong one"])
def test_no_ticket_before_the_clients_finished(lie):
    peer = Client12(server(**sealing_12()), takes_tickets=True, lies={"Finished": lie}).run()
    assert not [message for message in peer.listen().messages if isinstance(message, NewSessionTicket)]


@pytest.mark.parametrize("identity", [None, ALICE], ids=["none", "refused"])
def test_a_client_that_is_refused_gets_no_ticket(identity):
    ours = server(**sealing_12(**MUTUAL, verifier=KnownJudge(no())))
    peer = Client12(ours, identity=identity, takes_tickets=True).run()
    assert ours.error is not None
    assert not [message for message in peer.listen().messages if isinstance(message, NewSessionTicket)]


@pytest.mark.parametrize(("room", "given"), [(0, True), (1, False)])
@pytest.mark.parametrize("takes_tickets", [True, False])
def test_a_client_chain_too_long_to_store_is_not_stored(room, given, takes_tickets):
    store = StoredTickets()
    chain = ALICE.chain
    rest = bytes(limits.MAX_STORED_CHAIN - len(chain[0]) + room)
    lie = change(certificate_list=(chain[0], rest))
    ours = server(**sealing_12(**MUTUAL, tickets=store))
    peer = Client12(ours, identity=ALICE, lies={"Certificate": lie}, takes_tickets=takes_tickets).run()
    assert peer.complete
    assert ours.connected
    assert len(store) == given
    if takes_tickets:
        # RFC 5077 3.3: promised, and empty if there is none.
        assert peer.ticket is not None
        assert bool(peer.ticket.ticket) == bool(peer.ticket.ticket_lifetime_hint) == given


# Our client


@pytest.mark.parametrize("suite", [0xC02B, 0xC02C, 0xCCA9])
@pytest.mark.parametrize("chunk", [0, 1])
def test_our_client_resumes_by_ticket(suite, chunk):
    session, sessions = given_12(chosen_suite=suite)
    peer = Server12(client(**BOTH, sessions=sessions), session=session, chunk=chunk).run()
    assert peer.complete
    hello = peer.got(ClientHello)
    assert hello.find(ext.SessionTicket) == ext.SessionTicket(b"a ticket")
    assert len(hello.legacy_session_id) == 32
    assert peer.connection.info.resumed
    assert talks(peer)


def test_our_client_resumes_by_session_id():
    session, sessions = given_12(None, session_id=b"a session id")
    peer = Server12(client(**BOTH, sessions=sessions), session=session).run()
    assert peer.complete
    hello = peer.got(ClientHello)
    assert (hello.legacy_session_id, hello.find(ext.SessionTicket)) == (b"a session id", ext.SessionTicket(b""))
    assert peer.connection.info.resumed


def test_sessions_of_both_versions_are_offered():
    """RFC 9846 4.2.2: behind one name there may be servers of both, and which one answers only it knows."""
    sessions = SessionCache()
    ours = {**BOTH, "sessions": sessions, "verifier": KnownJudge(), "seams": STOPPED}
    old = Server12(client(**ours), new_ticket=None, session_id=b"a session id").run().given()
    (new,) = Server(client(**ours), tickets=1).run().given
    assert len(sessions) == 2
    # That of TLS 1.3 is used up, and the first server gives another.
    for resume, left in (
        (lambda: Server(client(**ours), psks=(new,), tickets=1).run(), 2),
        (lambda: Server12(client(**ours), session=old).run(), 1),
    ):
        peer = resume()
        assert peer.complete
        assert peer.got(ClientHello).legacy_session_id == b"a session id"
        assert peer.connection.info.resumed
        assert len(sessions) == left


@pytest.mark.parametrize("new_id", [b"1", bytes(range(32))], ids=["short", "long"])
def test_a_server_that_names_the_session_anew(new_id):
    """It knows the id no more, and its full handshake brings another, as long as it likes. RFC 5246 7.4.1.3."""
    _, sessions = given_12(None, session_id=b"a session id")
    peer = Server12(client(**BOTH, sessions=sessions), new_ticket=None, session_id=new_id).run()
    assert peer.complete
    assert not peer.connection.info.resumed
    again = Server12(client(**BOTH, sessions=sessions), session=peer.given()).run()
    assert again.got(ClientHello).legacy_session_id == new_id
    assert again.connection.info.resumed


def test_a_ticket_takes_the_place_of_the_session_id():
    """RFC 5077 3.4."""
    _, sessions = given_12(b"a ticket", session_id=b"a session id")
    assert (sessions.session.ticket, sessions.session.session_id) == (b"a ticket", b"")
    _, sessions = given_12(b"", session_id=b"a session id")
    assert (sessions.session.ticket, sessions.session.session_id) == (b"", b"a session id")


def test_an_empty_ticket_and_no_session_id_are_no_session():
    assert given_12(b"")[1].session is None


@pytest.mark.parametrize(("hint", "lifetime"), [(0, limits.SESSION_LIFETIME), (60, 60), (2**32 - 1, 7 * 86400)])
def test_how_long_a_session_is_kept(hint, lifetime):
    assert given_12(lifetime_hint=hint)[1].session.lifetime == lifetime


def test_a_session_that_the_server_renews():
    session, sessions = given_12()
    first = sessions.session
    peer = Server12(client(**BOTH, sessions=sessions), session=session, new_ticket=b"another ticket").run()
    assert peer.complete
    assert peer.resumed
    renewed = sessions.session
    assert (renewed.ticket, renewed.main_secret) == (b"another ticket", session.main_secret)
    assert renewed.authenticated_at == first.authenticated_at
    assert renewed.received_at > first.received_at


@pytest.mark.parametrize("ticket", [b"a ticket", None])
def test_a_server_that_does_not_know_the_session(ticket):
    _, sessions = given_12(ticket, session_id=b"a session id")
    peer = Server12(client(**BOTH, sessions=sessions)).run()
    assert peer.complete
    assert not peer.connection.info.resumed
    assert isinstance(peer.connection.info.peer, VerifiedPeer)


def test_a_client_without_a_store_says_nothing_of_tickets():
    for more in ({}, {"sessions": Keeping(), "server_name": None}):
        peer = Server12(client(**{**BOTH, **more}))
        peer.run()
        assert peer.got(ClientHello).find(ext.SessionTicket) is None


@table(
    Row12("another suite", {"ServerHello": change(cipher_suite=0xC02C)}, "resumption_with_other_suite",
        "illegal_parameter"),
    Row12("no extended main secret", {"ServerHello": without(ExtensionType.extended_main_secret)},
        "no_extended_main_secret", "handshake_failure"),
    Row12("no extended main secret, where it need not be",
        {"ServerHello": without(ExtensionType.extended_main_secret)}, "resumption_not_extended", "handshake_failure",
        ours=OLD),
    Row12("no secure renegotiation", {"ServerHello": without(ExtensionType.renegotiation_info)},
        "no_secure_renegotiation", "handshake_failure"),
    Row12("no echo", {"ServerHello": change(session_id=b"")}, "early_change_cipher_spec", "unexpected_message"),
    Row12("a Certificate", {"ServerHello": followed_by(handshake(11, bytes(3)))}, "message_spans_key_change",
        "unexpected_message"),
    Row12("a ticket that was not promised", {"ChangeCipherSpec": [NewSessionTicket(60, b"new"),
        DUMMY_CHANGE_CIPHER_SPEC]}, "message_spans_key_change", "unexpected_message"),
    Row12("no ticket although it was promised", {"ServerHello": extended(ext.SessionTicketAcknowledged())},
        "early_change_cipher_spec", "unexpected_message"),
    Row12("a promise that is no promise", {"ServerHello": extended(ext.SessionTicket(b"a ticket"))}, "trailing_bytes",
        "decode_error"),
    Row12("no ChangeCipherSpec", {"ChangeCipherSpec": []}, "missing_change_cipher_spec", "unexpected_message"),
    Row12("a wrong Finished", {"Finished": change(verify_data=bytes(12))}, "bad_finished", "decrypt_error"),
)  # fmt: skip
@pytest.mark.parametrize("by", ["ticket", "session id"])
def test_a_server_that_resumes_is_refused(row, by):
    session, sessions = given_12() if by == "ticket" else given_12(None, session_id=b"a session id")
    row.check(Role.CLIENT, ours={"sessions": sessions, **row.ours}, peer={"session": session, "merged": True})


@table(
    Row12("a ticket that was not promised", {"ChangeCipherSpec": [NewSessionTicket(60, b"new"),
        DUMMY_CHANGE_CIPHER_SPEC]}, "missing_change_cipher_spec", "unexpected_message", "application"),
    Row12("no ticket although it was promised", {"NewSessionTicket": []}, "early_change_cipher_spec",
        "unexpected_message", "application", peer={"new_ticket": b"a ticket"}),
    Row12("two tickets", {"NewSessionTicket": [NewSessionTicket(60, b"one"), NewSessionTicket(60, b"two")]},
        "message_spans_key_change", "unexpected_message", "application", peer={"new_ticket": b"a ticket"}),
)  # fmt: skip
def test_a_server_that_gives_tickets_is_refused(row):
    row.check(Role.CLIENT, ours={"sessions": Keeping()})


def test_a_ticket_nobody_asked_for():
    lie = extended(ext.SessionTicketAcknowledged())
    peer = Server12(client(**BOTH), lies={"ServerHello": lie}).run()
    assert peer.refusal == ("unrequested_extension", "unsupported_extension", "plaintext")


@pytest.mark.parametrize(("lies", "kept"), [({}, 1), ({"Finished": change(verify_data=bytes(12))}, 0)])
def test_a_connection_that_fails_costs_the_session(lies, kept):
    """What is offered is forgotten until the handshake is complete. RFC 5246 7.2.2."""
    ours = {**BOTH, "sessions": SessionCache(), "verifier": KnownJudge()}
    session = Server12(client(**ours), new_ticket=b"a ticket").run().given()
    assert len(ours["sessions"]) == 1
    peer = Server12(client(**ours), session=session, lies=lies).run()
    assert peer.resumed
    assert (peer.connection.error is None) == bool(kept)
    assert len(ours["sessions"]) == kept
