"""``--resume``, ``--early-data`` and ``--key-update`` of connect and serve."""

from __future__ import annotations

import re
import threading

import pytest

from handfast.cli.lenses import Lenses
from handfast.cli.server import Server
from handfast.engine import ClientAuth, ServerConnection
from handfast.errors import LocalFailure
from handfast.io import sockets
from handfast.registry import ProtocolVersion
from handfast.roles import Role
from handfast.sessions.replay import MemoryReplayGuard
from handfast.sessions.tickets import SealedTickets
from tests.cli.conftest import finish, https_server, start
from tests.cli.serving import serving
from tests.lens.connections import server_config
from tests.waiting import LIMIT

MUTUAL = ClientAuth.REQUIRE_AND_VERIFY


def early_settings(**more):
    guard = MemoryReplayGuard()
    settings = {"tickets": SealedTickets(), "max_early_data": 1000, "replay_guard": guard}
    return settings | {"early_data_with_client_identity": True} | more


def test_connect_resumes_and_says_so(run, pki):
    with https_server(MUTUAL, tickets=SealedTickets()) as port:
        result = run("connect", "--resume", f"https://localhost:{port}/", *pki.alice)
    assert result.status == 0
    assert result.out.count("You are CN=alice,O=handfast") == 1
    first, second = result.complaints
    assert "we showed CN=alice" in first
    assert not first.endswith("resumed")
    assert "the session stands for the certificate that we showed when it began, and the server answered" in second
    assert second.endswith("resumed")


def test_a_server_without_tickets_has_nothing_to_resume(run, pki, monkeypatch):
    monkeypatch.setattr("handfast.cli.connect._TICKET_TIMEOUT", 0.1)
    with https_server() as port:
        result = run("connect", "--resume", f"https://localhost:{port}/", *pki.trust)
    assert result.status == 0
    assert (
        "handfast: warning: the server gave no ticket within 0.1 s, so there is nothing to resume" in result.complaints
    )
    assert not result.complaints[-1].endswith("resumed")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ((), "the server named no session, by ticket or by id"),
        (("--old-main-secret",), "or has no extended main secret, without which none is kept (RFC 7627)"),
    ],
    ids=["", "old"],
)
def test_in_tls_1_2_a_session_may_be_missing_for_other_reasons(run, pki, monkeypatch, option, words):
    monkeypatch.setattr("handfast.cli.connect._TICKET_TIMEOUT", 0.1)
    with https_server() as port:
        result = run("connect", "--resume", "--tls", "1.2", *option, f"https://localhost:{port}/", *pki.trust)
    assert result.status == 0
    assert any(words in complaint for complaint in result.complaints)


def request_file(pki):
    path = pki.directory / "request"
    path.write_bytes(b"GET /whoami HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    return path


def test_early_data_is_sent_and_answered(pki):
    with https_server(MUTUAL, **early_settings()) as port:
        result = finish(start("connect", "--early-data", request_file(pki), f"localhost:{port}", *pki.alice))
    assert result.status == 0
    assert '"CN=alice,O=handfast"' in result.out
    assert "handfast: early data: accepted" in result.complaints


def test_early_data_that_is_not_taken_is_not_sent_again(pki):
    with https_server(MUTUAL, tickets=SealedTickets()) as port:
        result = finish(start("connect", "--early-data", request_file(pki), f"localhost:{port}", *pki.alice))
    assert "handfast: early data: not sent: the session allows 0 bytes" in result.complaints
    assert result.out == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("connect", "--early-data", "FILE", "https://localhost:1/"), "--early-data"),
        (("connect", "--early-data", "no-such-file", "localhost:1"), "no-such-file"),
        (("serve", "--early-data"), "--resume"),
    ],
)
def test_what_makes_no_sense_is_said(run, pki, arguments, words):
    given = [request_file(pki) if argument == "FILE" else argument for argument in arguments]
    more = pki.server if arguments[0] == "serve" else ()
    assert run(*given, *more).is_error(2, words)


def test_serve_gives_tickets_and_resumes(pki):
    server = start("serve", "--resume", "--early-data", "--listen", "127.0.0.1:0", *pki.server, "--client-ca", pki.ca)
    try:
        assert server.stdout is not None
        port = server.stdout.readline().partition("127.0.0.1:")[2].partition("/")[0]
        result = finish(start("connect", "--resume", f"https://localhost:{port}/", *pki.alice))
        assert result.complaints[-1].endswith("resumed")
        # It may say so after its client has ended.
        assert server.stderr is not None
        resumed = re.compile(r"mutual TLS 1.3 OK: client CN=alice.*resumed$")
        assert any(resumed.search(line) for line in server.stderr)
    finally:
        server.terminate()
        finish(server)


def test_keys_are_updated_in_both_directions(run, pki):
    with https_server() as port:
        result = run("connect", "--key-update", "--trace", f"https://localhost:{port}/", *pki.trust)
    assert result.status == 0
    updates = [line for line in result.complaints if "KeyUpdate" in line]
    assert len(updates) == 2


# What a server's tickets must not do


def test_a_client_that_does_not_read_its_tickets_holds_nobody_up():
    """Both socket buffers are as small as they can be, and the client writes before it reads."""
    import socket

    from tests.lens.connections import client_config

    config = server_config(ClientAuth.NONE, tickets=SealedTickets(), ticket_count=8)
    near, far = socket.socketpair()
    for end in (near, far):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    upload = bytes(200_000)
    received = bytearray()

    def serve():
        with sockets.TLSSocket(far, ServerConnection(config), timeout=LIMIT) as tls:
            while len(received) < len(upload):
                received.extend(tls.recv())

    thread = threading.Thread(target=serve)
    thread.start()
    with sockets.client(near, client_config(), server_name="localhost", timeout=LIMIT) as tls:
        tls.sendall(upload)
        thread.join(LIMIT)
    assert len(received) == len(upload)


# New keys where there is no TLS 1.3


def test_a_server_of_tls_1_2_alone_is_not_told_to_change_keys(run, pki):
    result = run("serve", *pki.server, "--listen", "127.0.0.1:0", "--key-update", "--tls", "1.2")
    assert result.is_error(2, "--key-update", "only TLS 1.3 has it", "let --tls have 1.3")


def test_nor_is_such_a_client(run, pki):
    result = run("connect", "--key-update", "--tls", "1.2", "https://localhost:1/", *pki.trust)
    assert result.is_error(2, "--key-update", "only TLS 1.3 has it", "let --tls have 1.3")


def test_nor_has_tls_1_2_early_data(run, pki):
    result = run("connect", "--early-data", pki.ca, "--tls", "1.2", "localhost:1", *pki.trust)
    assert result.is_error(2, "--early-data", "only TLS 1.3 has it")
    result = run("serve", *pki.server, "--early-data", "--resume", "--tls", "1.2")
    assert result.is_error(2, "only TLS 1.3 has it", "let --tls have 1.3")


def test_a_server_that_chooses_tls_1_2_cannot_be_asked_for_new_keys(run, pki):
    with https_server(versions=(ProtocolVersion.TLS12,)) as port:
        result = run("connect", "--key-update", f"https://localhost:{port}/", *pki.trust)
    assert result.is_error(1, "the server chose TLS 1.2", "(the two sides do not fit)", "leave --key-update out")
    assert result.out == ""


def test_clients_of_tls_1_2_are_served_with_the_keys_that_there_are(run, pki):
    with serving(*pki.server, "--key-update", "--naccept", "3") as server:
        for version in ("1.2", "1.2", "1.3"):
            result = run("connect", "--tls", version, f"https://localhost:{server.port}/", *pki.trust)
            assert result.status == 0, result.err
        ended = server.ends()
    assert ended.status == 0
    assert ended.err.count("TLS 1.2 has no KeyUpdate") == 1


def test_a_connection_that_fails_after_the_handshake_did_not_come_off(run, pki, monkeypatch):
    def fail(_tls, **_asked):
        raise LocalFailure("internal_error", reason="as the test wants it")

    monkeypatch.setattr(sockets.TLSSocket, "update_keys", fail)
    told: list[str] = []
    server = Server(Lenses(Role.SERVER, None, None, None), say=told.append, access=told.append, key_update=True)
    config = server_config(ClientAuth.NONE)
    with sockets.listen("127.0.0.1", 0, config, timeout=LIMIT, observe=server.watch) as listener:
        thread = threading.Thread(target=server.run, args=(listener, 1))
        thread.start()
        assert run("connect", f"https://localhost:{listener.address[1]}/", *pki.trust).status != 0
        thread.join()
    assert server.failures == 1
    assert any("as the test wants it" in line for line in told)
