"""The signer in handshakes, of both shells and both roles, also where the holder does not play along."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import handfast
from handfast import ClientAuth, Credentials, RemoteSigner, aio, limits
from handfast.credentials.signers import LocalSigner
from handfast.errors import ApiMisuse, ConfigError, HandfastError, LocalFailure, PeerRejected
from handfast.keyholder.link import HolderAddress
from handfast.keyholder.messages import (
    VERSION,
    Answer,
    CertificateVerify13,
    Code,
    FrameTooLarge,
    Request,
    Side,
    compose,
    frame,
    read_frame,
)
from handfast.registry import SignatureScheme
from handfast.roles import Role
from handfast.wire.codec import decode, encode
from tests import certificates
from tests.aio.conftest import Runner, run
from tests.aio.support import Made, Recorder, client_config, connected, listening, server_config
from tests.keyholder.support import Running, close, held, remote
from tests.ports import own_port
from tests.waiting import LIMIT, until, with_growing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["run"]  # the fixture

ECDSA = SignatureScheme.ecdsa_secp256r1_sha256
CONTENT = compose(CertificateVerify13(Side.server, bytes(32)))[1]
MUTUAL = ClientAuth.REQUIRE_AND_VERIFY


@contextmanager
def identities(address: Any, **options: Any) -> Iterator[tuple[Credentials, Credentials]]:
    """A server's and a client's, whose keys are in the holder at ``address``."""
    both = remote(certificates.server(), address, **options), remote(certificates.client(), address, **options)
    try:
        yield both
    finally:
        close(*both)


def handshake(client: handfast.ClientConfig, server: handfast.ServerConfig) -> tuple[Any, Any]:
    """What blocking sockets at both ends make of it: data that came across, or an error."""
    results: dict[str, Any] = {}

    def serve() -> None:
        try:
            with listener.accept() as tls:
                tls.sendall(tls.handshake().verified_peer.verdict.names[0].encode())  # type: ignore[union-attr]
        except HandfastError as error:
            results["server"] = error

    with handfast.listen("127.0.0.1", 0, server, timeout=LIMIT) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            port = listener.address[1]
            with handfast.connect("127.0.0.1", port, client, timeout=LIMIT) as tls:
                results["client"] = tls.recv()
        except HandfastError as error:
            results["client"] = error
        thread.join()
    return results.get("client"), results.get("server")


def test_blocking_sockets_in_both_roles(tmp_path: Path) -> None:
    with Running(path=tmp_path / "s"), identities(tmp_path / "s") as (server, client):
        for _ in range(3):
            got = handshake(
                client_config(credentials=[client]), server_config(client_auth=MUTUAL, credentials=[server])
            )
            assert got == (b"DNS:alice", None)


def test_asyncio_in_both_roles(run: Runner, tmp_path: Path) -> None:
    with Running(path=tmp_path / "s"), identities(tmp_path / "s") as (server, client):

        async def main() -> None:
            config = server_config(client_auth=MUTUAL, credentials=[server])
            made = Made()
            async with listening(await aio.create_server(made, "127.0.0.1", 0, config)) as port:
                mine = client_config(credentials=[client])
                connecting = [aio.create_connection(Recorder, "127.0.0.1", port, mine) for _ in range(5)]
                for transport, protocol in await asyncio.gather(*connecting):
                    assert transport.info.verified_peer is not None
                    transport.close()
                    await protocol.lost
                for one in made.all:
                    await one.lost
                    assert one.transport.info.verified_peer is not None

        run(main())


def test_over_tls(tmp_path: Path) -> None:
    tls = server_config(client_auth=MUTUAL)
    with Running(tls=tls, names=["DNS:alice"]) as running:
        address = ("127.0.0.1", running.port)
        with identities(address, tls=client_config(), server_name="localhost") as (server, client):
            got = handshake(
                client_config(credentials=[client]), server_config(client_auth=MUTUAL, credentials=[server])
            )
            assert got == (b"DNS:alice", None)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa-p384", "rsa-2048"])
def test_every_kind_of_key(tmp_path: Path, kind: str) -> None:
    issued = certificates.server(kind)
    with Running(held(issued), path=tmp_path / "s"):
        server = remote(issued, tmp_path / "s")
        got = handshake(client_config(), server_config(client_auth=MUTUAL, credentials=[server]))
        assert got == (b"DNS:alice", None)
        close(server)


def test_threads_and_loops_share_one_connection(tmp_path: Path) -> None:
    signed: list[bytes] = []
    with Running(path=tmp_path / "s") as running, identities(tmp_path / "s") as (server, _):

        async def some() -> None:
            signed.extend(await asyncio.gather(*(server.signer.sign(ECDSA, CONTENT) for _ in range(20))))  # type: ignore[arg-type]

        def one() -> None:
            signed.append(server.signer.sign(ECDSA, CONTENT))  # type: ignore[arg-type]

        threads = [threading.Thread(target=asyncio.run, args=(some(),)) for _ in range(2)]
        threads += [threading.Thread(target=one) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert running.holder._served == 1
    assert len(set(signed)) == 60


def test_more_requests_than_the_holder_lets_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HOLDER_PENDING", 4)

    class Yielding:
        schemes = (ECDSA,)

        async def sign(self, scheme: int, message: bytes) -> bytes:
            await asyncio.sleep(0)
            return b"signature"

    async def ask(signer: Any) -> list[Any]:
        return await asyncio.gather(*(signer.sign(ECDSA, CONTENT) for _ in range(50)))

    key = held(certificates.server(), signer=Yielding())
    with Running(key, path=tmp_path / "s"), identities(tmp_path / "s") as (server, _):
        assert asyncio.run(ask(server.signer)) == [b"signature"] * 50


def test_a_role_that_the_holder_does_not_grant(tmp_path: Path) -> None:
    key = held(certificates.server(), [Role.CLIENT])
    with Running(key, path=tmp_path / "s"), identities(tmp_path / "s") as (server, _):
        client, error = handshake(client_config(), server_config(client_auth=MUTUAL, credentials=[server]))
    assert isinstance(error, LocalFailure)
    assert (error.code, error.details["reason"]) == ("holder_refused", "the key is not for this role")
    assert isinstance(client, PeerRejected)
    assert "internal_error" in client.what


@pytest.mark.parametrize("content", [b"", b"a will", CONTENT + b"more"])
def test_other_content_never_leaves_the_process(tmp_path: Path, content: bytes) -> None:
    refused = pytest.raises(LocalFailure, match="nothing that a TLS handshake signs")
    with identities(tmp_path / "nobody is here") as (server, _), refused:
        server.signer.sign(ECDSA, content)


def test_a_user_whom_the_holder_does_not_know(tmp_path: Path) -> None:
    with Running(path=tmp_path / "s", uids=[os.geteuid() + 1]), identities(tmp_path / "s") as (server, _):
        with pytest.raises(LocalFailure, match="not one that may use it") as refused:
            server.signer.sign(ECDSA, CONTENT)
        assert refused.value.code == "holder_refused"


def test_a_holder_that_restarts(tmp_path: Path) -> None:
    with identities(tmp_path / "s") as (server, _):
        assert isinstance(server.signer, RemoteSigner)
        place = server.signer._place
        opened = place.open
        readers: list[asyncio.StreamReader] = []

        async def open_and_note() -> Any:
            streams = await opened()
            readers.append(streams[0])
            return streams

        place.open = open_and_note  # type: ignore[method-assign]
        for _ in range(3):
            with Running(path=tmp_path / "s"):
                assert server.signer.sign(ECDSA, CONTENT)
            # A request that is written before its thread has heard of the end would be lost with the connection.
            assert until(readers[-1].at_eof)
        assert len(readers) == 3


def test_a_connection_that_is_gone_before_it_is_asked(tmp_path: Path) -> None:
    with Running(path=tmp_path / "s"), identities(tmp_path / "s") as (server, _):
        assert isinstance(server.signer, RemoteSigner)
        place = server.signer._place
        opened = place.open
        tried: list[Any] = []

        async def open_and_lose() -> Any:
            streams = await opened()
            tried.append(streams)
            if len(tried) < 4:
                streams[1].transport.abort()
            return streams

        place.open = open_and_lose  # type: ignore[method-assign]
        with pytest.raises(LocalFailure) as failed:
            server.signer.sign(ECDSA, CONTENT)
        assert failed.value.code == "holder_lost"
        assert len(tried) == 2
        assert server.signer.sign(ECDSA, CONTENT)
        assert len(tried) == 4


def test_a_holder_that_is_gone_before_it_is_asked(tmp_path: Path) -> None:
    with_growing(0.2, partial(ask_a_holder_that_goes, tmp_path))


def ask_a_holder_that_goes(folder: Path, seconds: float) -> None:
    path = folder / f"{seconds}"
    with Running(path=path), identities(path, timeout=seconds) as (server, _):
        assert isinstance(server.signer, RemoteSigner)
        place = server.signer._place
        opened = place.open
        ways = iter([opened])

        async def open_once_and_lose() -> Any:
            streams = await next(ways, nobody)()
            streams[1].transport.abort()
            return streams

        async def nobody() -> Any:
            raise ConnectionRefusedError(111, "Connection refused")

        place.open = open_once_and_lose  # type: ignore[method-assign]
        with pytest.raises(LocalFailure) as failed:
            server.signer.sign(ECDSA, CONTENT)
        assert failed.value.code == "holder_unreachable"


def test_a_holder_that_comes_while_a_handshake_waits_for_it(tmp_path: Path) -> None:
    tried = threading.Event()

    with identities(tmp_path / "s") as (server, _):
        assert isinstance(server.signer, RemoteSigner)
        place = server.signer._place
        opened = place.open

        async def open_and_tell() -> Any:
            try:
                return await opened()
            finally:
                tried.set()

        place.open = open_and_tell  # type: ignore[method-assign]
        signed: list[Any] = []
        thread = threading.Thread(target=lambda: signed.append(server.signer.sign(ECDSA, CONTENT)))
        thread.start()
        assert tried.wait(LIMIT)
        with Running(path=tmp_path / "s"):
            thread.join()
        assert len(signed) == 1


def test_nobody_is_there(tmp_path: Path) -> None:
    def attempt(seconds: float) -> None:
        with identities(tmp_path / "s", timeout=seconds) as (server, _):
            with pytest.raises(LocalFailure) as failed:
                server.signer.sign(ECDSA, CONTENT)
            assert failed.value.code == "holder_unreachable"
            assert "No such file" in failed.value.what

    with_growing(0.12, attempt)


def test_out_of_descriptors_it_fails_and_signs_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> Any:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with Running(path=tmp_path / "holder"):
        credentials = remote(certificates.server(), tmp_path / "holder")
        with monkeypatch.context() as patch:
            patch.setattr(asyncio, "new_event_loop", full)
            patch.setattr(asyncio.events, "new_event_loop", full)
            with pytest.raises(LocalFailure, match="Too many open files"):
                credentials.signer.sign(ECDSA, CONTENT)
        assert credentials.signer.sign(ECDSA, CONTENT)
        close(credentials)


def test_pauses_between_attempts_grow_and_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RECONNECT_FIRST", 0.001)
    monkeypatch.setattr(limits, "RECONNECT_MOST", 0.003)
    pauses: list[float] = []
    slept = asyncio.sleep

    async def sleep(seconds: float, *rest: Any) -> Any:
        pauses.append(seconds)
        return await slept(seconds, *rest)

    monkeypatch.setattr(asyncio, "sleep", sleep)

    def attempt(seconds: float) -> None:
        pauses.clear()
        refused = pytest.raises(LocalFailure, match="cannot be reached")
        with identities(tmp_path / "s", timeout=seconds) as (server, _), refused:
            server.signer.sign(ECDSA, CONTENT)
        assert pauses[:3] == [0.001, 0.002, 0.003]
        assert set(pauses[2:]) <= {0.003, 0}

    with_growing(0.1, attempt)


# Holders that do not play along


class FakeHolder:
    """Does with each connection what the test says."""

    def __init__(self, path: Path, behave: Callable[..., Any]) -> None:
        self._path, self._behave = path, behave
        self.connections = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._main(),))

    async def _main(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_unix_server(self._connected, self._path)
        self._ready.set()
        await self._stopped.wait()
        server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._behave(self, reader, writer)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    def __enter__(self) -> FakeHolder:
        self._thread.start()
        self._ready.wait(LIMIT)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(LIMIT)


async def next_request(reader: asyncio.StreamReader) -> Request:
    return decode(Request, await read_frame(reader, limits.HOLDER_REQUEST_FRAME))


def signing(request: Request) -> Answer:
    local = LocalSigner(certificates.server().key)
    return Answer(VERSION, request.request_id, Code.signed, local.sign(request.scheme, compose(request.parts())[1]))


def test_a_holder_that_goes_away_while_a_request_waits(tmp_path: Path) -> None:
    async def behave(self: FakeHolder, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await next_request(reader)
        if self.connections > 1:
            writer.write(frame(signing(request)))
            await reader.read()

    with FakeHolder(tmp_path / "s", behave) as holder, identities(tmp_path / "s") as (server, _):
        with pytest.raises(LocalFailure, match="went away before it signed: it closed the connection") as lost:
            server.signer.sign(ECDSA, CONTENT)
        assert lost.value.code == "holder_lost"
        assert server.signer.sign(ECDSA, CONTENT)
        assert holder.connections == 2


@pytest.mark.parametrize("lie", ["of other bytes", "noise"])
def test_a_wrong_signature_is_not_sent(tmp_path: Path, lie: str) -> None:
    async def behave(self: FakeHolder, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await next_request(reader)
            signature = LocalSigner(certificates.server().key).sign(ECDSA, b"other") if lie != "noise" else b"noise"
            writer.write(frame(Answer(VERSION, request.request_id, Code.signed, signature)))

    with FakeHolder(tmp_path / "s", behave), identities(tmp_path / "s") as (server, _):
        client, error = handshake(client_config(), server_config(client_auth=MUTUAL, credentials=[server]))
    assert isinstance(error, LocalFailure)
    assert error.code == "wrong_signature"
    assert isinstance(client, PeerRejected)


NONSENSE = {
    "a frame that does not decode": b"\0\0\1\1",
    "a frame that is too large": (limits.HOLDER_ANSWER_FRAME + 1).to_bytes(3, "big"),
    "another version": frame(Answer(VERSION + 1, 1, Code.signed, b"x")),
    "the other protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "a signature of no bytes": frame(Answer(VERSION, 1, Code.signed, b"")),
    "a code that does not exist": frame(Answer(VERSION, 1, 99, b"")),
    "an end of the connection": frame(Answer(VERSION, 0, Code.busy, b"")),
}


@pytest.mark.parametrize("nonsense", NONSENSE.values(), ids=NONSENSE)
def test_a_holder_that_talks_nonsense(tmp_path: Path, nonsense: bytes) -> None:
    async def behave(self: FakeHolder, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await next_request(reader)
        writer.write(nonsense if self.connections == 1 else frame(signing(request)))
        await reader.read()

    with FakeHolder(tmp_path / "s", behave), identities(tmp_path / "s") as (server, _):
        with pytest.raises(LocalFailure) as failed:
            server.signer.sign(ECDSA, CONTENT)
        assert failed.value.code in ("holder_lost", "holder_refused")


def test_answers_in_any_order_and_answers_that_nobody_asked_for(tmp_path: Path) -> None:
    async def behave(self: FakeHolder, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests = [await next_request(reader) for _ in range(10)]
        writer.write(frame(Answer(VERSION, 12345, Code.signed, b"for nobody")))
        for request in reversed(requests):
            writer.write(frame(Answer(VERSION, request.request_id, Code.signed, encode(request)[1:40])))
        await reader.read()

    async def ask(signer: Any) -> list[Any]:
        contents = [compose(CertificateVerify13(Side.server, bytes([n]) * 32))[1] for n in range(10)]
        return await asyncio.gather(*(signer.sign(ECDSA, content) for content in contents))

    with FakeHolder(tmp_path / "s", behave), identities(tmp_path / "s") as (server, _):
        answers = asyncio.run(ask(server.signer))
        assert [int.from_bytes(answer[:4], "big") for answer in answers] == list(range(1, 11))


def test_a_connection_that_was_idle_is_not_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def behave(self: FakeHolder, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(frame(signing(await next_request(reader))))

    with FakeHolder(tmp_path / "s", behave) as holder, identities(tmp_path / "s") as (server, _):
        assert server.signer.sign(ECDSA, CONTENT)
        assert server.signer.sign(ECDSA, CONTENT)
        assert holder.connections == 1
        # A holder may end one that was idle for longer, just as the request is on its way.
        assert limits.LINK_IDLE < limits.HOLDER_IDLE_TIMEOUT
        monkeypatch.setattr(limits, "LINK_IDLE", 0.0)
        assert server.signer.sign(ECDSA, CONTENT)
        assert holder.connections == 2


def test_a_holder_that_does_not_answer_and_the_next_connection(tmp_path: Path) -> None:
    async def behave(self: FakeHolder, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await next_request(reader)
        if self.connections > 1:
            writer.write(frame(signing(request)))
        await reader.read()

    def attempt(seconds: float) -> None:
        path = tmp_path / f"{seconds}"
        with FakeHolder(path, behave) as holder, identities(path, timeout=seconds) as (server, _):
            with pytest.raises(LocalFailure, match=rf"did not sign within {seconds:g} s") as late:
                server.signer.sign(ECDSA, CONTENT)
            assert late.value.code == "holder_timeout"
            assert server.signer.sign(ECDSA, CONTENT)
            assert holder.connections == 2

    with_growing(0.3, attempt)


def test_a_late_answer_to_one_of_two_leaves_the_connection_in_use(tmp_path: Path) -> None:
    async def behave(self: FakeHolder, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = True
        while True:
            request = await next_request(reader)
            if not first:
                writer.write(frame(signing(request)))
            first = False

    async def ask(signer: Any) -> list[Any]:
        return await asyncio.gather(*(signer.sign(ECDSA, CONTENT) for _ in range(2)), return_exceptions=True)

    def attempt(seconds: float) -> None:
        path = tmp_path / f"{seconds}"
        with FakeHolder(path, behave) as holder, identities(path, timeout=seconds) as (server, _):
            late, signed = asyncio.run(ask(server.signer))
            assert isinstance(late, LocalFailure)
            assert isinstance(signed, bytes)
            assert isinstance(asyncio.run(ask(server.signer))[1], bytes)
            assert holder.connections == 1

    with_growing(0.3, attempt)


def test_a_handshake_that_nobody_waits_for_any_more(run: Runner, tmp_path: Path) -> None:
    asked = threading.Event()

    async def behave(self: FakeHolder, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await next_request(reader)
        asked.set()
        # The answer to what was given up is for nobody; the next one counts.
        request = await next_request(reader)
        writer.write(frame(Answer(VERSION, request.request_id - 1, Code.signed, b"late")) + frame(signing(request)))
        await reader.read()

    with FakeHolder(tmp_path / "s", behave) as holder, identities(tmp_path / "s") as (server, _):

        async def main() -> None:
            config = server_config(credentials=[server])
            async with listening(await aio.create_server(Recorder, "127.0.0.1", 0, config)) as port:
                connecting = asyncio.create_task(aio.create_connection(Recorder, "127.0.0.1", port, client_config()))
                await asyncio.to_thread(asked.wait, LIMIT)
                connecting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await connecting
            async with connected(credentials=[server]) as (near, _):
                assert near.transport.info.complete

        run(main())
        assert holder.connections == 1


# The signer as an object


def test_closing_it_ends_what_waits_and_it_can_be_used_again(tmp_path: Path) -> None:
    asked = threading.Event()

    async def behave(self: FakeHolder, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await next_request(reader)
        asked.set()
        if self.connections > 1:
            writer.write(frame(signing(request)))
        await reader.read()

    with FakeHolder(tmp_path / "s", behave), identities(tmp_path / "s") as (server, _):
        failures: list[Any] = []

        def wait() -> None:
            try:
                server.signer.sign(ECDSA, CONTENT)
            except LocalFailure as error:
                failures.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        assert asked.wait(LIMIT)
        close(server)
        thread.join()
        assert [(error.code, error.details["reason"]) for error in failures] == [
            ("holder_lost", "the signer was closed")
        ]
        assert server.signer.sign(ECDSA, CONTENT)


def outcome(signer: Any) -> Any:
    try:
        return signer.sign(ECDSA, CONTENT)
    except LocalFailure as error:
        return error


@pytest.mark.parametrize("shell", ["blocking", "asyncio"])
def test_closing_it_ends_what_still_connects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: str) -> None:
    opening = threading.Event()

    async def open_and_wait(self: Any) -> Any:
        opening.set()
        await asyncio.Event().wait()

    async def sign(signer: Any) -> bytes:
        return bytes(await signer.sign(ECDSA, CONTENT))

    monkeypatch.setattr(HolderAddress, "open", open_and_wait)
    with identities(tmp_path / "s", timeout=LIMIT) as (server, _):
        failures: list[LocalFailure] = []

        def wait() -> None:
            with pytest.raises(LocalFailure) as failed:
                asyncio.run(sign(server.signer)) if shell == "asyncio" else server.signer.sign(ECDSA, CONTENT)
            failures.append(failed.value)

        thread = threading.Thread(target=wait)
        thread.start()
        assert opening.wait(LIMIT)
        close(server)
        thread.join()
        assert [(error.code, error.details["reason"]) for error in failures] == [
            ("holder_unreachable", "the signer was closed")
        ]


def test_a_signature_that_comes_too_late_for_the_thread(tmp_path: Path) -> None:
    with Running(path=tmp_path / "s"), identities(tmp_path / "s") as (server, _):
        assert isinstance(server.signer, RemoteSigner)
        assert server.signer.sign(ECDSA, CONTENT)
        worker = server.signer._running()
        worker.stop()
        worker.stop()
        # As for a thread that had found the worker before another one closed the signer.
        assert outcome(server.signer).code == "holder_unreachable"
        server.signer.close()
        assert server.signer.sign(ECDSA, CONTENT)


def test_closing_it_while_many_threads_sign(tmp_path: Path) -> None:
    with Running(path=tmp_path / "s"), identities(tmp_path / "s") as (server, _):
        over = threading.Event()
        outcomes: list[Any] = []

        def sign() -> None:
            while not over.is_set():
                outcomes.append(outcome(server.signer))

        threads = [threading.Thread(target=sign) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(100):
            close(server)
        over.set()
        for thread in threads:
            thread.join()
        failures = [outcome for outcome in outcomes if not isinstance(outcome, bytes)]
        assert {failure.code for failure in failures} <= {"holder_unreachable", "holder_lost"}


def test_one_that_is_forgotten_leaves_no_thread(tmp_path: Path) -> None:
    with Running(path=tmp_path / "s"):
        before = set(threading.enumerate())
        server = remote(certificates.server(), tmp_path / "s")
        assert server.signer.sign(ECDSA, CONTENT)
        (worker,) = set(threading.enumerate()) - before
        del server
        gc.collect()
        assert not worker.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a process with threads that forks
def test_after_a_fork_both_processes_sign(tmp_path: Path) -> None:
    with Running(path=tmp_path / "s"), identities(tmp_path / "s") as (server, _):
        assert server.signer.sign(ECDSA, CONTENT)
        child = os.fork()
        if child == 0:
            os._exit(0 if server.signer.sign(ECDSA, CONTENT) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert server.signer.sign(ECDSA, CONTENT)


def test_credentials_from_a_file(tmp_path: Path) -> None:
    issued = certificates.server_below_intermediate()
    (tmp_path / "cert.pem").write_bytes(issued.cert_pem)
    credentials = RemoteSigner.credentials(tmp_path / "cert.pem", tmp_path / "s")
    assert credentials.chain == issued.chain
    assert credentials.signer.schemes == LocalSigner(issued.key).schemes
    assert repr(credentials.signer) == f"RemoteSigner({tmp_path / 's'})"
    assert credentials.signer._timeout == limits.REMOTE_SIGNER_TIMEOUT < limits.HANDSHAKE_TIMEOUT  # type: ignore[attr-defined]
    (tmp_path / "cert.pem").write_bytes(issued.key_pem)
    with pytest.raises(ConfigError, match="holds no certificate"):
        RemoteSigner.credentials(tmp_path / "cert.pem", tmp_path / "s")


def test_an_address_and_tls_go_together(tmp_path: Path) -> None:
    certificate = certificates.server().chain[0]
    with pytest.raises(ApiMisuse):
        RemoteSigner(("localhost", 1), certificate)
    with pytest.raises(ApiMisuse):
        RemoteSigner(tmp_path / "s", certificate, tls=client_config())
    with pytest.raises(ConfigError, match="does not parse"):
        RemoteSigner(tmp_path / "s", b"no certificate")


def test_a_holder_under_another_name_gets_no_request(tmp_path: Path) -> None:
    with Running(tls=server_config(client_auth=MUTUAL), names=["DNS:alice"]) as running:
        address = ("127.0.0.1", running.port)
        with identities(address, tls=client_config(), server_name="elsewhere.example") as (server, _):
            with pytest.raises(LocalFailure, match=r"elsewhere\.example") as failed:
                server.signer.sign(ECDSA, CONTENT)
            assert failed.value.code == "holder_unreachable"


def test_a_port_where_nobody_listens() -> None:
    refused = pytest.raises(LocalFailure, match="cannot be reached")
    with own_port() as port, identities(("127.0.0.1", port), tls=client_config(), timeout=0.1) as (server, _), refused:
        server.signer.sign(ECDSA, CONTENT)


def test_too_large_says_how_large() -> None:
    async def main() -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(b"\0\1\0")
        with pytest.raises(FrameTooLarge, match="a frame of 256 bytes exceeds the limit of 255"):
            await read_frame(reader, 255)

    asyncio.run(main())


@pytest.mark.parametrize("schemes", [["ECDSA+SHA256"], ("ecdsa_secp256r1_sha256",), [ECDSA], [int(ECDSA)]])
def test_schemes_by_name_and_by_number(schemes, tmp_path):
    signer = RemoteSigner(tmp_path / "s", certificates.server().chain[0], schemes=schemes)
    assert signer.schemes == (ECDSA,)
    assert type(signer.schemes[0]) is SignatureScheme


def test_schemes_that_only_one_version_has_may_be_named(tmp_path):
    rsa = certificates.ca().issue(certificates.ca().server_template("localhost", key="rsa-2048"))
    for name in ("rsa_pkcs1_sha256", "rsa_pkcs1_sha256_legacy", "rsa_pss_rsae_sha256"):
        assert RemoteSigner(tmp_path / "s", rsa.chain[0], schemes=[name]).schemes == (SignatureScheme[name],)


@pytest.mark.parametrize(
    ("schemes", "said"),
    [
        (["ed25519"], "the certificate's key cannot make ed25519"),
        (["rsa"], "'rsa' is no name that handfast knows"),
        ("ed25519", "'ed25519' is no list"),
        ([1.5], "1.5 is neither a name nor a number"),
        ([0x9999], "the certificate's key cannot make"),
        (None, "None is no list"),
        (0x0403, "1027 is no list"),
    ],
)
def test_what_is_no_scheme_is_named_with_what_is_accepted(schemes, said, tmp_path):
    with pytest.raises(ConfigError) as refused:
        RemoteSigner(tmp_path / "s", certificates.server().chain[0], schemes=schemes)
    assert said in refused.value.what
    assert 'schemes=["ecdsa_secp256r1_sha256"]' in refused.value.hint
