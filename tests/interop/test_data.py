"""After the handshake: data, keys that change, keying material, and the end, with handfast in either role."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from handfast.engine import ClientConfig
from handfast.events import Epoch, Event, HandshakeComplete, RecordSeen
from handfast.registry import AlertDescription as Alert
from handfast.registry import ContentType
from handfast.roles import Role
from handfast.tools.endpoint import Address, Export, KeyUpdate, Options, Shutdown, run
from tests.interop.meeting import Meeting, cannot, refused, said, trusting
from tests.listening import LOCALHOST
from tests.peers import (
    EXPORT_LENGTH,
    RESPONSE,
    CurlCffiClient,
    CurlClient,
    GranianServer,
    HAProxyServer,
    NSSClient,
    NSSServer,
    PyreqwestClient,
    UvClient,
)
from tests.peers import KeyUpdate as TheirKeyUpdate
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from tests.peers import ClientPeer, ServerPeer

MEBIBYTE = 2**20
# Digits only: a line that starts with certain letters is a command to OpenSSL's programs.
# And its last record is longer than the head of any request: who waits for as many bytes as are here has it all.
BODY = b"0123456789" * ((MEBIBYTE + 8000) // 10)
LARGE_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Body: " + BODY + b"\r\n\r\n"
LARGE_POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
LARGE_RESPONSE = b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
LABEL = "EXPORTER-handfast-interop"


@pytest.mark.feature("1 MiB each way")
@pytest.mark.parametrize("watched", [True, False], ids=["watched", "unwatched"])
def test_a_mebibyte_each_way_with_their_client(meet_client, watched):
    if meet_client.column.peer is CurlClient:
        upload = ("--data-binary", f"@{meet_client.files.write(BODY)}", "--header", "Expect:")
        theirs: dict[str, Any] = {"extra": upload}
    elif meet_client.column.peer in {CurlCffiClient, PyreqwestClient}:
        theirs = {"upload": BODY}
    else:
        theirs = {"request": LARGE_REQUEST}
    expected = len(theirs.get("request", BODY))
    mine, outcome = meet_client(theirs=theirs, expect_bytes=expected, send=LARGE_RESPONSE, watched=watched)
    assert mine.ok, mine
    assert outcome.ok, outcome
    assert BODY in mine.received
    assert outcome.received.endswith(BODY)


@pytest.mark.feature("1 MiB each way")
@pytest.mark.parametrize("watched", [True, False], ids=["watched", "unwatched"])
def test_a_mebibyte_each_way_with_their_server(meet_server, watched):
    # A header of this size is too much for some.
    request = LARGE_POST if meet_server.column.peer in {HAProxyServer, GranianServer} else LARGE_REQUEST
    talk: dict[str, Any] = {"send": request, "expect_bytes": len(BODY), "watched": watched}
    if meet_server.column.peer is HAProxyServer:
        # Its close_notify is lost when the socket has no room for it, as after much data on a busy machine.
        talk["shutdown"] = Shutdown.CLOSE_NOTIFY
    mine, theirs = meet_server(theirs={"response": LARGE_RESPONSE}, **talk)
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert mine.received.endswith(BODY)
    if meet_server.column.peer.shows_request:
        assert theirs.received == LARGE_REQUEST


@pytest.mark.feature("our records of 64 bytes")
def test_small_records(meet):
    mine, theirs = meet(ours={"max_fragment": 64})
    assert mine.ok, mine
    assert theirs.ok, theirs


@pytest.mark.feature("KeyUpdate from the peer")
def test_their_key_update(meet):
    mine, theirs = meet(theirs={"key_update": TheirKeyUpdate.SEND})
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert (mine.key_updates_received, mine.key_updates_sent) == (1, 0)


@pytest.mark.feature("KeyUpdate from the peer, with a request")
def test_their_key_update_with_a_request(meet):
    mine, theirs = meet(theirs={"key_update": TheirKeyUpdate.REQUEST})
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert mine.key_updates_received == 1
    if meet.column.is_client:
        assert mine.key_updates_sent == 1  # before our response; a client's request may have left already


@pytest.mark.feature("KeyUpdate from us, with a request")
def test_our_key_update_with_a_request(meet):
    mine, theirs = meet(key_update=KeyUpdate.REQUEST)
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert mine.key_updates_sent == 1
    if meet.column.is_client:
        assert theirs.received.endswith(b"hello\n")  # they answer with their next write, and clients have none
    else:
        assert mine.key_updates_received == 1


@pytest.mark.feature("exported keying material")
def test_exported_keying_material(meet):
    mine, theirs = meet(theirs={"export": LABEL}, exports=(Export(LABEL, None, EXPORT_LENGTH),))
    assert mine.ok, mine
    assert theirs.ok, theirs
    assert mine.exported[0].value == theirs.exported


# Ends


class FirstRecord:
    """An observer that lets others wait for the peer's first record after its handshake, if it sends any unasked."""

    def __init__(self, role: Role, *, silent: bool = False) -> None:
        self._direction = role.peer.sends
        self._silent = silent
        self._came = threading.Event()

    def __call__(self, event: Event) -> None:
        if isinstance(event, RecordSeen) and event.direction is self._direction and event.epoch is Epoch.APPLICATION:
            # In TLS 1.2 Finished is the first, and a client has something to read after its own.
            came = event.direction is Role.SERVER.sends or event.content_type == ContentType.application_data
        else:
            came = self._silent and isinstance(event, HandshakeComplete)
        if came:
            self._came.set()

    def drop_peer(self, peer: ClientPeer | ServerPeer) -> None:
        """Ends the peer once its first record came; in a thread, as our own side may be this one's to run."""
        threading.Thread(target=lambda: self._came.wait(LIMIT) and peer.drop()).start()


@pytest.mark.feature("noticed: the peer ends without close_notify")
def test_they_end_without_close_notify(meet):
    # A client's first record is its request, a server's its ticket: both have nothing unread by then, so that the
    # connection ends in order for TCP.
    # Some send no tickets, or only with their first data.
    silent = not meet.column.is_client and meet.column.peer.name in {"go", "jsse", "granian", "deno"}
    watch = FirstRecord(Role.SERVER if meet.column.is_client else Role.CLIENT, silent=silent)
    if meet.column.peer in {CurlClient, CurlCffiClient, PyreqwestClient, UvClient, NSSServer}:
        cannot("it cannot be made to end in the middle")
    mine, _ = meet(after_start=watch.drop_peer, observers=(watch,), send=b"", expect_bytes=MEBIBYTE)
    assert mine.code == "unexpected_eof"
    assert mine.alert is None
    assert not mine.close_notify_received


# OpenSSL, Python, GnuTLS; and curl, which counts.
NOTICED = (
    "unexpected eof",
    "eof occurred in violation",
    "non-properly terminated",
    "3 bytes remaining to read",
    "bytes missing",
    "ended in the middle",
    "without sending TLS close notify",
    "closed abruptly",
    "client prematurely closed",
)


@pytest.mark.feature("noticed by the peer: we end without close_notify")
def test_we_end_without_close_notify(meet):
    if meet.column.peer in {NSSClient, NSSServer, HAProxyServer, GranianServer}:
        cannot("it does not tell an end in order from another")
    half = RESPONSE[:-3] if meet.column.is_client else b"GET / HTTP/1.1\r\n"
    mine, theirs = meet(send=half, expect_bytes=int(meet.column.is_client), shutdown=Shutdown.NONE)
    assert mine.ok, mine
    assert not mine.close_notify_sent
    assert said(theirs, *NOTICED)


# No TLS at all


class PlainCurl(CurlClient):
    """curl without TLS."""

    scheme = "http"


@pytest.mark.feature("refused: plain HTTP to our TLS port")
def test_plain_http_to_our_port(meet):
    if meet.column.peer is not CurlClient:
        cannot("it speaks nothing but TLS" if meet.column.is_client else "what a server speaks first is not HTTP")
    mine, theirs = Meeting(replace(meet.column, peer=PlainCurl), meet.files)()
    assert refused(mine, "http_request", Alert.unexpected_message, "GET / HTTP/1.1", encrypted=False)
    assert said(theirs, "HTTP/0.9 when not allowed")


@pytest.mark.parametrize(
    "banner", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"220 mail.example ESMTP\r\n"]
)
def test_a_server_that_speaks_no_tls(banner):
    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(banner)
            while connection.recv(65536):
                pass

    with socket.create_server((LOCALHOST, 0)) as listener:
        server = threading.Thread(target=answer, args=(listener,))
        server.start()
        address = Address(LOCALHOST, listener.getsockname()[1])
        mine = run(Options(config=ClientConfig(verifier=trusting()), connect=address, server_name="localhost"))
        server.join(LIMIT)
    assert refused(mine, "not_tls", Alert.decode_error, banner[:4].decode(), encrypted=False)
