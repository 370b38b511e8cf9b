"""Sessions of TLS 1.2 with others' stacks, in both roles: by ticket, and by session id where they take no tickets."""

from __future__ import annotations

import contextlib
import re
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from handfast.engine import ClientAuth, ClientConnection, Connection, HandshakeDone, ServerConnection, VerifiedPeer
from handfast.io import sockets
from handfast.sessions.cache import SessionCache
from handfast.sessions.tickets import SealedTickets, StoredTickets
from tests import certificates
from tests.cli.conftest import https_server
from tests.lens.connections import client_config, server_config
from tests.peers.base import require_peer
from tests.waiting import LIMIT

MUTUAL = ClientAuth.REQUIRE_AND_VERIFY
BY_TICKET, BY_ID = "by ticket", "by session id"
ways = pytest.mark.parametrize("way", [BY_TICKET, BY_ID])


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    contents = {
        "ca.pem": certificates.ca().certificate_pem,
        "server.pem": certificates.server().cert_pem,
        "server.key": certificates.server().key_pem,
        "client.pem": certificates.client().cert_pem,
        "client.key": certificates.client().key_pem,
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return {name: str(tmp_path / name) for name in contents}


# Python's ssl, in memory


class Theirs:
    """One end that is Python's."""

    def __init__(self, context: ssl.SSLContext, *, server: bool, session: ssl.SSLSession | None = None) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        name = None if server else "localhost"
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server, name, session)

    def meet(self, ours: Connection) -> Theirs:
        done = False
        for _ in range(6):
            self.incoming.write(ours.outgoing())
            with contextlib.suppress(ssl.SSLWantReadError):
                self.tls.do_handshake()
            if data := self.outgoing.read():
                done = any(isinstance(result, HandshakeDone) for result in ours.receive(data)) or done
        assert done
        return self


def context(files: dict[str, str], protocol: int, way: str) -> ssl.SSLContext:
    made = ssl.SSLContext(protocol)
    made.load_verify_locations(files["ca.pem"])
    made.verify_mode = ssl.CERT_REQUIRED
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    name = "server" if protocol == ssl.PROTOCOL_TLS_SERVER else "client"
    made.load_cert_chain(files[f"{name}.pem"], files[f"{name}.key"])
    if way == BY_ID:
        made.options |= ssl.OP_NO_TICKET
    return made


@ways
def test_pythons_client(files, way):
    theirs = context(files, ssl.PROTOCOL_TLS_CLIENT, way)
    config = server_config(MUTUAL, tickets=SealedTickets() if way == BY_TICKET else StoredTickets())
    session, resumed = None, []
    for _ in range(3):
        ours = ServerConnection(config)
        end = Theirs(theirs, server=False, session=session).meet(ours)
        session = end.tls.session
        assert session is not None
        assert session.has_ticket == (way == BY_TICKET)
        assert isinstance(ours.info.peer, VerifiedPeer)
        assert end.tls.session_reused == ours.info.resumed
        resumed.append(ours.info.resumed)
    assert resumed == [False, True, True]


def test_pythons_client_with_tickets_that_are_good_once(files):
    """Each resumption brings a new one."""
    theirs = context(files, ssl.PROTOCOL_TLS_CLIENT, BY_TICKET)
    config = server_config(MUTUAL, tickets=StoredTickets())
    session = None
    for resumed in (False, True, True):
        end = Theirs(theirs, server=False, session=session).meet(ServerConnection(config))
        session = end.tls.session
        assert end.tls.session_reused == resumed


@ways
def test_pythons_server(files, way):
    theirs = context(files, ssl.PROTOCOL_TLS_SERVER, way)
    config = client_config(certificates.client(), sessions=SessionCache())
    resumed = []
    # OpenSSL forgets the session of a connection that is freed without close_notify.
    ends = []
    for _ in range(3):
        ours = ClientConnection(config, server_name="localhost")
        end = Theirs(theirs, server=True).meet(ours)
        ends.append(end)
        assert isinstance(ours.info.peer, VerifiedPeer)
        assert end.tls.session_reused == ours.info.resumed == ours.info.session_identified
        resumed.append(ours.info.resumed)
    assert resumed == [False, True, True]


# Programs


def run_program(*command: str, text: bytes = b"") -> str:
    done = subprocess.run(command, input=text, capture_output=True, timeout=LIMIT, check=False)
    return (done.stdout + done.stderr).decode(errors="replace")


@ways
def test_s_client_reconnects(files, way):
    tickets: Any = SealedTickets() if way == BY_TICKET else StoredTickets()
    more = [] if way == BY_TICKET else ["-no_ticket"]
    with https_server(MUTUAL, tickets=tickets) as port:
        said = run_program(
            require_peer("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost", "-tls1_2",
            "-CAfile", files["ca.pem"], "-cert", files["client.pem"], "-key", files["client.key"], "-reconnect", *more,
        )  # fmt: skip
    assert (said.count("\nNew, TLSv1.2"), said.count("\nReused, TLSv1.2")) == (1, 5)


def test_s_client_with_a_session_file(files, tmp_path):
    session = str(tmp_path / "session")
    with https_server(MUTUAL, tickets=SealedTickets()) as port:
        command = [
            require_peer("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost", "-tls1_2",
            "-CAfile", files["ca.pem"], "-cert", files["client.pem"], "-key", files["client.key"],
        ]  # fmt: skip
        said = [run_program(*command, option, session) for option in ("-sess_out", "-sess_in")]
    assert "\nNew, TLSv1.2" in said[0]
    assert "\nReused, TLSv1.2" in said[1]


def test_gnutls_cli_resumes(files):
    with https_server(MUTUAL, tickets=SealedTickets()) as port:
        said = run_program(
            require_peer("gnutls-cli"), "--port", str(port), "localhost", "--x509cafile", files["ca.pem"],
            "--x509certfile", files["client.pem"], "--x509keyfile", files["client.key"], "--resume", "--priority",
            "NORMAL:-VERS-ALL:+VERS-TLS1.2", text=b"GET / HTTP/1.0\r\n\r\n",
        )  # fmt: skip
    assert re.search("This is a resumed session", said), said


@pytest.fixture(params=[BY_TICKET, BY_ID])
def s_server(request: pytest.FixtureRequest, files: dict[str, str]) -> Iterator[int]:
    """openssl s_server, which asks for a certificate; its port."""
    command = [
        require_peer("openssl"), "s_server", "-accept", "127.0.0.1:0", "-tls1_2", "-cert", files["server.pem"], "-key",
        files["server.key"], "-CAfile", files["ca.pem"], "-Verify", "3", "-verify_return_error", "-www",
    ]  # fmt: skip
    command += ["-no_ticket"] if request.param == BY_ID else []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    try:
        port = next(int(line.rpartition(":")[2]) for line in process.stdout if line.startswith("ACCEPT"))
        yield port
    finally:
        process.kill()
        process.communicate()


def test_s_server(s_server):
    config = client_config(certificates.client(), sessions=SessionCache(), application_protocols=())
    resumed = []
    for _ in range(3):
        with sockets.connect("127.0.0.1", s_server, config, server_name="localhost", timeout=LIMIT) as tls:
            tls.handshake()
            tls.sendall(b"GET / HTTP/1.0\r\n\r\n")
            said = b"".join(iter(lambda: tls.recv(65536), b""))
            assert (b"Reused, TLSv1.2" in said) == tls.info.resumed
            resumed.append(tls.info.resumed)
    assert resumed == [False, True, True]
