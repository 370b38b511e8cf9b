"""However a transport cuts the bytes, and however a peer cuts its messages: the same results, answers and events."""

from __future__ import annotations

import functools
import hashlib
from typing import Any

import pytest

from handfast.crypto import groups
from handfast.engine import ClientAuth, Connection, Data, HandshakeDone, PeerClosed
from handfast.events import Event, MessageSeen, RecordSeen
from handfast.handshake.seams import Seams
from handfast.roles import Role
from handfast.wire.messages import KeyUpdate, NewSessionTicket
from tests import certificates
from tests.lies import APPLICATION_DATA, HANDSHAKE, WARNING, Record, alert
from tests.peer import Client, Server
from tests.protocol.ours import X25519, both_roles, client, credentials, server
from tests.scripted import Peer

# Ed25519 signs the same content with the same bytes, so that with these seams a connection says the same every time.
SERVER_IDENTITY, CLIENT_IDENTITY = certificates.server("ed25519"), certificates.client("ed25519")
KEY_SHARE = groups.generate(X25519)
ENCAPSULATE = functools.cache(groups.encapsulate)


class Randomness:
    """The same bytes for every connection."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, size: int) -> bytes:
        self.asked += 1
        return hashlib.sha512(b"%d" % self.asked).digest()[:size]


def seams() -> Seams:
    return Seams(
        clock=lambda: 1_800_000_000.0,
        monotonic=lambda: 0.0,
        random_bytes=Randomness(),
        generate=lambda group: KEY_SHARE,
        encapsulate=ENCAPSULATE,
    )


def ours(role, observers=()):
    """Our connection, which says the same whenever it is made, with a certificate."""
    if role is Role.CLIENT:
        mine = (credentials(CLIENT_IDENTITY),)
        return client(observers=observers, seams=seams(), credentials=mine, groups=(X25519,))
    mine = (credentials(SERVER_IDENTITY),)
    asks = ClientAuth.REQUIRE_AND_VERIFY
    return server(observers=observers, seams=seams(), credentials=mine, groups=(X25519,), client_auth=asks)


def peer_of(role: Role, connection: Connection, **options: Any) -> Peer:
    """The peer of our connection, with a certificate, which asks for ours too."""
    if role is Role.CLIENT:
        return Server(connection, identity=SERVER_IDENTITY, requests_certificate=True, **options)
    return Client(connection, identity=CLIENT_IDENTITY, **options)


@functools.cache
def recorded(role: Role) -> tuple[bytes, int]:
    """All that a peer sends in a handshake, some data, new keys and an end, and how much of it is the handshake."""
    peer = peer_of(role, ours(role)).run()
    assert peer.complete, peer.connection.error
    handshake = len(peer.delivered)
    if role is Role.CLIENT:
        peer.say(NewSessionTicket(1, 2, b"", b"ticket"))
    peer.say(Record(APPLICATION_DATA, b"first"), Record(APPLICATION_DATA, b""), Record(APPLICATION_DATA, b"second", 7))
    peer.update_keys(1).say(Record(APPLICATION_DATA, b"third"), Record(APPLICATION_DATA, b"fourth"), alert(0, WARNING))
    assert peer.connection.error is None
    return bytes(peer.delivered), handshake


class Heard:
    """What came of some bytes: results (with data in one piece), everything that ours sent, and all events."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, role: Role, pieces: list[bytes], *, watched: bool) -> None:
        self.events: list[Event] = []
        connection: Connection = ours(role, [self.events.append] if watched else ())
        self.sent = connection.outgoing()
        results = []
        for piece in pieces:
            results += connection.receive(piece)
            self.sent += connection.outgoing()
        connection.send(b"an answer")
        connection.close()
        self.sent += connection.outgoing()
        self.data = b"".join(result.data for result in results if isinstance(result, Data))
        self.results = [type(result) for result in results if not isinstance(result, Data)]
        self.info = connection.info

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Heard) and vars(self) == vars(other)


@functools.cache
def in_one_piece(role: Role, *, watched: bool) -> Heard:
    return Heard(role, [recorded(role)[0]], watched=watched)


@both_roles
def test_the_bytes_in_one_piece(role):
    heard = in_one_piece(role, watched=True)
    assert heard.data == b"firstsecondthirdfourth"
    assert heard.results == [HandshakeDone, PeerClosed]
    assert heard.info.complete
    assert heard.info.certificate_sent
    assert [type(event.message) for event in heard.events if isinstance(event, MessageSeen)][-1] is KeyUpdate


@both_roles
def test_who_watches_changes_nothing(role):
    watched, unwatched = (in_one_piece(role, watched=one) for one in (True, False))
    assert unwatched.events == []
    assert (watched.data, watched.results, watched.sent) == (unwatched.data, unwatched.results, unwatched.sent)
    assert watched.info == unwatched.info


@both_roles
def test_cut_in_two_at_every_position(role):
    wire, _ = recorded(role)
    whole = in_one_piece(role, watched=True)
    for position in range(1, len(wire)):
        assert Heard(role, [wire[:position], wire[position:]], watched=True) == whole, position


@both_roles
def test_cut_in_two_at_every_position_after_the_handshake_when_nobody_watches(role):
    wire, handshake = recorded(role)
    whole = in_one_piece(role, watched=False)
    for position in range(handshake, len(wire)):
        pieces = [wire[:handshake], wire[handshake:position], wire[position:]]
        assert Heard(role, pieces, watched=False) == whole, position


@pytest.mark.parametrize("watched", [True, False])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 100])
@both_roles
def test_so_many_bytes_at_a_time(role, size, watched):
    wire, _ = recorded(role)
    pieces = [wire[start : start + size] for start in range(0, len(wire), size)]
    assert Heard(role, pieces, watched=watched) == in_one_piece(role, watched=watched)


@both_roles
def test_empty_pieces_in_between(role):
    wire, handshake = recorded(role)
    pieces = [b"", wire[:10], b"", wire[10:handshake], b"", b"", wire[handshake:], b""]
    for watched in (True, False):
        assert Heard(role, pieces, watched=watched) == in_one_piece(role, watched=watched)


# How messages are put into records

LAYOUTS: dict[str, dict[str, object]] = {
    "a flight in one record": {},
    "each message in its own record": {"merged": False},
    "one byte in each record": {"fragment": 1},
    "three bytes in each record": {"fragment": 3},
    "fragments across messages": {"fragment": 100},
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@both_roles
def test_however_messages_are_put_into_records(role, layout):
    """The same messages come out, each told with the records that it came in."""
    events: list[Event] = []
    peer = peer_of(role, ours(role, [events.append]), **layout).run()
    assert peer.complete, peer.connection.error
    came = [event for event in events if isinstance(event, MessageSeen) and event.direction is role.peer.sends]
    names = ["Certificate", "CertificateVerify", "Finished"]
    first = ["ServerHello", "EncryptedExtensions", "CertificateRequest"] if role is Role.CLIENT else ["ClientHello"]
    assert [type(event.message).__name__ for event in came] == first + names
    contents = {
        event.index: event.content
        for event in events
        if isinstance(event, RecordSeen) and event.direction is role.peer.sends and event.content_type == HANDSHAKE
    }
    for event in came:
        assert event.raw in b"".join(contents[index] for index in event.records)
        assert event.raw not in b"".join(contents[index] for index in event.records[1:])
        assert event.raw not in b"".join(contents[index] for index in event.records[:-1])


def test_the_seams_make_a_connection_say_the_same():
    assert ours(Role.CLIENT).outgoing() == ours(Role.CLIENT).outgoing()
