"""Bytes behind a close_notify: they belong to whoever goes on in plaintext."""

from __future__ import annotations

import pytest

from handfast import ClientConfig, ClientConnection, Data, PeerClosed, ServerConfig, ServerConnection, limits
from handfast.errors import ApiMisuse, PeerMisbehaved
from handfast.registry import ProtocolVersion
from tests import certificates
from tests.aio.support import identity, verifier

PLAIN = b"220 in plaintext again\r\n"


def connected(version: int, *, watched: bool = False) -> tuple[ClientConnection, ServerConnection]:
    client = ClientConnection(ClientConfig(verifier=verifier(), versions=(version,)), server_name="localhost")
    observers = [lambda event: None] if watched else []
    server = ServerConnection(ServerConfig(credentials=[identity(certificates.server())]), observers=observers)
    while not (client.connected and server.connected):
        server.receive(client.outgoing())
        client.receive(server.outgoing())
    return client, server


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("version", [ProtocolVersion.TLS12, ProtocolVersion.TLS13])
@pytest.mark.parametrize("pieces", ["one", "by byte"])
def test_what_comes_behind_close_notify_is_kept(version: int, watched: bool, pieces: str) -> None:
    client, server = connected(version, watched=watched)
    assert server.trailing_data == b""
    client.send(b"data")
    client.close()
    sent = client.outgoing() + PLAIN
    results = []
    for piece in [sent] if pieces == "one" else [sent[at : at + 1] for at in range(len(sent))]:
        results += server.receive(piece)
    assert results == [Data(b"data"), PeerClosed()]
    assert server.trailing_data == PLAIN
    assert server.receive(b"more") == []
    assert server.eof() == []
    assert server.trailing_data == PLAIN + b"more"
    # This side may still write.
    server.send(b"answer")
    server.close()
    assert client.receive(server.outgoing() + PLAIN) == [Data(b"answer"), PeerClosed()]
    assert client.trailing_data == PLAIN


@pytest.mark.parametrize("pieces", [1, 50])
def test_no_more_is_kept_than_the_limit(pieces: int) -> None:
    client, server = connected(ProtocolVersion.TLS13)
    client.close()
    sent = client.outgoing()
    server.receive(sent + bytes(limits.TRAILING_DATA))
    assert len(server.trailing_data) == limits.TRAILING_DATA
    for _ in range(pieces):
        server.receive(bytes(limits.TRAILING_DATA))
    with pytest.raises(ApiMisuse) as lost:
        _ = server.trailing_data
    assert lost.value.code == "trailing_data_lost"
    assert server._records.buffered == limits.TRAILING_DATA + 1


def test_behind_a_fault_there_is_nothing_to_go_on_with() -> None:
    _, server = connected(ProtocolVersion.TLS13)
    with pytest.raises(PeerMisbehaved):
        server.receive(b"\x17\x03\x03\x00\x20" + bytes(32) + PLAIN)
    assert server.trailing_data == b""
