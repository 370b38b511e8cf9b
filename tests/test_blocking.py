"""Blocking sockets at their edges: a fault behind the handshake, two threads, an interruption, wrong arguments."""

from __future__ import annotations

import logging
import select
import signal
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

import pytest

import handfast
from handfast import ClientConfig, ClientConnection, ServerConfig, ServerConnection, limits
from handfast.credentials.signers import DEFERRED
from handfast.engine import ClientAuth, Connection
from handfast.errors import ApiMisuse, ConnectionLost, HandfastError, PeerMisbehaved, PeerRejected
from handfast.handshake.needs import Judge
from handfast.io import blocking, sockets
from handfast.registry import ProtocolVersion
from handfast.sessions.cache import SessionCache
from handfast.sessions.replay import MemoryReplayGuard
from handfast.sessions.tickets import SealedTickets
from tests import certificates
from tests.aio.support import identity, verifier
from tests.test_sockets import BAD_RECORD, Doing
from tests.waiting import LIMIT, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from handfast.handshake.needs import Need
    from handfast.trust.presented import PresentedChain

BOTH = [ProtocolVersion.TLS12, ProtocolVersion.TLS13]
FOREVER = 1000.0


@pytest.fixture(autouse=True)
def _short_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LINGER_TIMEOUT", 0.05)


def client_config(version: ProtocolVersion = ProtocolVersion.TLS13, **options: Any) -> ClientConfig:
    return ClientConfig(verifier=verifier(), versions=(version,), handshake_timeout=FOREVER, **options)


def server_config(version: ProtocolVersion = ProtocolVersion.TLS13, **options: Any) -> ServerConfig:
    credentials = [identity(certificates.server())]
    return ServerConfig(credentials=credentials, versions=(version,), **{"handshake_timeout": FOREVER} | options)


class ByHand:
    """A peer whose bytes the test moves, over one end of a pair."""

    def __init__(self, connection: Connection, sock: socket.socket) -> None:
        self.connection = connection
        self.sock = sock
        sock.settimeout(LIMIT)

    def flight(self, *more: bytes) -> None:
        """Send what the engine has ready, and ``more`` behind it, in one piece."""
        self.sock.sendall(b"".join((self.connection.outgoing(), *more)))

    def read(self) -> bool:
        """Read once; False at the end."""
        data = self.sock.recv(1 << 18)
        if data:
            self.connection.receive(data)
        else:
            self.connection.eof()
        if self.connection.error is not None:
            raise self.connection.error
        return bool(data)

    def read_to_end(self) -> None:
        while self.read():
            pass


def pair(connection: Connection, peer: Connection) -> tuple[sockets.TLSSocket, ByHand]:
    """A socket of ours without a timeout of its own, and the peer, before the handshake."""
    ours, theirs = socket.socketpair()
    return sockets.TLSSocket(ours, connection), ByHand(peer, theirs)


def to_a_server(version: ProtocolVersion, *behind: bytes) -> tuple[sockets.TLSSocket, ByHand]:
    """A server and a client that sends ``behind`` in one piece with its Finished."""
    tls, peer = pair(
        ServerConnection(server_config(version)), ClientConnection(client_config(version), server_name="localhost")
    )
    peer.flight()

    def answer() -> None:
        peer.read()
        peer.flight(*behind)

    threading.Thread(target=answer, daemon=True).start()
    return tls, peer


def to_a_client(version: ProtocolVersion, *behind: bytes) -> tuple[sockets.TLSSocket, ByHand]:
    """A client and a server that sends ``behind`` in one piece with its Finished."""
    tls, peer = pair(
        ClientConnection(client_config(version), server_name="localhost"), ServerConnection(server_config(version))
    )

    def answer() -> None:
        peer.read()
        if version is ProtocolVersion.TLS12:
            peer.flight()
            peer.read()
        peer.flight(*behind)

    threading.Thread(target=answer, daemon=True).start()
    return tls, peer


@pytest.mark.parametrize("call", [sockets.TLSSocket.recv, sockets.TLSSocket.handshake, lambda tls: tls.sendall(b"x")])
@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("meet", [to_a_server, to_a_client])
def test_a_fault_behind_the_peers_finished_ends_at_once(
    meet: Callable[..., tuple[sockets.TLSSocket, ByHand]],
    version: ProtocolVersion,
    call: Callable[[sockets.TLSSocket], object],
) -> None:
    tls, peer = meet(version, BAD_RECORD)
    with peer.sock:
        caller = Doing(lambda: call(tls))
        assert caller.ends_within(LIMIT)
        assert isinstance(caller.error, PeerMisbehaved)
        assert caller.error.code == "bad_record_mac"
        assert tls.fileno() == -1
        with pytest.raises(PeerMisbehaved):
            tls.recv()
        with pytest.raises(HandfastError, match="bad_record_mac"):
            peer.read_to_end()


@pytest.mark.parametrize("version", BOTH)
def test_data_before_such_a_fault_is_received_first(version: ProtocolVersion) -> None:
    tls, peer = pair(
        ServerConnection(server_config(version)), ClientConnection(client_config(version), server_name="localhost")
    )
    with peer.sock:
        peer.flight()
        received: list[bytes] = []
        reader = Doing(lambda: received.extend(iter(tls.recv, None)))
        while not peer.connection.connected:
            peer.read()
            if version is ProtocolVersion.TLS12:
                peer.flight()
        peer.connection.send(b"data")
        peer.flight(BAD_RECORD)
        assert reader.ends_within(LIMIT)
        assert isinstance(reader.error, PeerMisbehaved)
        assert received == [b"data"]


def test_a_fault_behind_early_data_ends_at_once() -> None:
    server = server_config(tickets=SealedTickets(), max_early_data=1000, replay_guard=MemoryReplayGuard())
    client = client_config(sessions=SessionCache())
    tls, peer = pair(ServerConnection(server), ClientConnection(client, server_name="localhost"))
    with peer.sock, tls:
        peer.flight()
        first = Doing(lambda: tls.sendall(b"hello"))
        while not peer.connection.connected:
            peer.read()
        peer.flight()
        assert first.ends_within(LIMIT)
        peer.read()
    again = ClientConnection(client, server_name="localhost", early_data=b"early")
    tls, peer = pair(ServerConnection(server), again)
    with peer.sock:
        peer.flight(BAD_RECORD)
        reader = Doing(tls.recv)
        assert reader.ends_within(LIMIT)
        assert isinstance(reader.error, PeerMisbehaved)


def test_a_fault_behind_data_ends_a_request_for_a_certificate() -> None:
    client = ClientConnection(client_config(post_handshake_auth=True), server_name="localhost")
    tls, peer = pair(ServerConnection(server_config(verifier=verifier())), client)
    with peer.sock:
        peer.flight()
        asker = Doing(lambda: tls.request_client_certificate(client_auth=handfast.ClientAuth.REQUEST))
        while not client.connected:
            peer.read()
        client.send(b"data")
        data = client.outgoing()
        # Finished leaves before the request comes, the rest in one piece after it.
        head, rest = data[: data.rindex(b"\x17\x03\x03")], data[data.rindex(b"\x17\x03\x03") :]
        peer.sock.sendall(head)
        assert peer.sock.recv(1 << 16)
        peer.sock.sendall(rest + BAD_RECORD)
        assert asker.ends_within(LIMIT)
        assert isinstance(asker.error, PeerMisbehaved)


# Threads


@pytest.mark.parametrize("version", BOTH)
def test_two_threads_that_start_on_a_fresh_connection_share_its_handshake(version: ProtocolVersion) -> None:
    for _ in range(15):
        tls, peer = pair(
            ServerConnection(server_config(version)), ClientConnection(client_config(version), server_name="localhost")
        )
        with peer.sock, tls:
            start = threading.Barrier(2)
            received: list[bytes] = []

            def read(tls: sockets.TLSSocket = tls, start: Any = start, received: list[bytes] = received) -> None:
                start.wait(LIMIT)
                received.append(tls.recv())

            def write(tls: sockets.TLSSocket = tls, start: Any = start) -> None:
                start.wait(LIMIT)
                tls.sendall(b"hello")

            threads = [Doing(read), Doing(write)]
            peer.flight()
            while not peer.connection.connected:
                peer.read()
                peer.flight()
            peer.connection.send(b"data")
            peer.flight()
            for thread in threads:
                assert thread.ends_within(LIMIT)
                assert thread.error is None
            assert received == [b"data"]


class Holding(socket.socket):
    """What is read first is kept in hand until it may be given; writes fail as if the peer had gone."""

    def __init__(self, of: socket.socket) -> None:
        super().__init__(fileno=of.detach())
        self.read, self.may_go, self.failed = threading.Event(), threading.Event(), threading.Event()

    def recv(self, *arguments: int) -> bytes:
        data = super().recv(*arguments)
        if not self.read.is_set():
            self.read.set()
            self.may_go.wait(LIMIT)
        return data

    def sendall(self, *_: Any) -> None:
        self.failed.set()
        raise BrokenPipeError


def test_a_writer_that_fails_waits_for_the_reason_that_a_reader_has_in_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """In TLS 1.3 a refused client hears of it while it writes already."""
    monkeypatch.setattr(limits, "DRAIN_TIMEOUT", FOREVER)
    tls, peer = ready()
    sock = tls._sock = Holding(tls._sock)
    with pytest.raises(PeerMisbehaved):
        peer.connection.receive(BAD_RECORD)
    with peer.sock, sock:
        peer.flight()
        peer.sock.shutdown(socket.SHUT_WR)
        reading = Doing(tls.recv)
        assert sock.read.wait(LIMIT)
        writing = Doing(lambda: tls.sendall(b"data"))
        assert sock.failed.wait(LIMIT)
        # One that does not wait has ended by then.
        writing.ends_within(0.1)
        sock.may_go.set()
        for doing in (reading, writing):
            assert doing.ends_within(LIMIT)
            assert isinstance(doing.error, PeerRejected)


def test_a_bounded_wait_is_bounded_while_another_thread_reads() -> None:
    tls, peer = ready()
    with peer.sock, tls:
        reading = Doing(tls.recv)
        assert until(lambda: tls._has_in_hand)
        assert not tls.wait(0.01)
        with pytest.raises(ConnectionLost, match="nothing came"):
            tls.recv_within(0.01)
        peer.connection.send(b"data")
        peer.flight()
        assert reading.ends_within(LIMIT)
        assert reading.error is None


# Interruptions


class Interrupted(Exception):
    """What the handler of a signal raises."""


def interrupt(number: int, frame: object) -> None:
    raise Interrupted


def time_out(number: int, frame: object) -> None:
    raise TimeoutError


def ready(version: ProtocolVersion = ProtocolVersion.TLS13) -> tuple[sockets.TLSSocket, ByHand]:
    """Both after the handshake."""
    tls, peer = pair(
        ServerConnection(server_config(version)), ClientConnection(client_config(version), server_name="localhost")
    )
    peer.flight()
    shaking = Doing(tls.handshake)
    while not peer.connection.connected:
        peer.read()
        peer.flight()
    assert shaking.ends_within(LIMIT)
    return tls, peer


@pytest.mark.parametrize("raises", [interrupt, signal.default_int_handler, time_out])
@pytest.mark.parametrize(
    "write", [lambda tls: tls.sendall(bytes(1_000_000)), lambda tls: tls.sendall(bytes(limits.SEAL_STEP))]
)
def test_an_interrupted_write_ends_the_connection(raises: Any, write: Callable[[sockets.TLSSocket], None]) -> None:
    tls, peer = ready()
    tls._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    main = threading.main_thread().ident
    assert main is not None

    def when_it_is_stuck() -> None:
        assert until(
            lambda: blocking._poll(peer.sock, select.POLLIN, 0) and not blocking._poll(tls._sock, select.POLLOUT, 0)
        )
        signal.pthread_kill(main, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, raises)
    try:
        with peer.sock, tls:
            killer = Doing(when_it_is_stuck)
            with pytest.raises((Interrupted, KeyboardInterrupt, TimeoutError)):
                write(tls)
            assert killer.ends_within(LIMIT)
            for call in (lambda: tls.sendall(b"more"), tls.recv):
                with pytest.raises(ConnectionLost):
                    call()
            # What came is the beginning of the data, and then an end in the middle of a record.
            with pytest.raises(ConnectionLost) as cut:
                peer.read_to_end()
            assert cut.value.details["cut"]
    finally:
        signal.signal(signal.SIGUSR1, before)


# Arguments


def test_a_negative_size_is_refused() -> None:
    tls, peer = ready()
    with peer.sock, tls:
        peer.connection.send(b"data")
        peer.flight()
        for size in (-1, -65536):
            with pytest.raises(ValueError, match="negative"):
                tls.recv(size)
        assert tls.recv(0) == b""
        assert tls.recv(4) == b"data"
        # At once, as nothing is asked for.
        assert tls.recv(0) == b""


def test_a_negative_time_is_refused() -> None:
    tls, peer = ready()
    with peer.sock, tls, pytest.raises(ValueError, match="negative"):
        tls.wait(-1)
    config = server_config()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for timeout in (-1, float("nan")):
            with pytest.raises(ValueError, match="timeout"):
                sockets.TLSSocket(ours, ServerConnection(config), timeout=timeout)
            with pytest.raises(ValueError, match="timeout"):
                sockets.Listener(ours, config, timeout=timeout)
            with pytest.raises(ValueError, match="timeout"):
                handfast.connect("127.0.0.1", 1, client_config(), timeout=timeout)
            with pytest.raises(ValueError, match="timeout"):
                handfast.listen("127.0.0.1", 0, config, timeout=timeout)
            with pytest.raises(HandfastError, match="handshake_timeout"):
                server_config(handshake_timeout=timeout)


def test_a_negative_or_vast_length_of_keying_material_is_refused() -> None:
    for version in BOTH:
        tls, peer = ready(version)
        with peer.sock, tls:
            for length in (-1, 2**16):
                with pytest.raises(ApiMisuse):
                    tls.export("label", None, length)


# The log


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_bare_probe_is_one_line_for_debugging(how: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "handfast")
    with handfast.listen("127.0.0.1", 0, server_config()) as listener:
        probe = socket.create_connection(listener.address)
        if how == "reset":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        probe.close()
        with listener.accept() as tls, pytest.raises(ConnectionLost):
            tls.handshake()
    (record,) = [record for record in caplog.records if record.name == "handfast"]
    assert record.levelname == "DEBUG"
    assert record.getMessage().endswith(": closed before its first byte")


# Going on in plaintext


def test_a_socket_goes_on_in_plaintext() -> None:
    tls, peer = ready()
    with peer.sock, tls:
        peer.connection.send(b"data")
        peer.connection.close()
        peer.flight(b"plain")
        sock = tls.unwrap()
        assert tls.recv() == b"data"
        assert tls.recv() == b""
        assert tls.trailing_data == b"plain"
        peer.read()
        assert peer.connection.peer_closed
        sock.sendall(b"plain too")
        assert peer.sock.recv(100) == b"plain too"
        peer.sock.sendall(b"and so on")
        assert sock.recv(100) == b"and so on"
        tls.close()
        # It is no longer the TLS socket's to close.
        sock.sendall(b"still")
        assert peer.sock.recv(100) == b"still"
        sock.close()


def test_a_socket_is_not_left_while_data_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HELD_DATA", 1000)
    tls, peer = ready()
    with peer.sock, tls:
        peer.connection.send(bytes(2000))
        peer.flight()
        with pytest.raises(ApiMisuse) as caught:
            tls.unwrap()
        assert caught.value.code == "still_connected"
        assert tls.recv() == bytes(2000)


@pytest.mark.parametrize("version", BOTH)
def test_what_came_before_a_verdict_is_bounded(version: ProtocolVersion) -> None:
    """A client says its last word and goes on at once; the server's verifier takes its time."""
    held = []

    class Waiting:
        def verify(self, presented: PresentedChain) -> Any:
            return DEFERRED

    def answer(need: Need, awaitable: Any) -> object:
        held.append(tls._connection.held)
        assert isinstance(need, Judge)
        return verifier().verify(need.presented)

    mode = {"client_auth": ClientAuth.REQUIRE_AND_VERIFY, "verifier": Waiting()}
    mine = client_config(version, credentials=[identity(certificates.client())])
    ours, theirs = socket.socketpair()
    tls = sockets.TLSSocket(ours, ServerConnection(server_config(version, **mode)), on_need=answer)
    peer = ByHand(ClientConnection(mine, server_name="localhost"), theirs)

    def talk() -> None:
        peer.flight()
        while not peer.connection.connected:
            peer.read()
            if version is ProtocolVersion.TLS12:
                peer.flight()
        peer.connection.send(bytes(1_000_000))
        peer.flight()

    talking = Doing(talk)
    left = 1_000_000
    while left:
        left -= len(tls.recv())
    assert talking.ends_within(LIMIT)
    assert talking.error is None
    assert len(held) == 1
    assert held[0] <= limits.UNJUDGED_BYTES
    tls.close()
    theirs.close()


def test_observers_are_made_by_a_factory_that_is_given_the_peers_address() -> None:
    told: list[tuple[Any, list[object]]] = []

    def observe(address: Any) -> Any:
        told.append((address, []))
        return [told[-1][1].append], []

    with handfast.listen("127.0.0.1", 0, server_config(), observe=observe) as listener:
        connecting = Doing(
            lambda: handfast.connect(
                "127.0.0.1", listener.address[1], client_config(), server_name="localhost", observe=observe
            ).close()
        )
        with listener.accept() as tls:
            tls.handshake()
            assert connecting.ends_within(LIMIT)
            assert connecting.error is None
            assert {address for address, _ in told} == {listener.address, tls.peer_address}
    assert all(events for _, events in told)
