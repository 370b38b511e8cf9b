"""A connection of the drop-in that is used in the middle of its own thread's call; the other end is Python's own."""

from __future__ import annotations

import ssl
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from handfast.events import HandshakeComplete
from tests.aio.support import verifier
from tests.interrupting import interrupted
from tests.sslcontext.pairs import OURS, STOCK, Files, Pair, Sockets, client_context, context_of, server_context
from tests.test_sockets import Doing
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from handfast.trust.presented import PresentedChain

A, B = b"A" * 100, b"B" * 100
versions = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2], ids=["1.3", "1.2"])


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def contexts(files: Files, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> tuple[Any, Any]:
    client = client_context(OURS, files)
    client.maximum_version = version
    return server_context(STOCK, files), client


def told(step: Callable[[], object]) -> str:
    """By what a step was refused."""
    try:
        step()
    except ssl.SSLError as error:
        return str(error)
    return ""


def written_in_between(write: Callable[[bytes], object], at: int) -> tuple[bool, str]:
    """Whether a handler came in the middle of a write with a write of its own, and how that was refused."""
    refusals: list[str] = []
    came: list[bool] = []

    def handle() -> None:
        refusals.append(told(lambda: write(B)))

    writing = Doing(lambda: came.append(interrupted(lambda: write(A), handle, at)))
    assert writing.ends_within(LIMIT)
    if writing.error is not None:
        raise writing.error
    return came[0], "".join(refusals)


@versions
def test_a_handler_that_writes_to_buffers(files: Files, version: ssl.TLSVersion) -> None:
    pair = Pair(*contexts(files, version)).shake_hands()
    seen = set()
    for at in count():
        came, refused = written_in_between(pair.client.write, at)
        expected = {A} if refused or not came else {A + B, B + A}
        assert read_all(pair.server) in expected, at
        seen.add("reentrant" in refused)
        if not came:
            break
    assert seen == {True, False}


def read_all(connection: ssl.SSLObject) -> bytes:
    received = b""
    while True:
        try:
            received += connection.read(1 << 16)
        except ssl.SSLWantReadError:
            return received


@versions
def test_a_handler_that_writes_to_a_socket(files: Files, version: ssl.TLSVersion) -> None:
    with Sockets(*contexts(files, version)) as pair:
        for at in count():
            came, refused = written_in_between(pair.client.sendall, at)
            expected = {A} if refused or not came else {A + B, B + A}
            received = b""
            while len(received) < len(next(iter(expected))):
                received += pair.server.recv(1 << 16)
            assert received in expected, at
            if not came:
                break


def test_a_handler_that_writes_while_something_else_is_sent(files: Files) -> None:
    """Of a request for a certificate after the handshake."""
    client = context_of(STOCK, ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(files.ca)
    client.post_handshake_auth = True
    server = server_context(OURS, files, verify=ssl.CERT_OPTIONAL)
    server.post_handshake_auth = True
    with Sockets(server, client) as pair:
        # Some of the places, of which a request has hundreds.
        for at in count(step=3):
            came, refused = asked_in_between(pair.server, at)
            pair.server.sendall(A)
            expected = A if refused or not came else B + A
            received = b""
            while len(received) < len(expected):
                received += pair.client.recv(1 << 16)
            assert received == expected, at
            # Behind the answer to the request.
            pair.client.sendall(B)
            assert pair.server.recv(1 << 16) == B
            if not came:
                break


def asked_in_between(connection: Any, at: int) -> tuple[bool, str]:
    """Whether a handler came in the middle of a request with a write, and how that was refused."""
    refusals: list[str] = []

    def handle() -> None:
        refusals.append(told(lambda: connection.sendall(B)))

    came = interrupted(connection.verify_client_post_handshake, handle, at)
    return came, "".join(refusals)


class Interrupted(Exception):
    """What a signal's handler raises."""


def interrupt() -> None:
    raise Interrupted


def seen_of_an_interruption(files: Files, at: int) -> tuple[bool, str]:
    """Whether a handler that raises came in the middle of a write, and by what the other end's reading ended."""
    with Sockets(*contexts(files)) as pair:
        came = False
        try:
            interrupted(lambda: pair.client.sendall(A), interrupt, at)
        except Interrupted:
            came = True
        except ssl.SSLError:
            # In the middle of the engine it is taken for a fault of it, and the alert stands behind a gap.
            return True, ""
        # Once more, as a program would that thinks nothing of it.
        told(lambda: pair.client.sendall(A))
        pair.client.close()
        return came, told(lambda: [None for _ in iter(lambda: pair.server.recv(1 << 16), b"")])


def test_what_a_handler_raises_ends_the_connection_or_changes_nothing(files: Files) -> None:
    """No record is sent twice, and none is left out: the other end would take it for an attack."""
    # Every second place: each takes a connection.
    for at in count(step=2):
        came, ended = seen_of_an_interruption(files, at)
        assert "MAC" not in ended, at
        if not came:
            break


class Nosy:
    """A verifier, or an observer, that uses its connection."""

    def __init__(self) -> None:
        self.step: Callable[[], object] = lambda: None
        self.told: list[str] = []

    def verify(self, presented: PresentedChain) -> Any:
        self.told.append(told(self.step))
        return verifier().verify(presented)

    def __call__(self, event: object) -> None:
        if isinstance(event, HandshakeComplete):
            self.told.append(told(self.step))


CALLS: dict[str, Callable[[Any], object]] = {
    "read": lambda connection: connection.read(1),
    "write": lambda connection: connection.write(b"x"),
    "unwrap": lambda connection: connection.unwrap(),
    "do_handshake": lambda connection: connection.do_handshake(),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("who", ["verifier", "observer"])
def test_a_callback_that_uses_its_connection_is_refused(files: Files, who: str, call: str) -> None:
    """And the connection goes on as if it had not tried."""
    nosy = Nosy()
    server, client = contexts(files)
    if who == "verifier":
        client.verifier = nosy
    else:
        client.observe = lambda _address: ((nosy,), ())
    pair = Pair(server, client)
    nosy.step = lambda: CALLS[call](pair.client)
    shaking = Doing(pair.shake_hands)
    assert shaking.ends_within(LIMIT)
    assert shaking.error is None
    # To shake hands once more is nothing to do for who has done.
    assert nosy.told == [""] if (who, call) == ("observer", "do_handshake") else all(nosy.told)
    pair.server.write(A)
    assert pair.client.read(1 << 16) == A
    pair.client.write(B)
    assert pair.server.read(1 << 16) == B
