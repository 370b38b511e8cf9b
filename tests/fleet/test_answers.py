"""What Redis may answer at most, and what of it becomes text: bounded and escaped, however long or hostile it is."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import pytest

from handfast import limits
from handfast.fleet.scripts import EPOCH, FIRST_USE
from tests.fleet.support import Redis, fleet
from tests.peers.base import require_module
from tests.waiting import LIMIT, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STATE, POLICY, LIFETIME = b"what the session is", bytes(range(32)), 100
HOSTILE = (b"\x1b[2J\xff" + "\u202e".encode()) * 7000
EPOCH_MARKER = b"e" * 16 + b"f" * 40 + b"1000"
# A line in the log: some sentences of ours around one text of Redis, of which each character may be escaped.
LONGEST = 10 * limits.MAX_DETAIL_TEXT


def bulk(data: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(data), data)


class Scripted:
    """A Redis that answers commands as ``answers`` says, by name or by script; else as one that has nothing."""

    def __init__(self, answers: dict[bytes, bytes], *, endless: bytes = b"") -> None:
        self._answers = {b"SET": b"+OK\r\n", EPOCH.encode(): b"*2\r\n" + bulk(EPOCH_MARKER) + b":0\r\n", **answers}
        self._endless = endless
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}"
        self._over = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        socket.create_connection(self._listener.getsockname()).close()
        self._thread.join(LIMIT)
        self._listener.close()

    def _run(self) -> None:
        while not self._over:
            with suppress(OSError), self._listener.accept()[0] as peer, peer.makefile("rb") as commands:
                while head := commands.readline():
                    command = [commands.read(int(commands.readline()[1:]) + 2)[:-2] for _ in range(int(head[1:]))]
                    peer.sendall(self._answer(command))
                    while self._endless and command[0] == b"EVAL":
                        peer.sendall(self._endless)

    def _answer(self, command: list[bytes]) -> bytes:
        for name in (command[1] if command[0] == b"EVAL" else b"", command[0]):
            if name in self._answers:
                return self._answers[name]
        return (
            b"*%d\r\n" % (len(command) - 1) + b"$-1\r\n" * (len(command) - 1) if command[0] == b"MGET" else b"+OK\r\n"
        )


def assert_short_lines(caplog: pytest.LogCaptureFixture, words: str) -> None:
    lines = [record.getMessage() for record in caplog.records]
    assert any(words in line for line in lines), lines
    assert all(line.isprintable() and len(line) < LONGEST for line in lines)


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({b"SET": b"-OOM " + HOSTILE + b"\r\n"}, "Redis refuses a ticket key: "),
        ({EPOCH.encode(): b"-ERR " + HOSTILE + b"\r\n"}, "early data is refused: "),
        ({b"MGET": b"-ERR " + HOSTILE + b"\r\n"}, "cannot be used: "),
        ({b"MGET": b"-LOADING " + HOSTILE + b"\r\n"}, "cannot be used: "),
        ({b"MGET": b"!" + HOSTILE + b"\r\n"}, "cannot be used: "),
        ({EPOCH.encode(): b":" + HOSTILE + b"\r\n"}, "cannot be used: "),
    ],
    ids=["SET", "epoch", "MGET", "loading", "no answer", "no number"],
)
def test_what_redis_says_is_short_and_printable(
    often: None, caplog: pytest.LogCaptureFixture, answers: dict[bytes, bytes], words: str
) -> None:
    require_module("redis")
    with Scripted(answers) as redis, fleet(redis.url, ready=False) as node:
        assert until(lambda: any(words in record.getMessage() for record in caplog.records))
        assert node.trouble.isprintable()
        assert len(node.trouble) < LONGEST
    assert_short_lines(caplog, words)


@pytest.mark.parametrize("answer", [bulk(HOSTILE), b"-ERR " + HOSTILE + b"\r\n"], ids=["text", "error"])
def test_what_redis_says_of_a_hello_is_short_and_printable(
    often: None, caplog: pytest.LogCaptureFixture, answer: bytes
) -> None:
    require_module("redis")
    kept: dict[bytes, bytes] = {}

    class Keeping(Scripted):
        """Keeps the ticket keys, without which a fleet is not ready."""

        def _answer(self, command: list[bytes]) -> bytes:
            if command[0] == b"SET":
                kept[command[1]] = command[2]
            if command[0] == b"MGET":
                found = [kept.get(name) for name in command[1:]]
                return b"*%d\r\n" % len(found) + b"".join(b"$-1\r\n" if one is None else bulk(one) for one in found)
            return super()._answer(command)

    with Keeping({FIRST_USE.encode(): answer}) as redis, fleet(redis.url) as node:
        assert node.replay_guard.scope
        assert node.replay_guard.first_use(node.replay_guard.scope + b"a", 20) is False
        assert node.wait(LIMIT)
    assert_short_lines(caplog, "Redis refused a question: " if answer[:1] == b"-" else "early data is refused: ")


@pytest.mark.parametrize(
    ("answer", "endless"),
    [
        (b"$%d\r\n" % 10**12, b"x" * 1000),
        (b"*%d\r\n" % 10**9, b":1\r\n" * 1000),
    ],
    ids=["text", "numbers"],
)
def test_no_answer_is_longer_than_one_may_be(often: None, answer: bytes, endless: bytes) -> None:
    require_module("redis")
    scripted = Scripted({EPOCH.encode(): answer}, endless=endless)
    with scripted as redis, fleet(redis.url, ready=False) as node:
        assert until(lambda: node.trouble == f"an answer has more than {limits.FLEET_ANSWER} bytes")
        assert not node.wait(0.0)


def test_a_session_that_is_too_long_is_unknown(tmp_path: Path, often: None) -> None:
    fits, too_long = bytes(limits.FLEET_ANSWER - 100), bytes(limits.FLEET_ANSWER)
    with Redis(tmp_path) as redis, fleet(redis) as node:
        kept: Any = [node.stored_tickets.issue(state, POLICY, LIFETIME, b"") for state in (fits, too_long)]
        ask: tuple[Callable[[bytes, bytes], object], ...] = (node.stored_tickets.find, node.stored_tickets.redeem)
        for one in ask:
            assert node.wait(LIMIT)
            assert one(kept[1], POLICY) is None
        assert node.wait(LIMIT)
        assert node.stored_tickets.redeem(kept[0], POLICY) == fits


def test_many_short_periods_are_fetched_in_parts(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A week of ticket keys that each seal for half a minute, of which all is asked at first."""
    monkeypatch.setattr(limits, "TICKET_KEY_ROTATION_LEAST", 30)
    with fleet(redis, rotation=30) as one, fleet(redis, rotation=30) as other:
        ticket = one.tickets.issue(STATE, POLICY, LIFETIME)
        assert ticket is not None
        assert other.tickets.redeem(ticket, POLICY) == STATE
