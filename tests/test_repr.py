"""What a program sees when it prints a result, a connection or what carries one: enough to go on, and no secrets."""

from __future__ import annotations

import asyncio
import re
import threading
from typing import TYPE_CHECKING, Any

import pytest

import handfast
from handfast import aio
from tests.aio.support import client_config, listening, server_config, verifier
from tests.protocol.ours import asking, client
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from handfast import ClientConnection, ServerConnection

DATA = b"a password, perhaps"
NEGOTIATED = r"TLS 1\.3, TLS_AES_128_GCM_SHA256, X25519MLKEM768"
ALICE = r"peer CN=alice"


def met(ours: ClientConnection, theirs: ServerConnection) -> list[Any]:
    """All results of a handshake and of a piece of data."""
    results: list[Any] = []
    while not (ours.connected and theirs.connected):
        results += theirs.receive(ours.outgoing())
        results += ours.receive(theirs.outgoing())
    ours.send(DATA)
    return results + theirs.receive(ours.outgoing())


def pair() -> tuple[ClientConnection, ServerConnection]:
    config = client_config()
    server = server_config(client_auth="require_and_verify", verifier=verifier())
    return handfast.ClientConnection(config, server_name="localhost"), handfast.ServerConnection(server)


def test_results() -> None:
    ours, theirs = pair()
    done: list[str] = []
    data: list[str] = []
    for result in met(ours, theirs):
        (done if isinstance(result, handfast.HandshakeDone) else data).append(repr(result))
    assert any(re.fullmatch(rf"HandshakeDone\({NEGOTIATED}, {ALICE}.*\)", shown) for shown in done)
    assert data == [f"Data({len(DATA)} bytes)"]
    assert repr(handfast.EarlyData(DATA)) == f"EarlyData({len(DATA)} bytes)"
    assert repr(handfast.PeerClosed()) == "PeerClosed(close_notify=True)"
    answer = repr(handfast.PeerAuthenticated(b"a" * 32, theirs.info.peer))
    assert re.fullmatch(r"PeerAuthenticated\(peer CN=alice.*, context 61616161\.\.\.\)", answer)
    assert "no peer certificate" in repr(handfast.PeerAuthenticated(b"a" * 32, None))


def test_a_connection_says_how_far_it_is() -> None:
    ours, theirs = pair()
    assert repr(ours) == "<ClientConnection: in its handshake>"
    met(ours, theirs)
    assert re.fullmatch(rf"<ServerConnection: connected, {NEGOTIATED}, {ALICE}.*>", repr(theirs))
    ours.close()
    theirs.receive(ours.outgoing())
    assert repr(ours).startswith("<ClientConnection: connected, closed by this side, TLS 1.3")
    assert repr(theirs).startswith("<ServerConnection: connected, closed by the peer, TLS 1.3")
    theirs.close()
    assert "closed by both sides" in repr(theirs)


def test_a_connection_says_what_ended_it_and_what_it_waits_for() -> None:
    server = asking()
    with pytest.raises(handfast.HandfastError):
        server.receive(b"GET / HTTP/1.1\r\n\r\n")
    assert repr(server) == "<ServerConnection: ended, http_request>"

    class Waiting:
        def verify(self, presented: object) -> object:
            return handfast.DEFERRED

    slow: Any = Waiting()
    ours = client(verifier=slow)
    theirs = handfast.ServerConnection(server_config(client_auth="none"))
    theirs.receive(ours.outgoing())
    ours.receive(theirs.outgoing())
    assert ours.need is not None
    assert repr(ours).startswith("<ClientConnection: in its handshake, waiting for our verifier, TLS 1.3")


def test_a_peer_cannot_write_on_the_terminal() -> None:
    ours, theirs = pair()
    met(ours, theirs)
    theirs.info.application_protocol = "\x1b[2J"
    assert "\x1b" not in repr(theirs)


def test_sockets_and_listeners() -> None:
    with handfast.listen("127.0.0.1", 0, server_config(), timeout=LIMIT) as listener:
        port = listener.address[1]
        assert repr(listener) == f"<Listener 127.0.0.1:{port}>"

        def serve() -> None:
            with listener.accept() as tls:
                tls.recv()

        thread = threading.Thread(target=serve)
        thread.start()
        with handfast.connect("127.0.0.1", port, client_config(), server_name="localhost", timeout=LIMIT) as tls:
            shown = repr(tls)
            tls.sendall(DATA)
        thread.join()
    assert re.fullmatch(rf"<TLSSocket 127\.0\.0\.1:{port}: connected, {NEGOTIATED}, peer .*localhost.*>", shown)
    assert repr(tls).startswith(f"<TLSSocket 127.0.0.1:{port}: closed, ")
    assert repr(listener) == f"<Listener 127.0.0.1:{port}, closed>"


def test_transports() -> None:
    async def main() -> tuple[str, str]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        async with listening(await aio.start_server(serve, "127.0.0.1", 0, server_config())) as port:
            _, writer = await aio.open_connection("127.0.0.1", port, client_config(), server_name="localhost")
            shown = repr(writer.transport)
            writer.close()
            closing = repr(writer.transport)
            await writer.wait_closed()
            return shown, closing

    shown, closing = asyncio.run(main())
    assert re.fullmatch(rf"<TLSTransport 127\.0\.0\.1:\d+: connected, {NEGOTIATED}, peer .*localhost.*>", shown)
    assert ": closing, " in closing
