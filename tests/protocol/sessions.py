"""Sessions for the protocol tests: connections of ours that hold one, and peers that do."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from handfast.engine import (
    ClientConfig,
    ClientConnection,
    Connection,
    Data,
    EarlyData,
    Result,
    ServerConfig,
    ServerConnection,
)
from handfast.errors import HandfastError
from handfast.events import Observer
from handfast.handshake.seams import Seams
from handfast.sessions.cache import SessionCache
from handfast.sessions.replay import MemoryReplayGuard
from handfast.sessions.state import ClientSession
from handfast.sessions.tickets import SealedTickets
from tests import certificates
from tests.peer import Client, Server
from tests.protocol.ours import SECP256R1, X25519, Judge, client, credentials, may_judge, server
from tests.scripted import Psk

KEY = bytes(range(32))
# A clock that stands still, so that the peers' tickets do not age.
NOW = 1_800_000_000.0
STOPPED = Seams(clock=lambda: NOW)
MAX_EARLY_DATA = 1000
SHA256_SUITE, SHA384_SUITE, OTHER_SHA256_SUITE = 0x1301, 0x1302, 0x1303


class KnownJudge(Judge):
    """A verifier under whose sessions any other of its kind may go on."""

    policy_id = b"the same for all"


class Keeping:
    """A client's sessions that never run out: the one it is made with, or the newest, is given out again and again."""

    def __init__(self, session: Any = None) -> None:
        self.session = session
        self._keeps = session is None

    def put(self, partition: bytes, session: Any) -> None:
        if self._keeps:
            self.session = session

    def take(self, partition: bytes) -> Any:
        return self.session


class Guard:
    """A replay guard that answers as it was told, for every server that has one of its kind."""

    def __init__(self, answer: Any = True, scope: Any = b"the guard", since: Any = 0.0) -> None:
        self.answer, self._scope, self._since = answer, scope, since
        self.asked: list[tuple[bytes, float]] = []

    @property
    def scope(self) -> Any:
        return self._scope() if callable(self._scope) else self._scope

    @property
    def since(self) -> Any:
        return self._since() if callable(self._since) else self._since

    def first_use(self, key: bytes, seconds: float) -> Any:
        self.asked.append((key, seconds))
        return self.answer() if callable(self.answer) else self.answer


# What a server of ours is made of that gives tickets which any other such server takes.


def sealing(**more: Any) -> dict[str, Any]:
    """Options of a server whose tickets others like it take."""
    return {"tickets": SealedTickets([KEY]), "verifier": KnownJudge(), "seams": STOPPED, **more}


def early(**more: Any) -> dict[str, Any]:
    """... and which takes early data."""
    return sealing(max_early_data=MAX_EARLY_DATA, replay_guard=Guard(), **more)


@cache
def ticket(suite: int = SHA256_SUITE, **ours: Any) -> Psk:
    """A ticket of a server of ours, as the peer has it."""
    peer = Client(server(**early(**ours)), suites=(suite,)).run()
    assert peer.complete, peer.connection.error
    return peer.tickets[0]


@cache
def given(suite: int = SHA256_SUITE, protocol: bytes = b"") -> tuple[Psk, ClientSession]:
    """A ticket that the peer gave to a client of ours: as the peer has it, and as ours has it."""
    sessions = Keeping()
    protocols = (protocol.decode(),) if protocol else ()
    ours = client(sessions=sessions, suites=(suite,), application_protocols=protocols)
    options: dict[str, Any] = {"tickets": 1, "max_early_data": MAX_EARLY_DATA, "protocol": protocol}
    peer = Server(ours, **options).run()
    assert peer.complete, peer.connection.error
    assert sessions.session is not None
    return peer.given[0], sessions.session


# Early data

QUESTION = b"GET / HTTP/1.0\r\n\r\n"


def early_data_of(results: list[Result]) -> bytes:
    """All early data among some results."""
    return b"".join(result.data for result in results if isinstance(result, EarlyData))


def data_of(results: list[Result]) -> bytes:
    """All other application data."""
    return b"".join(result.data for result in results if isinstance(result, Data))


# Two connections of ours


class Pair:
    """A client and a server of ours that meet in memory."""

    def __init__(self, client: ClientConnection, server: ServerConnection) -> None:
        self.client, self.server = client, server
        self.client_results: list[Result] = []
        self.server_results: list[Result] = []
        # All that the client sent, in the pieces in which it was delivered.
        self.client_sent: list[bytes] = []

    def run(self, on_server: Callable[[ServerConnection], None] | None = None) -> Pair:
        """Until both are quiet; ``on_server`` is called whenever the server has taken something."""
        while self._carry(self.client, self.server, self.server_results, self.client_sent, on_server) or self._carry(
            self.server, self.client, self.client_results
        ):
            pass
        return self

    def _carry(
        self,
        source: Connection,
        sink: Connection,
        results: list[Result],
        sent: list[bytes] | None = None,
        then: Callable[[Any], None] | None = None,
    ) -> bool:
        data = source.outgoing()
        if not data:
            return False
        if sent is not None:
            sent.append(data)
        try:
            if sink.error is None:
                results += sink.receive(data)
                if then is not None:
                    then(sink)
        except HandfastError:
            pass
        return True

    @property
    def resumed(self) -> bool:
        """Whether a session was resumed, on which both agree; both are connected."""
        assert (self.client.error, self.server.error) == (None, None)
        assert self.client.connected
        assert self.server.connected
        assert self.client.info.resumed == self.server.info.resumed
        return self.client.info.resumed


class World:
    """A client and a server with what they keep, and the clock on both walls."""

    def __init__(self, *, client: dict[str, Any] | None = None, server: dict[str, Any] | None = None) -> None:
        self.now = NOW
        self.seams = Seams(clock=lambda: self.now)
        self.judge_of_client, self.judge_of_server = KnownJudge(), KnownJudge()
        self.client: dict[str, Any] = {
            "verifier": self.judge_of_client,
            "groups": (X25519, SECP256R1),
            "sessions": SessionCache(),
            **(client or {}),
        }
        self.server: dict[str, Any] = {
            "verifier": self.judge_of_server,
            "groups": (X25519, SECP256R1),
            "credentials": (credentials(certificates.server()),),
            "tickets": SealedTickets([KEY]),
            **(server or {}),
        }

    def pair(
        self,
        *,
        name: str | None = "localhost",
        early_data: bytes = b"",
        client: dict[str, Any] | None = None,
        server: dict[str, Any] | None = None,
        watched: bool = False,
    ) -> Pair:
        """The two, before a byte is carried; options replace those of the world for this once."""
        observers: tuple[Observer, ...] = (lambda event: None,) if watched else ()
        ours = ClientConnection(
            ClientConfig(**{**self.client, **(client or {})}),
            server_name=name,
            early_data=early_data,
            observers=observers,
            seams=self.seams,
        )
        settings = {**self.server, **(server or {})}
        if not may_judge(settings) and "verifier" not in (server or {}):
            settings["verifier"] = None
        return Pair(ours, ServerConnection(ServerConfig(**settings), observers=observers, seams=self.seams))

    def meet(self, **options: Any) -> Pair:
        """One connection, as far as it goes by itself."""
        return self.pair(**options).run()


def early_world(*, client: dict[str, Any] | None = None, server: dict[str, Any] | None = None) -> World:
    """A world with early data; the first connection is over and brought tickets."""
    guard = {"max_early_data": MAX_EARLY_DATA, "replay_guard": MemoryReplayGuard(wall_clock=lambda: 0.0)}
    world = World(client=client, server={**guard, **(server or {})})
    assert not world.meet().resumed
    return world
