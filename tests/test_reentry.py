"""A blocking socket that is used in the middle of its own thread's call: by a signal's handler, or by a callback.

It never waits for itself. What it sends arrives once and in order, or is refused.
"""

from __future__ import annotations

import socket
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from handfast import ClientConnection, ServerConnection
from handfast.engine import Data
from handfast.errors import ApiMisuse, ConnectionLost, HandfastError
from handfast.events import HandshakeComplete
from handfast.verdict import Verdict
from tests.aio.support import verifier
from tests.interrupting import interrupted
from tests.test_blocking import ByHand, client_config, pair, ready, server_config
from tests.test_sockets import Doing
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable

    from handfast.io.sockets import TLSSocket
    from handfast.trust.presented import PresentedChain


def done(work: Callable[[], Any]) -> Any:
    """What comes of it in a thread of its own: one that waited for itself would wait for ever."""
    results: list[Any] = []
    doing = Doing(lambda: results.append(work()))
    assert doing.ends_within(LIMIT)
    if doing.error is not None:
        raise doing.error
    return results[0]


def all_that_came(peer: ByHand) -> tuple[bytes, str]:
    """The data that a peer received until the end, and the code of the error that ended it."""
    received = b""
    with peer.sock:
        try:
            while data := peer.sock.recv(1 << 18):
                results = peer.connection.receive(data)
                received += b"".join(bytes(one.data) for one in results if isinstance(one, Data))
            peer.connection.eof()
        except HandfastError as error:
            return received, error.code
        except ConnectionResetError:
            # Whoever closed had not read all.
            return received, "reset"
    return received, ""


def told(step: Callable[[], object]) -> str:
    """The code of the error by which a step was refused."""
    try:
        step()
    except HandfastError as error:
        return error.code
    return ""


def sent_in_between(at: int) -> tuple[bool, str, bytes, str]:
    """Whether a handler came in the middle of a write, how it was refused, and what its peer got of both writes."""
    tls, peer = ready()
    refusals: list[str] = []

    def handle() -> None:
        refusals.append(told(lambda: tls.sendall(b"B" * 100)))

    with tls:
        came = done(lambda: interrupted(lambda: tls.sendall(b"A" * 100), handle, at))
    return came, "".join(refusals), *all_that_came(peer)


def test_a_handler_that_writes() -> None:
    refusals = set()
    for at in count():
        came, refused, received, error = sent_in_between(at)
        assert error == ""
        if not came:
            break
        refusals.add(refused)
        assert sorted(received.split(b"A" * 100)) == ([b"", b""] if refused else [b"", b"B" * 100]), at
    assert refusals == {"", "reentrant"}


def received_in_between(at: int) -> tuple[bool, str, bytes]:
    """Whether a handler came in the middle of a read with a read of its own, how that was refused, and all data."""
    tls, peer = ready()
    for data in (b"A", b"B"):
        peer.connection.send(data)
        peer.flight()
    peer.connection.close()
    peer.flight()
    # Who waits already when a handler takes what it waits for waits for more: here for the end.
    peer.sock.shutdown(socket.SHUT_WR)
    received: list[bytes] = []
    refusals: list[str] = []

    def handle() -> None:
        refusals.append(told(lambda: received.append(tls.recv(1))))

    with peer.sock, tls:
        came = done(lambda: interrupted(lambda: received.append(tls.recv(1)), handle, at))
        while data := done(lambda: tls.recv(1)):
            received.append(data)
    return came, "".join(refusals), b"".join(sorted(received))


def test_a_handler_that_reads() -> None:
    refusals = set()
    for at in count():
        came, refused, received = received_in_between(at)
        assert received == b"AB", at
        if not came:
            break
        refusals.add(refused)
    assert refusals == {"", "reentrant"}


def closed_in_between(work: Callable[[TLSSocket], object], at: int) -> tuple[bool, str, str]:
    """Whether a handler came, how the call failed that it came in between, and what its peer took that for."""
    tls, peer = ready()
    peer.connection.send(b"data")
    peer.flight()
    came: list[bool] = []
    failed = told(lambda: done(lambda: came.append(interrupted(lambda: work(tls), tls.close, at))))
    tls.close()
    return came != [False], failed, all_that_came(peer)[1]


@pytest.mark.parametrize(
    "work",
    [lambda tls: tls.sendall(b"A" * 40_000), lambda tls: tls.recv(), lambda tls: tls.update_keys()],
    ids=["sendall", "recv", "update_keys"],
)
def test_a_handler_that_closes(work: Callable[[TLSSocket], object]) -> None:
    for at in count():
        came, failed, seen = closed_in_between(work, at)
        if not came:
            break
        # A close in the middle of a record cuts it, and is none by which a record could be taken for another.
        assert seen in ("", "unexpected_eof", "reset"), at
        assert failed in ("", "closed_for_writing", "reset", "interrupted"), at


class Nosy:
    """A verifier that uses its connection's socket while it judges."""

    def __init__(self) -> None:
        self.step: Callable[[], object] = lambda: None
        self.told: list[str] = []

    def verify(self, presented: PresentedChain) -> Verdict:
        self.told.append(told(self.step))
        verdict = verifier().verify(presented)
        assert isinstance(verdict, Verdict)
        return verdict

    def __call__(self, event: object) -> None:
        if isinstance(event, HandshakeComplete):
            self.told.append(told(self.step))


CALLS: dict[str, Callable[[TLSSocket], object]] = {
    "handshake": lambda tls: tls.handshake(),
    "recv": lambda tls: tls.recv(),
    "recv_within": lambda tls: tls.recv_within(1000),
    "sendall": lambda tls: tls.sendall(b"data"),
    "shutdown_write": lambda tls: tls.shutdown_write(),
    "update_keys": lambda tls: tls.update_keys(),
    "unwrap": lambda tls: tls.unwrap(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("who", ["verifier", "observer"])
def test_a_callback_that_uses_its_socket_is_refused(who: str, call: Callable[[TLSSocket], object]) -> None:
    """And the handshake goes on as if it had not tried."""
    nosy = Nosy()
    config = replace(client_config(), verifier=nosy) if who == "verifier" else client_config()
    observers = (nosy,) if who == "observer" else ()
    tls, peer = pair(
        ClientConnection(config, server_name="localhost", observers=observers), ServerConnection(server_config())
    )
    nosy.step = lambda: call(tls)
    with peer.sock, tls:
        shaking = Doing(tls.handshake)
        while not peer.connection.connected:
            peer.read()
            peer.flight()
        assert shaking.ends_within(LIMIT)
        assert shaking.error is None
        assert nosy.told == [""] if (who, call) == ("observer", CALLS["handshake"]) else ["reentrant"]
        peer.connection.send(b"data")
        peer.flight()
        assert tls.recv() == b"data"


def answer(peer: ByHand) -> None:
    peer.read()
    peer.flight()


def test_a_callback_may_close_its_socket() -> None:
    nosy = Nosy()
    tls, peer = pair(
        ClientConnection(replace(client_config(), verifier=nosy), server_name="localhost"),
        ServerConnection(server_config()),
    )
    nosy.step = tls.close
    with peer.sock:
        answering = Doing(lambda: answer(peer))
        with pytest.raises(ConnectionLost):
            done(tls.handshake)
        assert answering.ends_within(LIMIT)
    assert nosy.told == [""]
    with pytest.raises((ConnectionLost, ApiMisuse)):
        tls.recv()
