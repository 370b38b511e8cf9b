"""Early data (0-RTT): taken, refused, skipped, replayed, and lied about. RFC 9846 2.3, 4.3.10, 4.6 and 8."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from handfast import limits
from handfast.engine import ClientAuth, ClientConfig, HandshakeDone
from handfast.errors import ApiMisuse
from handfast.handshake.client_resumption import partition
from handfast.handshake.seams import Seams
from handfast.roles import Role
from handfast.sessions.cache import SessionCache
from handfast.sessions.replay import MemoryReplayGuard
from handfast.sessions.state import ClientSession
from handfast.sessions.tickets import SealedTickets
from handfast.wire.messages import EndOfEarlyData, KeyUpdate
from tests import certificates
from tests.lies import (
    APPLICATION_DATA,
    DUMMY_CHANGE_CIPHER_SPEC,
    HANDSHAKE,
    WARNING,
    Item,
    Record,
    alert,
    flipped,
    in_plaintext,
    preceded_by,
)
from tests.peer import Client, Server
from tests.protocol.ours import (
    APPLICATION_KEYS,
    Row,
    client,
    credentials,
    server,
    table,
)
from tests.protocol.sessions import (
    KEY,
    MAX_EARLY_DATA,
    NOW,
    OTHER_SHA256_SUITE,
    QUESTION,
    Guard,
    Keeping,
    Pair,
    data_of,
    early,
    early_data_of,
    early_world,
    given,
    sealing,
    ticket,
)

# Our server, a ticket for it that allows early data, and early data.
SENDS: dict[str, Any] = {"psks": (ticket(),), "early_data": QUESTION}
RETRY = {"shared_groups": ()}
TOO_OLD = int(limits.EARLY_DATA_TOLERANCE * 1000) + 1


# Our server takes it


@pytest.mark.parametrize("chunk", [0, 1])
def test_our_server_takes_early_data(chunk):
    ours = server(observers=[repr] if chunk else [], **early())
    peer = Client(ours, chunk=chunk, **SENDS).run()
    assert peer.complete, ours.error
    assert peer.early_data_accepted
    assert early_data_of(peer.results) == QUESTION
    assert isinstance(peer.results[-1], HandshakeDone)
    assert ours.info.early_data == "accepted"
    peer.say(Record(APPLICATION_DATA, b"later"))
    assert data_of(peer.results) == b"later"


def test_the_early_exporter_is_the_same_on_both_sides():
    ours = server(**early())
    peer = Client(ours, **SENDS).run()
    assert ours.export_early("EXPORTER-a", b"c", 40) == peer.early_exporter.export("EXPORTER-a", b"c", 40)
    psk, session = given()
    mine = client(sessions=Keeping(session), early_data=QUESTION)
    theirs = Server(mine, psks=(psk,), takes_early_data=True).run()
    assert mine.export_early("EXPORTER-a", b"c", 40) == theirs.early_exporter.export("EXPORTER-a", b"c", 40)


def test_without_early_data_there_is_no_early_exporter():
    ours = server(**early())
    assert Client(ours, psks=(ticket(),)).run().complete
    with pytest.raises(ApiMisuse) as caught:
        ours.export_early("EXPORTER-a", b"", 32)
    assert caught.value.code == "no_exporter"


def test_half_rtt_answers():
    """A server may answer early data before the client's Finished. RFC 9846 4.3.10 and figure 4."""
    world = early_world()
    pair = world.pair(early_data=QUESTION)
    with pytest.raises(ApiMisuse):
        pair.server.send(b"too early")

    def answer(ours):
        if not ours.connected and pair.server_results and not pair.server.info.complete:
            assert ours.info.early_data == "accepted"
            ours.send(b"answer to " + early_data_of(pair.server_results))

    pair.run(answer)
    assert pair.resumed
    assert data_of(pair.client_results) == b"answer to " + QUESTION


def test_no_half_rtt_answer_without_early_data():
    world = early_world()
    pair = world.pair()
    pair.server.receive(pair.client.outgoing())
    with pytest.raises(ApiMisuse) as caught:
        pair.server.send(b"data")
    assert caught.value.code == "not_connected"


@pytest.mark.parametrize("fragment", [1, 5, 18])
def test_early_data_in_many_records(fragment):
    records = [Record(APPLICATION_DATA, QUESTION[start : start + fragment], 3) for start in range(0, 18, fragment)]
    peer = Client(server(**early()), lies={"EarlyData": records}, **SENDS).run()
    assert peer.complete
    assert early_data_of(peer.results) == QUESTION


@pytest.mark.parametrize("watched", [True, False])
def test_early_data_cut_at_every_position(watched):
    """The very bytes of a client, cut in two anywhere: early data and later data come out the same."""
    world = early_world(server={"replay_guard": Guard()})
    pair = world.pair(early_data=QUESTION)
    wire = pair.client.outgoing()
    for position in range(0, len(wire), 1 if watched else 7):
        cut = Pair(pair.client, world.pair(watched=watched).server)
        results = cut.server.receive(wire[:position]) + cut.server.receive(wire[position:])
        assert early_data_of(results) == QUESTION
        assert cut.server.info.early_data == "accepted"


def test_as_much_as_the_ticket_allows():
    data = bytes(MAX_EARLY_DATA)
    peer = Client(server(**early()), **{**SENDS, "early_data": data}).run()
    assert peer.complete
    assert early_data_of(peer.results) == data


def test_a_ticket_keeps_its_promise_when_the_server_takes_less_now():
    """The client was told how much it may send; an honest one is not to fail for that."""
    ours = server(**{**early(), "max_early_data": 1})
    peer = Client(ours, **{**SENDS, "early_data": bytes(MAX_EARLY_DATA)}).run()
    assert peer.complete
    assert early_data_of(peer.results) == bytes(MAX_EARLY_DATA)


# Our server refuses the client: early data was taken


TAKEN: dict[str, Any] = {"peer": SENDS, "ours": early()}
UNEXPECTED = ("unexpected_message", "unexpected_message")


@table(
    Row(
        "a byte too much",
        {},
        "too_much_early_data",
        "unexpected_message",
        APPLICATION_KEYS,
        ours=early(),
        peer={**SENDS, "early_data": bytes(MAX_EARLY_DATA + 1)},
    ),
    Row(
        "too much in two records",
        {"EarlyData": [Record(APPLICATION_DATA, bytes(MAX_EARLY_DATA)), Record(APPLICATION_DATA, b"0")]},
        "too_much_early_data",
        "unexpected_message",
        APPLICATION_KEYS,
        **TAKEN,
    ),
    Row(
        "a record that does not open",
        {"EarlyData": Record(APPLICATION_DATA, QUESTION, damage=flipped)},
        "bad_record_mac",
        "bad_record_mac",
        APPLICATION_KEYS,
        **TAKEN,
    ),
    Row("no EndOfEarlyData", {"EndOfEarlyData": []}, "bad_record_mac", "bad_record_mac", APPLICATION_KEYS, **TAKEN),
    Row("KeyUpdate", {"EndOfEarlyData": preceded_by(KeyUpdate(0))}, *UNEXPECTED, APPLICATION_KEYS, **TAKEN),
    Row(
        "Finished under early keys",
        {"EndOfEarlyData": lambda _: b"\x14\0\0\x20" + bytes(32)},
        *UNEXPECTED,
        APPLICATION_KEYS,
        **TAKEN,
    ),
    Row("a second EndOfEarlyData", {"Finished": preceded_by(EndOfEarlyData())}, *UNEXPECTED, APPLICATION_KEYS, **TAKEN),
    Row(
        "EndOfEarlyData with a body",
        {"EndOfEarlyData": b"\5\0\0\1\0"},
        "trailing_bytes",
        "decode_error",
        APPLICATION_KEYS,
        **TAKEN,
    ),
    Row(
        "a message behind EndOfEarlyData in its record",
        {"EndOfEarlyData": Record(HANDSHAKE, EndOfEarlyData().encode() + b"\x14")},
        "message_spans_key_change",
        "unexpected_message",
        APPLICATION_KEYS,
        **TAKEN,
    ),
    Row(
        "early data inside EndOfEarlyData",
        {"EndOfEarlyData": [Record(HANDSHAKE, b"\5\0"), Record(APPLICATION_DATA, b"0"), Record(HANDSHAKE, b"\0\0")]},
        "interleaved_record",
        "unexpected_message",
        APPLICATION_KEYS,
        **TAKEN,
    ),
    Row(
        "data after EndOfEarlyData",
        {"Finished": preceded_by(Record(APPLICATION_DATA, b"data"))},
        "early_application_data",
        "unexpected_message",
        APPLICATION_KEYS,
        **TAKEN,
    ),
    Row(
        "EndOfEarlyData in plaintext",
        {"EndOfEarlyData": in_plaintext},
        "plaintext_after_keys",
        "unexpected_message",
        APPLICATION_KEYS,
        **TAKEN,
    ),
    Row("an alert", {"EarlyData": alert(40)}, "handshake_failure", None, None, **TAKEN),
    Row(
        "empty records without end",
        {"EarlyData": [Record(APPLICATION_DATA, b"")] * (limits.MAX_EMPTY_RECORDS + 1)},
        "too_many_empty_records",
        "unexpected_message",
        APPLICATION_KEYS,
        **TAKEN,
    ),
    Row("the end of the connection", {"EarlyData": alert(0, WARNING)}, "eof_in_handshake", None, None, **TAKEN),
)
def test_our_server_refuses(row):
    row.check(Role.SERVER)


def test_change_cipher_spec_among_early_data():
    first, second = Record(APPLICATION_DATA, QUESTION[:3]), Record(APPLICATION_DATA, QUESTION[3:])
    items: list[Item] = [first, DUMMY_CHANGE_CIPHER_SPEC, second]
    peer = Client(server(**early()), lies={"EarlyData": items}, **SENDS).run()
    assert peer.complete
    assert early_data_of(peer.results) == QUESTION


@pytest.mark.parametrize("identified", [True, False])
def test_a_close_in_the_middle_of_early_data(identified):
    """Ours may end it too; what it said so far stands."""
    ours = server(**early())
    peer = Client(ours, lies={"EndOfEarlyData": [], "Finished": []}, **SENDS)
    peer.run()
    assert not ours.connected
    if identified:
        ours.send(b"half an answer")
    ours.close()
    peer.listen()
    assert [got.description for got in peer.alerts] == ["user_canceled", "close_notify"]
    assert peer.alerts[0].under == APPLICATION_KEYS


# Our server does not take it, and goes on


def test_early_data_that_is_refused_is_skipped():
    for observers in ([], [repr]):
        ours = server(observers=observers, **sealing())
        peer = Client(ours, chunk=len(observers), **SENDS).run()
        assert peer.complete, ours.error
        assert peer.accepted is not None
        assert not peer.early_data_accepted
        assert early_data_of(peer.results) == b""
        peer.say(Record(APPLICATION_DATA, b"later"))
        assert data_of(peer.results) == b"later"


REASONS: dict[str, dict[str, Any]] = {
    "this server takes none": {"ours": sealing()},
    "its PSK was not accepted": {"peer": {"psks": (ticket()._replace(identity=b"unknown"),)}},
    "its ticket allows none": {"ours": {**early(), "max_early_data": 0}, "later": early()},
    "the suite is another one than the ticket's": {"ours": early(suites=(OTHER_SHA256_SUITE,))},
    "the application protocol is another one than the ticket's": {
        "ours": early(application_protocols=("h2",)),
        "peer": {"protocols": (b"h2",)},
    },
    "its ticket's age does not agree with our clock": {"peer": {"age": TOO_OLD}},
    "another replay guard answers for its ticket": {"ours": {**early(), "replay_guard": Guard(scope=b"another")}},
    "the replay guard is younger than the hello may be": {"ours": {**early(), "replay_guard": Guard(since=2.0**40)}},
    "the replay guard has seen this hello, or could not say": {"ours": {**early(), "replay_guard": Guard(False)}},
    "the handshake needed a HelloRetryRequest": {"peer": RETRY},
}


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("chunk", [0, 1])
def test_each_reason_not_to_take_it(reason, chunk):
    options = REASONS[reason]
    observers = [repr] if chunk else []
    sends = {**SENDS, **options.get("peer", {})}
    ours = server(observers=observers, **options.get("ours", early()))
    if "later" in options:
        sends["psks"] = (Client(ours).run().tickets[0],)
        ours = server(observers=observers, **options["later"])
    peer = Client(ours, chunk=chunk, **sends).run()
    assert peer.complete, ours.error
    assert ours.info.early_data == f"rejected: {reason}"
    assert not peer.early_data_accepted
    assert early_data_of(peer.results) == b""
    assert ours.connected


@pytest.mark.parametrize(
    "guard",
    [
        Guard(lambda: 1 / 0),
        Guard(None),
        Guard(1),
        Guard("yes"),
        Guard(scope=lambda: 1 / 0),
        Guard(scope=None),
        Guard(scope=b""),
        Guard(since=lambda: 1 / 0),
        Guard(since=None),
        Guard(since="long ago"),
        Guard(since=float("nan")),
    ],
    ids=[
        "it raises",
        "None",
        "1",
        "a string",
        "its scope raises",
        "no scope",
        "an empty scope",
        "its start raises",
        "no start",
        "a start in words",
        "a start that is no number",
    ],
)
def test_a_replay_guard_that_fails_refuses_the_early_data_and_nothing_else(guard):
    ours = server(**{**early(), "replay_guard": guard})
    peer = Client(ours, **SENDS).run()
    assert peer.complete, ours.error
    assert ours.info.early_data.startswith("rejected: ")
    assert ours.info.resumed


def test_a_guard_without_a_scope_gives_no_ticket_for_early_data():
    for scope in (None, b"", "text", lambda: 1 / 0, bytes(256)):
        peer = Client(server(**{**early(), "replay_guard": Guard(scope=scope)})).run()
        assert peer.complete, peer.connection.error
        assert {one.max_early_data for one in peer.tickets} == {0}


def test_the_guard_is_asked_about_the_binder_for_the_whole_window():
    guard = Guard()
    peer = Client(server(**{**early(), "replay_guard": guard}), **SENDS).run()
    hello = peer.delivered
    [(key, seconds)] = guard.asked
    assert key.startswith(guard.scope)
    binder = key.removeprefix(guard.scope)
    assert binder in bytes(hello)
    assert len(binder) == 32
    assert seconds == 2 * limits.EARLY_DATA_TOLERANCE


def test_the_guard_is_not_asked_for_what_is_refused_anyway():
    guard = Guard()
    assert Client(server(**{**early(), "replay_guard": guard}), **{**SENDS, "age": TOO_OLD}).run().complete
    assert Client(server(**{**early(), "replay_guard": guard}), psks=(ticket(),)).run().complete
    assert guard.asked == []


@pytest.mark.parametrize(("skew", "taken"), [(0, True), (9, True), (-9, True), (11, False), (-11, False)])
def test_the_age_that_the_client_tells_agrees_with_our_clock(skew, taken):
    world = early_world()
    pair = world.pair(early_data=QUESTION)
    world.now += skew
    pair.run()
    assert pair.resumed
    assert (pair.server.info.early_data == "accepted") == taken


def test_early_data_belongs_to_the_first_psk():
    """Whichever other one is accepted: only the first can have protected it. RFC 9846 4.3.10."""
    strange = ticket()._replace(identity=b"unknown")
    ours = server(**early())
    peer = Client(ours, psks=(strange, ticket()), early_data=QUESTION).run()
    assert peer.complete, ours.error
    assert peer.accepted is ticket()
    assert ours.info.early_data == "rejected: its PSK was not accepted"


class AnyPolicy:
    """Tickets that open under whatever policy, which ours do not."""

    def __init__(self) -> None:
        self.tickets = SealedTickets([KEY])

    def issue(self, state: bytes, policy: bytes, lifetime: int, client: bytes = b"") -> bytes | None:
        return self.tickets.issue(state, bytes(32), lifetime)

    def redeem(self, identity: bytes, policy: bytes) -> bytes | None:
        return self.tickets.redeem(identity, bytes(32))


def test_early_data_is_bound_to_the_server_name():
    options = {**early(), "tickets": AnyPolicy()}
    psk = Client(server(**options)).run().tickets[0]
    for name, reason in ((b"localhost", ""), (b"other.example", "the server name is another one than the ticket's")):
        ours = server(**options)
        peer = Client(ours, psks=(psk,), early_data=QUESTION, server_name=name).run()
        assert peer.complete, ours.error
        assert ours.info.resumed
        assert ours.info.early_data == (f"rejected: {reason}" if reason else "accepted")


@pytest.mark.parametrize(
    ("age", "since", "taken"),
    [(0, 0.0, True), (0, 0.001, False), (15, 5.0, True), (15, 5.1, False), (5, 0.0, True), (5, 0.1, False)],
)
def test_a_guard_that_began_after_the_hello_may_have_been_sent(age, since, taken):
    """Whatever was taken before it began it does not know. A hello is at most as old as its ticket."""
    ours = server(
        **{
            **early(),
            "replay_guard": Guard(since=NOW + since),
            "seams": Seams(clock=lambda: NOW + age),
        }
    )
    peer = Client(ours, age=age * 1000, **SENDS).run()
    assert peer.complete
    reason = "the replay guard is younger than the hello may be"
    assert ours.info.early_data == ("accepted" if taken else f"rejected: {reason}")


# The very same hello again


def test_a_replayed_hello_is_taken_once():
    """The same bytes at the same server: the second time the early data is refused, and the handshake goes on."""
    world = early_world()
    pair = world.pair(early_data=QUESTION)
    first = pair.client.outgoing()
    for accepted in (True, False, False):
        ours = world.pair().server
        results = ours.receive(first)
        assert early_data_of(results) == (QUESTION if accepted else b"")
        assert (ours.info.early_data == "accepted") == accepted
        assert ours.error is None
        assert ours.waiting_for == ("the client's EndOfEarlyData" if accepted else "the client's Finished")


def test_a_replay_out_of_the_window_is_refused_by_the_clock():
    """However much the guard has forgotten: it is not even asked."""
    world = early_world(server={"replay_guard": Guard()})
    first = world.pair(early_data=QUESTION).client.outgoing()
    for seconds, accepted in ((0, True), (limits.EARLY_DATA_TOLERANCE, True), (1, False), (3600, False)):
        world.now += seconds
        ours = world.pair().server
        assert early_data_of(ours.receive(first)) == (QUESTION if accepted else b"")


def test_a_replay_that_leaves_the_window_while_the_guard_is_asked_is_refused():
    """The guard remembers for as long as a hello is fresh: what is stale when it answers, it may have forgotten."""
    world = early_world(server={"replay_guard": Guard()})
    first = world.pair(early_data=QUESTION).client.outgoing()
    world.now += limits.EARLY_DATA_TOLERANCE

    def answer(seconds):
        world.now += seconds
        return True

    for seconds, accepted in ((0, True), (1, False)):
        world.server["replay_guard"] = guard = Guard(partial(answer, seconds))
        ours = world.pair().server
        assert early_data_of(ours.receive(first)) == (QUESTION if accepted else b"")
        assert len(guard.asked) == 1


def test_a_guard_of_another_process_refuses():
    world = early_world()
    world.server["replay_guard"] = MemoryReplayGuard(wall_clock=lambda: 0.0)
    pair = world.meet(early_data=QUESTION)
    assert pair.resumed
    assert pair.client.info.early_data == "rejected: the server did not take it"


def test_a_full_guard_refuses():
    world = early_world(server={"replay_guard": MemoryReplayGuard(1, wall_clock=lambda: 0.0)})
    taken = [world.meet(early_data=QUESTION).server.info.early_data == "accepted" for _ in range(3)]
    assert taken == [True, False, False]


# A client identity


IDENTIFIED: dict[str, Any] = {
    "client": {"credentials": (credentials(certificates.client()),)},
    "server": {"client_auth": ClientAuth.REQUIRE_AND_VERIFY},
}
OPT_IN = {"early_data_with_client_identity": True}


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("theirs", [True, False])
def test_early_data_in_a_clients_name_needs_both_to_say_so(ours, theirs):
    world = early_world(
        client={**IDENTIFIED["client"], **(OPT_IN if ours else {})},
        server={**IDENTIFIED["server"], **(OPT_IN if theirs else {})},
    )
    pair = world.meet(early_data=QUESTION)
    assert pair.resumed
    assert (pair.server.info.early_data == "accepted") == (ours and theirs)
    assert early_data_of(pair.server_results) == (QUESTION if ours and theirs else b"")
    assert pair.server.info.verified_peer is not None
    if not theirs:
        assert pair.client.info.early_data == "not sent: the session allows 0 bytes"
    elif not ours:
        assert pair.client.info.early_data == "not sent: the session carries a client identity"


def test_who_sent_early_data_is_not_verified_before_the_handshake_is_over():
    world = early_world(client={**IDENTIFIED["client"], **OPT_IN}, server={**IDENTIFIED["server"], **OPT_IN})
    pair = world.pair(early_data=QUESTION)
    pair.server.receive(pair.client.outgoing())
    info: Any = pair.server.info
    assert (info.early_data, info.verified_peer, info.peer, info.peer_chain) == ("accepted", None, None, ())
    assert info.session_peer.chain == certificates.client().chain
    assert info.session_peer.verdict.accepted
    assert pair.run().resumed
    assert info.verified_peer.chain == info.session_peer.chain


def test_a_renewed_session_still_stands_for_the_certificate():
    """No certificate is shown when it is resumed, and early data in its name needs the client's leave all the same."""
    world = early_world(client=IDENTIFIED["client"], server={**IDENTIFIED["server"], **OPT_IN})
    world.client["sessions"] = renewed = SessionCache()
    for _ in range(2):
        world.meet()
    while (session := renewed.take(partition(ClientConfig(**world.client), "localhost"))) is not None:
        assert isinstance(session, ClientSession)
        assert session.identified
        assert session.max_early_data == MAX_EARLY_DATA


def test_a_server_that_does_not_say_so_any_more():
    world = early_world(client={**IDENTIFIED["client"], **OPT_IN}, server={**IDENTIFIED["server"], **OPT_IN})
    world.server |= {"early_data_with_client_identity": False}
    pair = world.meet(early_data=QUESTION)
    assert pair.resumed
    assert pair.server.info.early_data == "rejected: the session carries a client identity"
