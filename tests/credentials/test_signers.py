"""Signers that take their time: in a thread, by a coroutine, and where they cannot be used."""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

import handfast
from handfast.credentials.signers import LocalSigner, ThreadSigner
from handfast.crypto import signatures
from handfast.errors import ApiMisuse, PeerRejected
from handfast.io import sockets
from tests import certificates

if TYPE_CHECKING:
    from handfast.pki.authority import Issued

ISSUED = certificates.server()


class Slow:
    """Signs in the thread that it is asked in, and remembers which that was; ``spoils`` what it signs."""

    def __init__(self, spoils: bool = False) -> None:
        self._local = LocalSigner(ISSUED.key)
        self.schemes = self._local.schemes
        self.threads: list[int] = []
        self.spoils = spoils

    def sign(self, scheme: int, message: bytes) -> bytes:
        self.threads.append(threading.get_ident())
        return self._local.sign(scheme, message[::-1] if self.spoils else message)


class Awaited(Slow):
    async def sign(self, scheme: int, message: bytes) -> bytes:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().sign(scheme, message)


class SaysSo(Slow):
    awaits = True


def credentials(signer: Any, issued: Issued = ISSUED) -> list[handfast.Credentials]:
    return [handfast.Credentials(issued.chain, signer)]


def client_config(**settings: Any) -> handfast.ClientConfig:
    roots = handfast.Roots.from_der([certificates.ca().certificate_der])
    return handfast.ClientConfig(verifier=handfast.PathVerifier(roots), **settings)


def serve_blocking(signer: Any, issued: Issued = ISSUED) -> bytes:
    """What a client reads from a blocking server that signs so."""
    with handfast.listen("127.0.0.1", 0, handfast.ServerConfig(credentials=credentials(signer, issued))) as listener:

        def answer() -> None:
            with listener.accept() as tls:
                try:
                    tls.sendall(b"hello")
                except handfast.HandfastError:
                    return

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            with handfast.connect("127.0.0.1", listener.address[1], client_config(), server_name="localhost") as tls:
                return tls.recv()
        finally:
            thread.join()


async def serve_in_a_loop(signer: Any, issued: Issued = ISSUED) -> bytes:
    """The same under asyncio."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    config = handfast.ServerConfig(credentials=credentials(signer, issued))
    server: Any = await handfast.aio.start_server(answer, "127.0.0.1", 0, config)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await handfast.aio.open_connection("127.0.0.1", port, client_config(), server_name="localhost")
        data = await reader.read()
        writer.close()
        return data


def test_a_thread_signs_while_the_loop_goes_on() -> None:
    slow = Slow()
    assert asyncio.run(serve_in_a_loop(ThreadSigner(slow))) == b"hello"
    assert slow.threads != [threading.get_ident()]
    with ThreadPoolExecutor(1) as executor:
        own = executor.submit(threading.get_ident).result()
        slow.threads.clear()
        assert asyncio.run(serve_in_a_loop(ThreadSigner(slow, executor))) == b"hello"
    assert slow.threads == [own]


def test_without_a_loop_the_calling_thread_signs() -> None:
    slow = Slow()
    signer = ThreadSigner(slow)
    signature = signer.sign(signer.schemes[0], b"message")
    assert isinstance(signature, bytes)
    assert slow.threads == [threading.get_ident()]
    assert serve_blocking(signer) == b"hello"
    assert "Slow" in repr(signer)


@pytest.mark.parametrize("threaded", [False, True])
def test_a_wrong_signature_never_leaves(threaded: bool, caplog: pytest.LogCaptureFixture) -> None:
    signer = ThreadSigner(Slow(spoils=True)) if threaded else Slow(spoils=True)
    with pytest.raises(PeerRejected, match="internal_error"):
        serve_blocking(signer)
    with pytest.raises(PeerRejected, match="internal_error"):
        asyncio.run(serve_in_a_loop(signer))
    assert "signature" in caplog.text


class AsyncVerifier:
    async def verify(self, presented: handfast.PresentedChain) -> handfast.Verdict:
        return handfast.accept()


@pytest.mark.parametrize("who", [Awaited(), SaysSo(), AsyncVerifier()], ids=["coroutine", "says so", "verifier"])
def test_blocking_sockets_refuse_who_must_be_awaited(who: Any) -> None:
    verifies = isinstance(who, AsyncVerifier)
    usual = {"credentials": credentials(LocalSigner(ISSUED.key)), "verifier": client_config().verifier}
    settings: Any = usual | ({"verifier": who} if verifies else {"credentials": credentials(who)})
    server, client = handfast.ServerConfig(**settings), handfast.ClientConfig(**settings)
    with pytest.raises(ApiMisuse) as caught:
        handfast.listen("127.0.0.1", 0, server)
    assert caught.value.code == ("async_verifier" if verifies else "async_signer")
    assert type(who).__name__ in caught.value.what
    with socket.create_server(("127.0.0.1", 0)) as plain:
        with pytest.raises(ApiMisuse, match="has to be awaited"):
            sockets.Listener(plain, server)
        # It does not even connect.
        with pytest.raises(ApiMisuse, match="has to be awaited"):
            handfast.connect("127.0.0.1", plain.getsockname()[1], client)
        plain.settimeout(0)
        with pytest.raises(BlockingIOError):
            plain.accept()
    ours, theirs = socket.socketpair()
    with theirs, pytest.raises(ApiMisuse, match="has to be awaited"):
        sockets.client(ours, client, server_name="localhost")
    assert ours.fileno() == -1


def test_who_answers_needs_may_have_them() -> None:
    config = handfast.ServerConfig(credentials=credentials(Awaited()), verifier=AsyncVerifier())
    with handfast.listen("127.0.0.1", 0, config, on_need=lambda need, awaitable: asyncio.run(awaitable)):
        pass


def test_asyncio_awaits_it() -> None:
    assert asyncio.run(serve_in_a_loop(Awaited())) == b"hello"


def test_the_schemes_agree() -> None:
    signer = ThreadSigner(Slow())
    assert signer.schemes == signatures.schemes_for(signatures.certificate_public_key(ISSUED.chain[0]))
