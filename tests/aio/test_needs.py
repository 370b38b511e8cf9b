"""Signers and verifiers that are awaited, that defer, that fail, and that nobody waits for any more."""

from __future__ import annotations

import asyncio
import socket
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from handfast import DEFERRED, Credentials, Verdict, accept, aio, limits
from handfast.errors import CertificateRejected, ConnectionLost, HandfastError, LocalFailure, PeerRejected
from handfast.handshake.needs import Judge, Sign
from tests import certificates
from tests.aio.support import (
    MUTUAL,
    ByHand,
    Made,
    Recorder,
    client_config,
    connected,
    identity,
    listening,
    server_config,
    verifier,
)
from tests.waiting import with_growing

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from handfast import PresentedChain
    from handfast.handshake.needs import Need
    from handfast.pki.authority import Issued
    from tests.aio.conftest import Runner

SOON = 0.05


@pytest.fixture(autouse=True)
def _short_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LINGER_TIMEOUT", SOON)


class AsyncSigner:
    """A key that somebody else holds."""

    def __init__(self, issued: Issued) -> None:
        self._local = identity(issued).signer
        self.schemes = self._local.schemes
        self.asked = 0

    async def sign(self, scheme: int, message: bytes) -> bytes:
        self.asked += 1
        await asyncio.sleep(0)
        signature = self._local.sign(scheme, message)
        assert isinstance(signature, bytes)
        return signature


class AsyncVerifier:
    """Somebody who has to look it up."""

    def __init__(self) -> None:
        self.asked = 0

    async def verify(self, presented: PresentedChain) -> Verdict:
        self.asked += 1
        await asyncio.sleep(0)
        verdict = verifier().verify(presented)
        assert isinstance(verdict, Verdict)
        return verdict


class Pending:
    """A verifier whose verdict the test gives; ``cancelled`` when nobody waits for it any more."""

    def __init__(self) -> None:
        self.verdict: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.asked = asyncio.Event()

    def verify(self, presented: PresentedChain) -> Awaitable[Verdict]:
        self.asked.set()
        return self.verdict


def with_signer(issued: Issued) -> tuple[list[Credentials], AsyncSigner]:
    signer = AsyncSigner(issued)
    return [Credentials(issued.chain, signer)], signer


def test_signers_and_verifiers_are_awaited_in_both_roles(run: Runner) -> None:
    async def main() -> None:
        judge = AsyncVerifier()
        server_credentials, server_signer = with_signer(certificates.server())
        client_credentials, client_signer = with_signer(certificates.client())
        config = server_config(client_auth=MUTUAL, verifier=judge, credentials=server_credentials)
        made = Made()
        async with listening(await aio.create_server(made, "127.0.0.1", 0, config)) as port:
            client = client_config(verifier=judge, credentials=client_credentials)
            connecting = [aio.create_connection(Recorder, "127.0.0.1", port, client) for _ in range(5)]
            for transport, protocol in await asyncio.gather(*connecting):
                assert transport.info.verified_peer is not None
                transport.write(b"x")
                await asyncio.sleep(0)
                transport.close()
                await protocol.lost
            for server in made.all:
                assert await server.lost is None
                assert server.data == b"x"
                assert server.transport.info.verified_peer is not None
        assert (server_signer.asked, client_signer.asked, judge.asked) == (5, 5, 10)

    run(main())


def test_an_awaited_refusal(run: Runner) -> None:
    async def main() -> None:
        config = server_config(client_auth=MUTUAL, verifier=AsyncVerifier())
        stranger = client_config(credentials=[identity(certificates.other_ca().client("mallory"))])
        async with listening(await aio.create_server(Recorder, "127.0.0.1", 0, config)) as port:
            reader, writer = await aio.open_connection("127.0.0.1", port, stranger)
            with pytest.raises(PeerRejected, match="unknown_ca"):
                await reader.read()
            with pytest.raises(PeerRejected, match="unknown_ca"):
                await writer.wait_closed()

    run(main())


@pytest.mark.parametrize("outcome", ["raises", "none", "cancelled"])
def test_a_verifier_that_does_not_decide_refuses(run: Runner, outcome: str) -> None:
    class Undecided:
        async def verify(self, presented: PresentedChain) -> Any:
            await asyncio.sleep(0)
            if outcome == "raises":
                raise ZeroDivisionError("no time")
            if outcome == "cancelled":
                raise asyncio.CancelledError

    async def main() -> HandfastError:
        async with listening(await aio.create_server(Recorder, "127.0.0.1", 0, server_config())) as port:
            with pytest.raises(HandfastError) as caught:
                await aio.open_connection("127.0.0.1", port, client_config(verifier=Undecided()))
            return caught.value

    error = run(main())
    if outcome == "none":
        assert isinstance(error, CertificateRejected)
        assert error.code == "no_verdict"
    else:
        assert isinstance(error, LocalFailure)
        assert error.code == "need_failed"
        assert ("no time" if outcome == "raises" else "cancelled") in error.what


def test_a_signer_that_fails(run: Runner, caplog: pytest.LogCaptureFixture) -> None:
    class Failing(AsyncSigner):
        async def sign(self, scheme: int, message: bytes) -> bytes:
            await asyncio.sleep(0)
            raise ConnectionError("the token is unplugged")

    async def main() -> None:
        credentials = [Credentials(certificates.server().chain, Failing(certificates.server()))]
        made = Made()
        config = server_config(credentials=credentials)
        async with listening(await aio.create_server(made, "127.0.0.1", 0, config)) as port:
            with pytest.raises(PeerRejected, match="internal_error"):
                await aio.open_connection("127.0.0.1", port, client_config())
            assert made.all[0].told == []

    run(main())
    assert "our signer failed: ConnectionError: the token is unplugged" in caplog.text


def test_the_deadline_refuses_and_cancels(run: Runner) -> None:
    async def main(seconds: float) -> None:
        judge = Pending()
        async with listening(await aio.create_server(Recorder, "127.0.0.1", 0, server_config())) as port:
            config = client_config(verifier=judge, handshake_timeout=seconds)
            with pytest.raises(ConnectionLost) as caught:
                await aio.open_connection("127.0.0.1", port, config)
            assert caught.value.code == "handshake_timeout"
            assert "our verifier" in caught.value.what
            assert judge.verdict.cancelled()

    with_growing(SOON, lambda seconds: run(main(seconds)))


def test_who_hangs_up_cancels(run: Runner) -> None:
    async def main() -> None:
        judge = Pending()
        config = server_config(client_auth=MUTUAL, verifier=judge)
        made = Made()
        async with listening(await aio.create_server(made, "127.0.0.1", 0, config)) as port:
            peer = await ByHand.connect(port)
            await peer.handshake()
            await judge.asked.wait()
            peer.sock.close()
            while not judge.verdict.done():
                await asyncio.sleep(0)
            assert judge.verdict.cancelled()
            assert made.all[0].told == []

    run(main())


def test_cancelling_the_connect_cancels(run: Runner) -> None:
    async def main() -> None:
        judge = Pending()
        async with listening(await aio.create_server(Recorder, "127.0.0.1", 0, server_config())) as port:
            connecting = asyncio.create_task(aio.open_connection("127.0.0.1", port, client_config(verifier=judge)))
            await judge.asked.wait()
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            while not judge.verdict.done():
                await asyncio.sleep(0)
            assert judge.verdict.cancelled()

    run(main())


def test_a_coroutine_that_was_never_started_is_not_left_over(run: Runner) -> None:
    async def main() -> None:
        config = server_config(client_auth=MUTUAL, verifier=AsyncVerifier())
        made = Made()
        async with listening(await aio.create_server(made, "127.0.0.1", 0, config)) as port:
            peer = await ByHand.connect(port)
            await peer.handshake()
            while not (made.all and made.all[0].told):
                await asyncio.sleep(0)
            # As if the connection went in the moment in which the question was put.
            made.all[0].transport.abort()
            peer.sock.close()
            await made.all[0].lost

    run(main())


def test_data_that_comes_while_a_verdict_is_awaited_waits(run: Runner) -> None:
    data = bytes(20_000_000)

    async def main() -> None:
        judge = Pending()
        config = server_config(client_auth=MUTUAL, verifier=judge)
        made = Made()
        async with listening(await aio.create_server(made, "127.0.0.1", 0, config)) as port:
            peer = await ByHand.connect(port)
            await peer.handshake()
            await judge.asked.wait()
            peer.connection.send(data)
            sealed = peer.connection.outgoing()
            tracemalloc.start()
            sending = asyncio.create_task(asyncio.get_running_loop().sock_sendall(peer.sock, sealed))
            for _ in range(500):
                await asyncio.sleep(0)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert not sending.done()
            assert peak < 4 * limits.UNJUDGED_BYTES
            (server,) = made.all
            assert server.told == []
            judge.verdict.set_result(accept())
            await server.until(lambda: len(server.data) == len(data))
            await sending
            server.transport.abort()
            await server.lost
            peer.sock.close()

    run(main())


class Deferring:
    """Leaves the decision to the owner of the connection."""

    def verify(self, presented: PresentedChain) -> Any:
        return DEFERRED


class DeferringSigner(AsyncSigner):
    def sign(self, scheme: int, message: bytes) -> Any:
        return DEFERRED


def test_deferred_needs_go_to_the_owner(run: Runner) -> None:
    asked = []

    async def answer(need: Need) -> object:
        asked.append(type(need))
        await asyncio.sleep(0)
        if isinstance(need, Judge):
            return verifier().verify(need.presented)
        assert isinstance(need, Sign)
        return identity(certificates.server()).signer.sign(need.scheme, need.content)

    async def main() -> None:
        credentials = [Credentials(certificates.server().chain, DeferringSigner(certificates.server()))]
        async with connected(
            client_auth=MUTUAL,
            verifier=Deferring(),
            credentials=credentials,
            server_options={"on_need": answer},
        ) as (_, server):
            assert server.transport.info.verified_peer is not None

    run(main())
    assert asked == [Sign, Judge]


def test_a_deferred_need_without_an_owner(run: Runner) -> None:
    async def main() -> None:
        async with listening(await aio.create_server(Recorder, "127.0.0.1", 0, server_config())) as port:
            with pytest.raises(LocalFailure, match="nobody is there to answer it"):
                await aio.open_connection("127.0.0.1", port, client_config(verifier=Deferring()))

    run(main())


def test_an_owner_that_is_not_a_coroutine_function(run: Runner) -> None:
    no_coroutine: Any = lambda need: accept()  # noqa: E731 (the wrong kind of function, on purpose)

    async def main() -> None:
        async with listening(await aio.create_server(Recorder, "127.0.0.1", 0, server_config())) as port:
            config = client_config(verifier=Deferring())
            with pytest.raises(LocalFailure, match="judge failed: TypeError"):
                await aio.open_connection("127.0.0.1", port, config, on_need=no_coroutine)

    run(main())


class Cancelled:
    """A verifier that lets out what asyncio cancels tasks with."""

    def verify(self, presented: PresentedChain) -> Verdict:
        raise asyncio.CancelledError


def test_a_verifiers_cancellation_is_not_that_of_who_connects(run: Runner) -> None:
    async def main() -> None:
        async with listening(await aio.create_server(Recorder, "127.0.0.1", 0, server_config())) as port:
            with pytest.raises(ConnectionLost) as caught:
                await aio.open_connection("127.0.0.1", port, client_config(verifier=Cancelled()))
            assert caught.value.code == "interrupted"

    run(main())
    # The loop's own words on what came out of buffer_updated().
    assert {type(one["exception"]) for one in run.complaints} <= {asyncio.CancelledError}
    run.complaints.clear()


def test_an_owners_cancellation_is_not_that_of_who_connects(run: Runner) -> None:
    def cancelled(need: Need) -> Any:
        raise asyncio.CancelledError

    async def main() -> None:
        async with listening(await aio.create_server(Recorder, "127.0.0.1", 0, server_config())) as port:
            with pytest.raises(LocalFailure, match="judge failed: CancelledError"):
                await aio.open_connection("127.0.0.1", port, client_config(verifier=Deferring()), on_need=cancelled)

    run(main())


@pytest.mark.parametrize("ends", ["close_notify", "eof", "eof allowed", "cut"])
def test_what_came_before_the_end_is_delivered_once_the_verdict_is_there(run: Runner, ends: str) -> None:
    async def main() -> None:
        judge = Pending()
        options = {"unexpected_eof": "end"} if ends == "eof allowed" else {}
        config = server_config(client_auth=MUTUAL, verifier=judge, **options)
        made = Made()
        async with listening(await aio.create_server(made, "127.0.0.1", 0, config)) as port:
            peer = await ByHand.connect(port)
            await peer.handshake()
            await judge.asked.wait()
            (far,) = made.all
            peer.connection.send(b"data")
            if ends == "close_notify":
                peer.connection.close()
            sealed = peer.connection.outgoing() + b"\x17\x03\x03" * (ends == "cut")
            await asyncio.get_running_loop().sock_sendall(peer.sock, sealed)
            peer.sock.shutdown(socket.SHUT_WR)
            # The server reads all of it before there is a verdict: then its loop has nothing to do.
            for _ in range(50):
                await asyncio.sleep(0)
            assert far.told == []
            judge.verdict.set_result(accept())
            error = await far.lost
            assert far.data == b"data"
            if ends in ("close_notify", "eof allowed"):
                assert error is None
                assert far.told == ["made", "data", "eof", "lost"]
            else:
                assert isinstance(error, ConnectionLost)
                assert (error.code, error.details["cut"]) == ("unexpected_eof", ends == "cut")
            peer.sock.close()

    run(main())
