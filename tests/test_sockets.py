"""Blocking sockets: what is left unsent, threads that read and write at once, and many descriptors."""

from __future__ import annotations

import fcntl
import resource
import select
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import handfast
from handfast import ClientAuth, ClientConfig, Credentials, ServerConfig, limits
from handfast.errors import ConnectionLost, HandfastError, PeerMisbehaved, PeerRejected
from handfast.io import blocking, sockets
from handfast.registry import AlertDescription, AlertLevel, ContentType
from tests import certificates
from tests.aio.support import identity, verifier
from tests.waiting import LIMIT, OUR_LIMIT, TEST_LIMIT, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from handfast.events import Observer, SecretSink

FEW_BYTES = 16 * 1024
GREETING = b"hello"
NAMES = tuple(f"{number}.a-name-that-takes-some-room.example.com" for number in range(200))


def server_config(**options: Any) -> ServerConfig:
    return ServerConfig(credentials=[identity(certificates.server())], **options)


def connected(
    client_config: ClientConfig | None = None, **options: Any
) -> tuple[sockets.TLSSocket, sockets.TLSSocket, threading.Thread]:
    """A client and a server, the client's send buffer small, and the thread in which the server greets."""
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, FEW_BYTES)
    server = sockets.TLSSocket(theirs, handfast.ServerConnection(server_config(**options)), timeout=LIMIT)
    thread = threading.Thread(target=server.sendall, args=(GREETING,))
    thread.start()
    client = sockets.client(ours, client_config or ClientConfig(verifier=verifier()), server_name="localhost")
    return client, server, thread


def test_the_end_of_a_large_last_flight_leaves_while_the_client_reads() -> None:
    mine = identity(certificates.client())
    others = [certificates.server(names=NAMES).chain[0]] * 6
    large = Credentials((mine.chain[0], *others), mine.signer)
    config = ClientConfig(credentials=[large], verifier=verifier())
    client, server, thread = connected(
        config, client_auth=ClientAuth.REQUIRE_AND_VERIFY, verifier=verifier(), handshake_timeout=OUR_LIMIT
    )
    with client, server:
        # The handshake is complete on this side, and the certificates are larger than what the system takes at once.
        assert client.recv() == GREETING
        thread.join()
        assert server.info.verified_peer is not None


def test_a_short_wait_of_the_thread_that_reads_is_none_of_the_thread_that_writes() -> None:
    client, server, thread = connected()
    thread.join()
    assert client.recv() == GREETING
    writes = threading.Event()

    class Slow(socket.socket):
        """Lets the other thread go on between the two steps of a write."""

        def sendall(self, *arguments: Any) -> None:
            writes.set()
            time.sleep(0.05)
            super().sendall(*arguments)

    client._sock = Slow(fileno=client._sock.detach())
    data = bytes(16 * FEW_BYTES)
    failed: list[BaseException] = []

    def write() -> None:
        try:
            client.sendall(data)
        except BaseException as error:
            failed.append(error)

    with client, server:
        writer = threading.Thread(target=write)
        writer.start()
        assert writes.wait(LIMIT)
        for _ in range(20):
            assert not client.wait(0.01)
        left = len(data)
        while left and not failed:
            left -= len(server.recv())
        writer.join()
        assert not failed


class Watched(socket.socket):
    """Tells when two threads write at once."""

    def __init__(self, of: socket.socket) -> None:
        super().__init__(fileno=of.detach())
        self.writing = threading.Lock()
        self.overlapped = False

    def sendall(self, *arguments: Any) -> None:
        mine = self.writing.acquire(blocking=False)
        self.overlapped |= not mine
        try:
            super().sendall(*arguments)
        finally:
            if mine:
                self.writing.release()


class Doing:
    """Something that a thread does, and the error that it ends with."""

    def __init__(self, what: Callable[[], object]) -> None:
        self._what = what
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._what()
        except BaseException as error:
            self.error = error

    def ends_within(self, seconds: float) -> bool:
        self._thread.join(seconds)
        return not self._thread.is_alive()


def stuck(timeout: float | None = None) -> tuple[sockets.TLSSocket, sockets.TLSSocket, Watched, Doing]:
    """A client with a thread in the middle of a write, and a server that reads nothing."""
    client, server, thread = connected()
    thread.join()
    assert client.recv() == GREETING
    client._timeout = timeout
    watched = client._sock = Watched(client._sock)
    writer = Doing(lambda: client.sendall(bytes(1_000_000)))
    assert until(lambda: client._sending and not blocking._poll(watched, select.POLLOUT, 0))
    return client, server, watched, writer


def read_to_end(end: sockets.TLSSocket) -> None:
    while end.recv():
        pass


BAD_RECORD = b"\x17\x03\x03\x00\x20" + bytes(32)


def test_an_alert_waits_for_the_record_that_another_thread_writes() -> None:
    client, server, watched, writer = stuck()
    failed = threading.Event()
    abort = client._abort

    def told(error: HandfastError) -> None:
        failed.set()
        abort(error)

    client._abort = told  # type: ignore[method-assign]
    with client, server:
        server._sock.sendall(BAD_RECORD)
        reader = Doing(client.recv)
        assert failed.wait(LIMIT)
        with pytest.raises(PeerRejected) as refused:
            read_to_end(server)
        assert refused.value.code == "bad_record_mac"
        assert reader.ends_within(LIMIT)
        assert writer.ends_within(LIMIT)
        assert isinstance(reader.error, PeerMisbehaved)
        assert isinstance(writer.error, PeerMisbehaved)
        assert not watched.overlapped


def test_a_writer_that_is_stuck_does_not_keep_an_error_from_ending_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "LINGER_TIMEOUT", 0.05)
    client, server, watched, writer = stuck()
    with client, server:
        server._sock.sendall(BAD_RECORD)
        with pytest.raises(PeerMisbehaved):
            client.recv()
        assert writer.ends_within(LIMIT)
        assert isinstance(writer.error, PeerMisbehaved)
        assert not watched.overlapped


def test_a_writer_that_is_stuck_does_not_keep_close_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SHUTDOWN_TIMEOUT", 0.05)
    client, server, watched, writer = stuck()
    with server:
        assert Doing(client.close).ends_within(LIMIT)
        assert writer.ends_within(LIMIT)
        assert isinstance(writer.error, HandfastError)
        assert not watched.overlapped


def test_nothing_follows_a_record_that_was_cut() -> None:
    client, server, _, writer = stuck(timeout=0.5)
    with server:
        # Waits behind the record that is cut.
        client.connection.update_keys()
        assert writer.ends_within(LIMIT)
        assert isinstance(writer.error, ConnectionLost)
        client.close()
        with pytest.raises(ConnectionLost) as lost:
            read_to_end(server)
        assert (lost.value.code, lost.value.details["cut"]) == ("unexpected_eof", True)


def segment(server: sockets.TLSSocket, *more: bytes) -> bytes:
    """Data of a server, and what a lying one sends behind it."""
    engine = server.connection
    engine.send(b"data")
    for alert in more:
        engine._records.write(ContentType.alert, alert)
    return engine.outgoing()


def test_an_error_behind_data_is_told_at_once_and_after_all_of_it() -> None:
    # The peer keeps its side open, and the handshake would still have more time than the test may take.
    client, server, thread = connected(ClientConfig(verifier=verifier(), handshake_timeout=2 * TEST_LIMIT))
    thread.join()
    assert client.recv() == GREETING
    with client, server:
        server._sock.sendall(segment(server, bytes((AlertLevel.fatal, AlertDescription.internal_error))))
        assert [client.recv(3), client.recv(3)] == [b"dat", b"a"]
        waiting = Doing(lambda: client.wait(2 * TEST_LIMIT))
        assert waiting.ends_within(TEST_LIMIT)
        assert isinstance(waiting.error, PeerRejected)
        for call in (client.recv, client.recv, lambda: client.sendall(b"x"), lambda: client.wait(0)):
            with pytest.raises(PeerRejected, match="internal_error"):
                call()
        assert client.fileno() == -1


@pytest.mark.parametrize("asked", [True, False])
def test_our_alert_behind_data_leaves(asked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LINGER_TIMEOUT", 0.05)
    client, server, thread = connected()
    thread.join()
    assert client.recv() == GREETING
    with client, server:
        server._sock.sendall(segment(server) + b"\x17\x03\x03\x00\x20" + bytes(32) + bytes(100))
        assert client.recv() == b"data"
        if asked:
            with pytest.raises(PeerMisbehaved):
                client.recv()
        client.close()
        with pytest.raises(PeerRejected) as told:
            server.recv()
        assert told.value.code == "bad_record_mac"


def test_the_alert_is_lingered_for_beyond_descriptor_1023() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        pytest.skip("this system lets no process have so many files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    first, theirs = socket.socketpair()
    try:
        with first, theirs, socket.socket(fileno=fcntl.fcntl(first, fcntl.F_DUPFD_CLOEXEC, 2000)) as ours:
            theirs.sendall(b"the reason")
            assert list(blocking._drain(ours, 0.05, 100)) == [b"the reason"]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_receive_that_is_bounded_as_a_whole() -> None:
    """A record that comes a byte at a time stretches nothing; what did come is still there afterwards."""
    client, server, thread = connected()
    with client, server:
        thread.join()
        assert client.recv_within(LIMIT, 2) == GREETING[:2]
        assert client.pending() == len(GREETING) - 2
        assert client.recv_within(0) == GREETING[2:]
        assert client.pending() == 0
        with pytest.raises(ConnectionLost) as late:
            client.recv_within(0.01)
        assert (late.value.code, client.connection.error) == ("timeout", None)
        server.connection.send(GREETING)
        record = server.connection.outgoing()

        def drip() -> None:
            for at in range(len(record) - 1):
                server._sock.sendall(record[at:][:1])

        dripping = threading.Thread(target=drip)
        dripping.start()
        with pytest.raises(ConnectionLost):
            client.recv_within(0.05)
        dripping.join()
        server._sock.sendall(record[-1:])
        assert client.recv_within(LIMIT) == GREETING
        server.shutdown_write()
        assert client.recv_within(LIMIT) == b""
        with pytest.raises(ValueError, match="seconds"):
            client.recv_within(-1)


def test_a_connection_that_cannot_be_watched_is_closed() -> None:
    def observe(_address: object) -> tuple[list[Observer], list[SecretSink]]:
        raise OSError("no room for the trace")

    listener = sockets.listen("127.0.0.1", 0, server_config(), observe=observe)
    with listener, socket.create_connection(listener.address, timeout=LIMIT) as plain:
        # What is raised knows the frame in which the connection was, and must not be what keeps it open.
        with pytest.raises(OSError, match="no room") as raised:
            listener.accept()
        assert plain.recv(1) == b""
        assert raised.tb is not None


def test_an_answer_for_those_who_speak_http_without_tls() -> None:
    with sockets.listen("127.0.0.1", 0, server_config(), timeout=LIMIT) as listener:
        listener.plain_http_answer = b"HTTP/1.1 400 Bad Request\r\n\r\n"
        for request, answer in ((b"GET / HTTP/1.1\r\n", listener.plain_http_answer), (b"SSH-2.0-x\r\n", b"")):
            with socket.create_connection(listener.address, timeout=LIMIT) as plain, listener.accept() as tls:
                plain.sendall(request)
                plain.shutdown(socket.SHUT_WR)
                with pytest.raises(HandfastError):
                    tls.handshake()
                told = b"".join(iter(lambda sock=plain: sock.recv(100), b""))  # type: ignore[misc]
                assert told.startswith(answer + b"\x15\x03\x03\x00\x02\x02")
