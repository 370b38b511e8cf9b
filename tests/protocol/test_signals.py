"""A signal's handler that uses the connection in whose middle it came: refused, or as if it had come before or after.

Never is anything sealed twice under one nonce (RFC 9846 5.3), sent twice, or sent out of order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import count

import pytest

from handfast.engine import Connection, Data, PeerClosed, Result
from handfast.errors import ApiMisuse, ConnectionLost, HandfastError
from tests.interrupting import interrupted
from tests.protocol.ours import client, server

SIZES = {"a small record": 32, "a large record": 5000, "many records": 40_000}
versions = pytest.mark.parametrize("version", [0x0304, 0x0303], ids=["1.3", "1.2"])


def connected(version: int) -> tuple[Connection, Connection]:
    ours, theirs = client(versions=(version,)), server(versions=(version,))
    while (wire := (ours.outgoing(), theirs.outgoing())) != (b"", b""):
        theirs.receive(wire[0])
        ours.receive(wire[1])
    return ours, theirs


class Handler:
    """Does something once, and says whether that was refused."""

    def __init__(self, step: Callable[[], object]) -> None:
        self.step = step
        self.refused = ""

    def __call__(self) -> None:
        try:
            self.step()
        except ApiMisuse as misuse:
            self.refused = misuse.code


def data_of(results: Sequence[Result]) -> bytes:
    return b"".join(bytes(one.data) for one in results if isinstance(one, Data))


@versions
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_a_handler_that_sends(version: int, size: int) -> None:
    ours, theirs = connected(version)
    first, second = b"A" * size, b"B" * 32
    outcomes = set()
    for at in count():
        handler = Handler(lambda: ours.send(second))
        reached = interrupted(lambda: ours.send(first), handler, at)
        got = data_of(theirs.receive(ours.outgoing()))
        if not reached:
            assert got == first
            break
        assert got in ({first} if handler.refused else {first + second, second + first}), at
        outcomes.add(handler.refused)
    assert outcomes == {"reentrant", ""}


def while_bytes_are_taken(ours: Connection, at: int, *, takes: bool) -> tuple[bool, bytes]:
    """Whether the handler came, and all bytes as they were taken: a handler's after those in whose taking it came."""
    outer: list[bytes] = []
    within: list[bytes] = []

    def handle() -> None:
        ours.send(b"B")
        if takes:
            within.append(ours.outgoing())

    ours.send(b"A")
    reached = interrupted(lambda: outer.append(ours.outgoing()), handle, at)
    return reached, b"".join([*outer, *within, ours.outgoing()])


@versions
@pytest.mark.parametrize("takes", [False, True], ids=["sends", "sends and takes"])
def test_a_handler_while_bytes_are_taken(version: int, takes: bool) -> None:
    """What it sends leaves with what is being taken, or next; what it takes, none else does."""
    ours, theirs = connected(version)
    for at in count():
        reached, wire = while_bytes_are_taken(ours, at, takes=takes)
        assert data_of(theirs.receive(wire)) == (b"AB" if reached else b"A"), at
        if not reached:
            break


def while_bytes_are_received(ours: Connection, theirs: Connection, at: int) -> tuple[bool, list[bytes]]:
    """Whether the handler came, and what was received: by the call, by the handler, or after both."""
    ours.send(b"A" * 32)
    first = ours.outgoing()
    ours.send(b"B" * 32)
    second = ours.outgoing()
    received: list[bytes] = []
    handler = Handler(lambda: received.append(data_of(theirs.receive(second))))
    reached = interrupted(lambda: received.append(data_of(theirs.receive(first))), handler, at)
    if handler.refused or not reached:
        assert handler.refused in ("", "reentrant")
        received.append(data_of(theirs.receive(second)))
    return reached, received


@versions
def test_a_handler_that_receives(version: int) -> None:
    ours, theirs = connected(version)
    # At the beginnings of the function there and of the call it would come before that call.
    for at in count(2):
        reached, received = while_bytes_are_received(ours, theirs, at)
        assert sorted(received) == [b"A" * 32, b"B" * 32], at
        if not reached:
            break


def while_data_is_sent(ours: Connection, handler: Callable[[], object], at: int) -> tuple[bool, str]:
    """Whether the handler came, and how the sending failed."""
    try:
        return interrupted(lambda: ours.send(b"A"), handler, at), ""
    except HandfastError as error:
        return True, error.code


@versions
def test_a_handler_that_closes(version: int) -> None:
    for at in count():
        ours, theirs = connected(version)
        handler = Handler(ours.close)
        reached, failed = while_data_is_sent(ours, handler, at)
        assert failed in ("", "closed_for_writing")
        results = theirs.receive(ours.outgoing())
        if not reached:
            break
        assert data_of(results) == (b"" if failed else b"A")
        assert (not handler.refused) is any(isinstance(one, PeerClosed) for one in results), at


@versions
def test_a_refusal_that_a_handler_lets_out_ends_the_connection(version: int) -> None:
    """What it interrupted is neither done nor not done."""
    ends = set()
    for at in count():
        ours, theirs = connected(version)
        reached, failed = while_data_is_sent(ours, partial(ours.send, b"B"), at)
        if not reached:
            break
        if failed:
            ends.add(failed)
            with pytest.raises(ConnectionLost, match="interrupted"):
                ours.send(b"C")
        else:
            assert data_of(theirs.receive(ours.outgoing())) in (b"AB", b"BA")
    assert ends == {"interrupted"}
