"""The short ways for one record of application data do what the general ways do: the same bytes, results and refusals.

A connected side that nobody watches takes them, when one record comes, or goes, at a time; an observer is enough to
make it go the general way, and so are cuts within records.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handfast.engine import Connection, Data
from handfast.errors import ApiMisuse, ConnectionLost, HandfastError
from handfast.events import Event
from handfast.limits import MAX_EMPTY_RECORDS
from handfast.roles import Role
from handfast.wire.messages import KeyUpdate, NewSessionTicket
from tests.lies import ALERT, APPLICATION_DATA, HANDSHAKE, WARNING, Item, Plain, Record, alert, flipped
from tests.protocol.ours import both_roles, meet
from tests.protocol.test_splitting import ours, peer_of

roles = st.sampled_from(list(Role))
# Around the sizes at which a way ends.
sizes = st.sampled_from([1, 2, 64, 1000, 2047, 2048, 2049, 16383, 16384])
KINDS: dict[str, Callable[[bytes], Any]] = {
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": memoryview,
    "wide memoryview": lambda data: memoryview(data.ljust(-(-len(data) // 4) * 4)).cast("I"),
}


def content(size: int) -> bytes:
    return (b"%d " % size * size)[:size]


honest = st.one_of(
    st.builds(lambda size: Record(APPLICATION_DATA, content(size)), sizes),
    st.builds(lambda size, padding: Record(APPLICATION_DATA, content(size)[padding:], padding), sizes, st.just(40)),
    st.just(Record(APPLICATION_DATA, b"")),
    st.sampled_from([KeyUpdate(0), KeyUpdate(1)]),
)
LAST: dict[str, Sequence[Item]] = {
    "nothing": [],
    "close_notify": [alert(0, WARNING), Record(APPLICATION_DATA, b"late")],
    "fatal alert": [alert(40)],
    "altered": [Record(APPLICATION_DATA, b"data", damage=flipped)],
    "altered and large": [Record(APPLICATION_DATA, content(9000), damage=flipped)],
    "other type on the wire": [Record(APPLICATION_DATA, b"data", damage=lambda wire: flipped(wire, 0))],
    "other version": [Record(APPLICATION_DATA, b"data", damage=lambda wire: flipped(wire, 1))],
    "other minor version": [Record(APPLICATION_DATA, b"data", damage=lambda wire: flipped(wire, 2))],
    "half a record": [Record(APPLICATION_DATA, content(100), damage=lambda wire: wire[:60])],
    "unknown content": [Record(99, content(3000))],
    "only padding": [Record(0, b"", 5)],
    "only much padding": [Record(0, b"", 5000)],
    "too long inside": [Record(APPLICATION_DATA, bytes(16385))],
    "in plaintext": [Plain(APPLICATION_DATA, b"data")],
    "alert in plaintext": [Plain(ALERT, b"\2\x28")],
    "data within a message": [Record(HANDSHAKE, KeyUpdate(0).encode()[:3]), Record(APPLICATION_DATA, b"data")],
    "empty records": [Record(APPLICATION_DATA, b"")] * (MAX_EMPTY_RECORDS + 1),
}


def pieces_of(role: Role, items: Sequence[Item]) -> list[bytes]:
    """What a peer sends: its handshake, then each item, up to the one that ours refuses."""
    peer = peer_of(role, ours(role)).run()
    assert peer.complete, peer.connection.error
    ends = [0, len(peer.delivered)]
    for item in items:
        if isinstance(item, KeyUpdate):
            peer.update_keys(item.request_update)
        else:
            peer.say(item)
        ends.append(len(peer.delivered))
    return [bytes(peer.delivered[start:end]) for start, end in pairwise(ends)]


def heard(role: Role, pieces: Sequence[Any], *, watched: bool) -> dict[str, object]:
    """All that comes of some bytes."""
    connection = ours(role, [list[Event]().append] if watched else ())
    sent = connection.outgoing()
    results = []
    for piece in pieces:
        with suppress(HandfastError):
            results += connection.receive(piece)
        sent += connection.outgoing()
    if connection.error is None:
        connection.send(b"an answer")
        connection.close()
    return {
        "data": b"".join(result.data for result in results if isinstance(result, Data)),
        "other results": [type(result) for result in results if not isinstance(result, Data)],
        "sent": sent + connection.outgoing(),
        "error": str(connection.error),
        "code": connection.error and connection.error.code,
    }


@given(
    role=roles,
    items=st.lists(honest, max_size=6),
    last=st.sampled_from(list(LAST)),
    kind=st.sampled_from(["bytes", "bytearray", "memoryview"]),
    cuts=st.lists(st.floats(0, 1), max_size=5),
)
@settings(max_examples=60)
def test_whatever_comes_the_short_way_and_the_general_one_agree(role, items, last, kind, cuts):
    tickets = [NewSessionTicket(1, 2, b"", b"ticket")] if role is Role.CLIENT else []
    first, *rest = pieces_of(role, [*tickets, *items, *LAST[last]])
    short = heard(role, [first, *map(KINDS[kind], rest)], watched=False)
    assert short == heard(role, [first, *rest], watched=True)
    wire = b"".join(rest)
    places = [0, *sorted(int(cut * len(wire)) for cut in cuts), len(wire)]
    cut = [wire[start:end] for start, end in pairwise(places)]
    # Whoever was told of an end by an error is told so by the next call, even if nothing more came.
    assert short == heard(role, [first, *cut, b""], watched=False)


@pytest.mark.parametrize("last", LAST)
@both_roles
def test_every_end_alone(role, last):
    pieces = pieces_of(role, LAST[last])
    assert heard(role, pieces, watched=False) == heard(role, pieces, watched=True)


def sent(role: Role, steps: Sequence[object], questions: Sequence[bytes], *, watched: bool) -> list[bytes]:
    """What ours sends in some steps: a size and kind to send, True to be asked for new keys, False to make them."""
    handshake, *asks = questions
    connection = ours(role, [list[Event]().append] if watched else ())
    connection.receive(handshake)
    pieces = [connection.outgoing()]
    for step in steps:
        if isinstance(step, tuple):
            size, kind = step
            connection.send(KINDS[kind](content(size)))
        elif step:
            connection.receive(asks.pop(0))
        else:
            connection.update_keys()
        pieces.append(connection.outgoing())
    return pieces


@given(
    role=roles,
    steps=st.lists(
        st.one_of(
            st.booleans(), st.tuples(st.one_of(sizes, st.sampled_from([0, 16388, 40000])), st.sampled_from(list(KINDS)))
        ),
        max_size=12,
    ),
)
@settings(max_examples=60)
def test_whatever_is_sent_the_short_way_and_the_general_one_agree(role, steps):
    with pytest.MonkeyPatch.context() as patch:
        # New keys become due after 6 records.
        patch.setattr("handfast.handshake.post_handshake.UPDATE_BEFORE_LIMIT", 2**24 - 6)
        questions = pieces_of(role, [KeyUpdate(1)] * steps.count(True))
        assert sent(role, steps, questions, watched=False) == sent(role, steps, questions, watched=True)


def closed(connection: Connection) -> None:
    connection.close()


def lost(connection: Connection) -> None:
    connection.lost(ConnectionLost("reset", stage="in a test"))


def ended(connection: Connection) -> None:
    with pytest.raises(ConnectionLost):
        connection.eof()


def refused(connection: Connection) -> None:
    with pytest.raises(HandfastError):
        connection.receive(b"\x17\3\3\0\1x")


@pytest.mark.parametrize(
    ("end", "code"),
    [(closed, "closed_for_writing"), (lost, "reset"), (ended, "unexpected_eof"), (refused, "bad_record_mac")],
)
@both_roles
def test_nothing_is_sealed_after_an_end(role, end, code):
    peer = meet(role).run()
    connection = peer.connection
    connection.send(b"data")
    end(connection)
    keys = connection._records.write_protection
    assert keys is not None
    before = keys.records
    connection.outgoing()
    with pytest.raises(HandfastError) as caught:
        connection.send(b"data")
    assert caught.value.code == code
    assert connection.outgoing() == b""
    assert keys.records == before


@both_roles
def test_what_cannot_be_sent_is_the_callers_fault_and_harms_nothing(role):
    peer = meet(role).run()
    things: list[Any] = ["text", 5, None, memoryview(b"abcdef")[::2]]
    for wrong in things:
        with pytest.raises(TypeError):
            peer.connection.send(wrong)
    peer.connection.send(b"data")
    assert bytes(peer.listen().data) == b"data"


@both_roles
def test_a_sink_cannot_send_while_keys_change(role):
    """With a sink there is somebody who can call back in between two keys, so nothing goes the short way."""
    refusals: list[str] = []

    def sink(secret: object) -> None:
        try:
            peer.connection.send(b"in between")
        except ApiMisuse as misuse:
            refusals.append(misuse.code)

    peer = meet(role, {"sinks": [sink]})
    peer.run()
    refusals.clear()
    peer.update_keys(1)
    peer.connection.send(b"data")
    assert refusals == ["reentrant", "reentrant"]
    assert bytes(peer.listen().data) == b"data"
