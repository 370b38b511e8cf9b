"""Clients that are asked for their certificate after the handshake, under asyncio."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from handfast import ClientAuth, Credentials, UnverifiedPeer, Verdict, VerifiedPeer, aio, info, limits, refuse
from handfast.errors import ApiMisuse, CertificateRejected, ConnectionLost, LocalFailure, PeerRejected
from tests import certificates
from tests.aio.support import (
    ByHand,
    HalfOpen,
    Made,
    Recorder,
    below,
    client_config,
    identity,
    listening,
    server_config,
    verifier,
)
from tests.aio.test_callbacks import Bounded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from handfast import PresentedChain
    from tests.aio.conftest import Runner

from contextlib import asynccontextmanager

ALICE = certificates.client().chain


@pytest.fixture(autouse=True)
def _short_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LINGER_TIMEOUT", 0.05)


@asynccontextmanager
async def connected(
    server: Callable[[], Recorder] = Recorder, client: dict[str, Any] | None = None, **config: Any
) -> AsyncIterator[tuple[Recorder, Recorder]]:
    """A client that offers it, and a server that has not asked: the protocols of both."""
    made = Made(server)
    offering = client_config(post_handshake_auth=True, **client or {})
    async with listening(await aio.create_server(made, "127.0.0.1", 0, server_config(**config))) as port:
        _, near = await aio.create_connection(Recorder, "127.0.0.1", port, offering, server_name="localhost")
        far = made.all[0]
        await far.made
        yield near, far
        for end in (near, far):
            end.transport.abort()
            await end.lost


class Gate:
    """Opened by the test; signer and verifier wait behind it."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.open = asyncio.Event()
        self.cancelled = False

    async def wait(self) -> None:
        self.asked.set()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise


class SlowSigner:
    """A signer behind a gate."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._local = identity(certificates.client()).signer
        self.schemes = self._local.schemes

    async def sign(self, scheme: int, message: bytes) -> bytes:
        await self._gate.wait()
        signature = self._local.sign(scheme, message)
        assert isinstance(signature, bytes)
        return signature


class SlowVerifier:
    """A verifier behind a gate."""

    def __init__(self, gate: Gate, verdict: Verdict | None = None) -> None:
        self._gate = gate
        self._verdict = verdict

    async def verify(self, presented: PresentedChain) -> Verdict:
        await self._gate.wait()
        verdict = verifier().verify(presented) if self._verdict is None else self._verdict
        assert isinstance(verdict, Verdict)
        return verdict


def test_the_answer_is_awaited(run: Runner) -> None:
    async def main() -> None:
        async with connected() as (near, far):
            peer = await far.transport.request_client_certificate()
            assert isinstance(peer, VerifiedPeer)
            assert peer is info(far.transport).peer
            assert peer.chain == ALICE
            both = await asyncio.gather(*[far.transport.request_client_certificate() for _ in range(2)])
            assert [peer.chain for peer in both if peer is not None] == [ALICE, ALICE]
            near.transport.write(b"data")
            await far.until(lambda: far.data == b"data")
            assert far.told == ["made", "data"]

    run(main())


def test_streams(run: Runner) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"who am I?\n"
        transport = writer.transport
        assert isinstance(transport, aio.TLSTransport)
        peer = await transport.request_client_certificate(client_auth=ClientAuth.REQUIRE_AND_VERIFY)
        assert peer is not None
        writer.write(peer.verdict.subject.encode())
        writer.close()

    async def main() -> None:
        async with listening(await aio.start_server(greet, "127.0.0.1", 0, server_config())) as port:
            config = client_config(post_handshake_auth=True)
            reader, writer = await aio.open_connection("127.0.0.1", port, config, server_name="localhost")
            writer.write(b"who am I?\n")
            assert await reader.read() == b"CN=alice,O=handfast"
            writer.close()
            await writer.wait_closed()

    run(main())


def test_a_client_that_declines(run: Runner) -> None:
    async def main() -> None:
        async with connected(client={"anonymous": True}) as (_, far):
            assert await far.transport.request_client_certificate() is None

    run(main())


def test_data_flows_while_signer_and_verifier_take_their_time(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        signing, judging = Gate(), Gate()
        mine = Credentials(ALICE, SlowSigner(signing))
        async with connected(client={"credentials": [mine]}, verifier=SlowVerifier(judging)) as (near, far):
            answer = far.transport.request_client_certificate()
            # What a handshake would buffer is no bound for data.
            monkeypatch.setattr(limits, "UNJUDGED_BYTES", 1000)
            for gate in (signing, judging):
                await gate.asked.wait()
                for one, other in ((near, far), (far, near)):
                    other.data.clear()
                    one.transport.write(bytes(5000))
                    await other.until(partial(came, other))
                    assert not answer.done()
                gate.open.set()
            assert isinstance(await answer, VerifiedPeer)

    run(main())


def came(end: Recorder) -> bool:
    return len(end.data) == 5000


def test_the_programs_pause_outlives_an_answer(run: Runner) -> None:
    async def main() -> None:
        gate = Gate()
        async with connected(client={"credentials": [Credentials(ALICE, SlowSigner(gate))]}) as (near, far):
            answer = far.transport.request_client_certificate()
            await gate.asked.wait()
            near.transport.pause_reading()
            far.transport.write(b"held")
            gate.open.set()
            assert isinstance(await answer, VerifiedPeer)
            assert near.data == b""
            near.transport.resume_reading()
            await near.until(lambda: near.data == b"held")

    run(main())


def test_a_refusal(run: Runner) -> None:
    async def main() -> None:
        gate = Gate()
        gate.open.set()
        judge = SlowVerifier(gate, refuse("revoked", "it was stolen"))
        async with connected(verifier=judge) as (near, far):
            peer = await far.transport.request_client_certificate()
            assert isinstance(peer, UnverifiedPeer)
            with pytest.raises(CertificateRejected, match="stolen"):
                await far.transport.request_client_certificate(client_auth=ClientAuth.REQUIRE_AND_VERIFY)
            error = await near.lost
            assert isinstance(error, PeerRejected)
            assert error.code == "certificate_revoked"

    run(main())


def test_a_signer_that_fails(run: Runner) -> None:
    async def main() -> None:
        gate = Gate()
        async with connected(client={"credentials": [Credentials(ALICE, SlowSigner(gate))]}) as (near, far):
            answer = far.transport.request_client_certificate()
            await gate.asked.wait()
            near.transport.abort()
            with pytest.raises(ConnectionLost):
                await answer
            await near.lost
            await asyncio.sleep(0)
            assert gate.cancelled

    run(main())


class Failing(SlowSigner):
    """A signer that raises."""

    async def sign(self, scheme: int, message: bytes) -> bytes:
        raise OSError("the token is gone")


def test_a_signer_that_raises(run: Runner) -> None:
    async def main() -> None:
        async with connected(client={"credentials": [Credentials(ALICE, Failing(Gate()))]}) as (near, far):
            with pytest.raises(PeerRejected):
                await far.transport.request_client_certificate()
            error = await near.lost
            assert isinstance(error, LocalFailure)
            assert error.code == "signing_failed"

    run(main())


@pytest.mark.parametrize("how", ["close", "abort", "cancel"])
def test_whoever_asked_hears_of_the_end(run: Runner, how: str) -> None:
    async def main() -> None:
        gate = Gate()
        async with connected(client={"credentials": [Credentials(ALICE, SlowSigner(gate))]}) as (near, far):
            answer = far.transport.request_client_certificate()
            await gate.asked.wait()
            if how == "cancel":
                # Nobody waits any more: the answer that comes is nobody's.
                answer.cancel()
                gate.open.set()
                near.transport.write(b"data")
                await far.until(lambda: far.data)
            else:
                near.transport.close() if how == "close" else far.transport.abort()
                with pytest.raises(ConnectionLost) as caught:
                    await answer
                assert caught.value.code == "no_answer"

    run(main())


def test_who_cannot_ask(run: Runner) -> None:
    async def main() -> None:
        async with connected() as (near, _):
            with pytest.raises(ApiMisuse, match="this side is the client"):
                near.transport.request_client_certificate()
        made = Made()
        async with listening(await aio.create_server(made, "127.0.0.1", 0, server_config())) as port:
            _, near = await aio.create_connection(Recorder, "127.0.0.1", port, client_config(), server_name="localhost")
            far = made.all[0]
            await far.made
            with pytest.raises(ApiMisuse, match="did not offer it"):
                far.transport.request_client_certificate()
            near.transport.abort()
            await far.lost

    run(main())


def test_nobody_is_asked_over_a_connection_that_is_gone(run: Runner) -> None:
    async def main() -> None:
        async with connected() as (_, far):
            far.transport.abort()
            await far.lost
            with pytest.raises(ConnectionLost) as caught:
                await far.transport.request_client_certificate(client_auth=ClientAuth.REQUEST)
            assert caught.value.code == "no_answer"

    run(main())


async def closed(end: Recorder) -> None:
    """Until the peer's close_notify has come, told or not."""
    while not below(end.transport).connection.peer_closed:
        await asyncio.sleep(0)


@pytest.mark.parametrize("kind", [Recorder, HalfOpen])
@pytest.mark.parametrize("requests", [1, 2])
def test_an_answer_that_the_clients_close_follows_is_delivered_and_then_the_close(
    run: Runner, kind: Callable[[], Recorder], requests: int
) -> None:
    async def main() -> None:
        gate = Gate()
        async with connected(server=kind, verifier=SlowVerifier(gate)) as (near, far):
            answers = [far.transport.request_client_certificate() for _ in range(requests)]
            far.transport.write(b"asked")
            await near.until(lambda: near.data)
            # The client has seen every request, and answered; none of its answers is judged.
            await gate.asked.wait()
            near.transport.write(b"data")
            near.transport.write_eof()
            await closed(far)
            gate.open.set()
            for answer in answers:
                peer = await answer
                assert isinstance(peer, VerifiedPeer)
                assert peer.chain == ALICE
            await far.until(lambda: "eof" in far.told)
            assert far.told[:3] == ["made", "data", "eof"]
            far.transport.close()
            await far.lost
            assert far.told == ["made", "data", "eof", "lost"]

    run(main())


class Counting(HalfOpen):
    """Counts the ends that it is told of."""

    ends = 0

    def eof_received(self) -> bool:
        self.ends += 1
        return super().eof_received()


def test_the_end_is_told_once_though_a_request_is_not_answered(run: Runner) -> None:
    async def main() -> None:
        judging, signing = Gate(), Gate()
        mine = Credentials(ALICE, SlowSigner(signing))
        async with connected(server=Counting, client={"credentials": [mine]}, verifier=SlowVerifier(judging)) as ends:
            near, far = ends
            assert isinstance(far, Counting)
            first = far.transport.request_client_certificate()
            signing.open.set()
            await judging.asked.wait()
            signing.open.clear()
            second = far.transport.request_client_certificate()
            # The client's signer keeps it from answering again, and it leaves.
            near.transport.write_eof()
            await closed(far)
            judging.open.set()
            assert isinstance(await first, VerifiedPeer)
            with pytest.raises(ConnectionLost) as caught:
                await second
            assert caught.value.code == "no_answer"
            await far.until(lambda: far.ends)
            far.transport.close()
            await far.lost
            assert far.ends == 1

    run(main())


def test_data_of_before_an_answer_is_delivered_before_it(run: Runner) -> None:
    """Else a program would take for the client's own what came before it was known."""

    async def main() -> None:
        made = Made()
        async with listening(await aio.create_server(made, "127.0.0.1", 0, server_config())) as port:
            peer = await ByHand.connect(port, client_config(post_handshake_auth=True))
            await peer.handshake()
            (far,) = made.all
            await far.made
            bounded = Bounded(lambda _: far.transport.pause_reading())
            far.transport.set_protocol(bounded)
            answer = far.transport.request_client_certificate()
            # The data and the answer come in one piece, the data first.
            peer.connection.send(bytes(2000))
            data = peer.connection.outgoing()
            while not peer.connection.wants_write:
                assert await peer.read()
            await asyncio.get_running_loop().sock_sendall(peer.sock, data + peer.connection.outgoing())
            for taken in (1000, 2000):
                while len(bounded.taken) < taken:
                    bounded.changed.clear()
                    await bounded.changed.wait()
                assert not answer.done()
                bounded.size = 0
                far.transport.resume_reading()
            assert isinstance(await answer, VerifiedPeer)
            peer.sock.close()
            await bounded.lost

    run(main())


def test_a_client_that_has_closed_its_side_is_not_asked(run: Runner) -> None:
    async def main() -> None:
        async with connected(server=HalfOpen) as (near, far):
            near.transport.write_eof()
            await far.until(lambda: "eof" in far.told)
            with pytest.raises(ConnectionLost) as caught:
                await far.transport.request_client_certificate()
            assert caught.value.code == "no_answer"
            far.transport.write(b"still here")
            await near.until(lambda: near.data == b"still here")

    run(main())
