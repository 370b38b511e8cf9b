"""Sessions under asyncio: resumed, and with early data, taken when the protocol says so or after the handshake."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from handfast import aio
from handfast.errors import ConnectionLost
from handfast.sessions.cache import SessionCache
from handfast.sessions.replay import MemoryReplayGuard
from handfast.sessions.tickets import SealedTickets
from handfast.trust.verifiers import PathVerifier
from tests.aio.support import MUTUAL, Made, Recorder, client_config, listening, server_config, verifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from handfast import ClientConfig, ServerConfig
    from tests.aio.conftest import Runner

EARLY = b"in a hurry"


class Prompt(Recorder):
    """A server's protocol that answers early data before it knows that the client is there."""

    early = b""

    def early_data_received(self, transport: asyncio.Transport, data: bytes) -> None:
        self.early += data
        transport.write(b"at once")


def sessions_config(**options: Any) -> ServerConfig:
    usual: dict[str, Any] = {
        "client_auth": MUTUAL,
        "tickets": SealedTickets(),
        "max_early_data": 1000,
        "replay_guard": MemoryReplayGuard(),
        "early_data_with_client_identity": True,
    }
    return server_config(**usual | options)


async def twice(protocol: Callable[[], Recorder], config: ServerConfig, **second: Any) -> tuple[Any, Any, Recorder]:
    """Two connections of a client that resumes: the information of the second, what came, and its server's protocol."""
    made = Made(protocol)
    client = client_config(sessions=SessionCache(), early_data_with_client_identity=True)
    async with listening(await aio.create_server(made, "127.0.0.1", 0, config)) as port:
        await once(made, port, client)
        return await once(made, port, client, **second)


async def once(made: Made, port: int, client: ClientConfig, **options: Any) -> tuple[Any, Any, Recorder]:
    reader, writer = await aio.open_connection("127.0.0.1", port, client, server_name="localhost", **options)
    far = made.all[-1]
    await far.made
    far.transport.write(b".")
    received = await reader.readuntil(b".")
    writer.close()
    await writer.wait_closed()
    await far.lost
    return writer.transport.info, received, far  # type: ignore[attr-defined]


def test_a_session_is_resumed_and_its_client_still_known(run: Runner) -> None:
    info, _, far = run(twice(Recorder, sessions_config()))
    assert (info.resumed, info.session_identified, info.early_data) == (True, True, "")
    assert far.transport.info.resumed
    assert far.transport.info.verified_peer.verdict.subject.startswith("CN=alice")


def test_early_data_waits_for_the_handshake(run: Runner) -> None:
    info, received, far = run(twice(Recorder, sessions_config(), early_data=EARLY))
    assert info.early_data == far.transport.info.early_data == "accepted"
    assert bytes(far.data) == EARLY
    assert received == b"."


def test_early_data_is_taken_and_answered_before_that_where_the_protocol_wants_it(run: Runner) -> None:
    info, received, far = run(twice(Prompt, sessions_config(), early_data=EARLY))
    assert info.early_data == "accepted"
    assert isinstance(far, Prompt)
    assert (far.early, bytes(far.data)) == (EARLY, b"")
    assert received == b"at once."


def test_early_data_that_is_refused_is_not_sent_again(run: Runner) -> None:
    info, _, far = run(twice(Prompt, sessions_config(max_early_data=0, replay_guard=None), early_data=EARLY))
    assert info.resumed
    assert info.early_data == "not sent: the session allows 0 bytes"
    assert bytes(far.data) == b""


class Store:
    """Tickets that live elsewhere: every question is awaited, and may fail."""

    def __init__(self, broken: str = "") -> None:
        self.tickets = SealedTickets()
        self.broken = broken

    async def issue(self, *question: Any) -> bytes | None:
        await asyncio.sleep(0)
        if self.broken == "issue":
            raise OSError("the store is gone")
        return self.tickets.issue(*question)

    async def redeem(self, *question: Any) -> bytes | None:
        await asyncio.sleep(0)
        if self.broken == "redeem":
            raise OSError("the store is gone")
        return self.tickets.redeem(*question)


@pytest.mark.parametrize(("broken", "resumed"), [("", True), ("issue", False), ("redeem", False)])
def test_a_store_that_answers_later_or_not_at_all(run: Runner, broken: str, resumed: bool) -> None:
    info, _, far = run(twice(Recorder, sessions_config(tickets=Store(broken))))
    assert info.resumed is resumed
    assert far.transport.info.verified_peer is not None


def test_a_configuration_that_is_awaited(run: Runner) -> None:
    chosen = sessions_config()

    async def choose(hello: Any) -> ServerConfig:
        await asyncio.sleep(0)
        assert hello.server_name == "localhost"
        return chosen

    config = server_config(choose_config=choose)
    info, _, far = run(twice(Recorder, config))
    assert info.resumed
    assert far.transport.info.verified_peer is not None


def test_the_verifier_is_asked_again_when_a_session_is_resumed(run: Runner) -> None:
    class Counting(PathVerifier):
        asked = 0

        def verify(self, presented: Any) -> Any:
            type(self).asked += 1
            return super().verify(presented)

    counting = Counting(verifier().roots)
    info, _, _ = run(twice(Recorder, sessions_config(verifier=counting)))
    # Once in the handshake, and once more when its session is resumed.
    assert (info.resumed, Counting.asked) == (True, 2)


@pytest.mark.parametrize("how", ["close", "write_eof"])
@pytest.mark.parametrize("size", [1, 200_000])
def test_an_end_in_early_data_received_comes_once_the_handshake_is_done(run: Runner, how: str, size: int) -> None:
    class Ends(Recorder):
        def early_data_received(self, transport: aio.TLSTransport, data: bytes) -> None:
            transport.write(bytes(size))
            getattr(transport, how)()

    async def main() -> None:
        made = Made()
        client = client_config(sessions=SessionCache(), early_data_with_client_identity=True)
        async with listening(await aio.create_server(made, "127.0.0.1", 0, sessions_config())) as port:
            await once(made, port, client)
            made.kind = Ends
            reader, writer = await aio.open_connection(
                "127.0.0.1", port, client, server_name="localhost", early_data=EARLY
            )
            assert await reader.read() == bytes(size)
            far = made.all[-1]
            if how == "write_eof":
                # The other direction stays open.
                writer.write(b"more")
                await far.until(lambda: far.data == b"more")
            writer.close()
            await writer.wait_closed()
            assert await far.lost is None
            assert [told for told in far.told if told not in ("pause", "resume")] == (
                ["made", "lost"] if how == "close" else ["made", "data", "eof", "lost"]
            )

    run(main())


def test_a_pause_in_early_data_received_holds_data_and_not_the_handshake(run: Runner) -> None:
    class Pauses(Recorder):
        def early_data_received(self, transport: aio.TLSTransport, data: bytes) -> None:
            transport.pause_reading()

    async def main() -> None:
        made = Made()
        client = client_config(sessions=SessionCache(), early_data_with_client_identity=True)
        async with listening(await aio.create_server(made, "127.0.0.1", 0, sessions_config())) as port:
            await once(made, port, client)
            made.kind = Pauses
            _, writer = await aio.open_connection("127.0.0.1", port, client, server_name="localhost", early_data=EARLY)
            writer.write(b"later")
            far = made.all[-1]
            transport = await far.made
            assert far.told == ["made"]
            transport.resume_reading()
            await far.until(lambda: far.data == b"later")
            writer.close()
            await far.lost
            await writer.wait_closed()

    run(main())


@pytest.mark.parametrize("how", ["close", "pause_reading"])
def test_early_data_after_an_end_or_a_pause_is_not_given_to_early_data_received(run: Runner, how: str) -> None:
    class Stops(Recorder):
        early = b""

        def early_data_received(self, transport: aio.TLSTransport, data: bytes) -> None:
            self.early += data
            getattr(transport, how)()

    # Two records, the second of 100 bytes.
    sent = bytes(range(256)) * 64 + bytes(100)

    async def main() -> None:
        made = Made()
        client = client_config(sessions=SessionCache(), early_data_with_client_identity=True)
        config = sessions_config(max_early_data=len(sent))
        async with listening(await aio.create_server(made, "127.0.0.1", 0, config)) as port:
            await once(made, port, client)
            made.kind = Stops
            _, writer = await aio.open_connection("127.0.0.1", port, client, server_name="localhost", early_data=sent)
            far = made.all[-1]
            assert isinstance(far, Stops)
            if how == "pause_reading":
                transport = await far.made
                assert (far.early, far.told) == (sent[:-100], ["made"])
                transport.resume_reading()
                await far.until(lambda: far.data == sent[-100:])
            writer.close()
            await far.lost
            await writer.wait_closed()
            assert far.early == sent[:-100]
            assert far.data == (sent[-100:] if how == "pause_reading" else b"")

    run(main())


def test_an_abort_in_early_data_received(run: Runner) -> None:
    class Aborts(Recorder):
        def early_data_received(self, transport: aio.TLSTransport, data: bytes) -> None:
            transport.abort()

    options: dict[str, Any] = {"server_name": "localhost", "early_data": EARLY}

    async def main() -> None:
        made = Made()
        client = client_config(sessions=SessionCache(), early_data_with_client_identity=True)
        async with listening(await aio.create_server(made, "127.0.0.1", 0, sessions_config())) as port:
            await once(made, port, client)
            made.kind = Aborts

            async def meet() -> bytes:
                reader, _ = await aio.open_connection("127.0.0.1", port, client, **options)
                return await reader.read()

            with pytest.raises(ConnectionLost):
                await meet()
            far = made.all[-1]
            # Who is not told of the beginning is not told of the end.
            if far.told:
                await far.lost
            assert far.told in ([], ["made", "lost"])

    run(main())
