"""Connections of others, recorded on loopback, compared field by field with what tshark says of them (PDML).

Finished's verify_data has no value in PDML; here it is computed and compared.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

from handfast import engine
from handfast.events import AlertSeen, Checked, Event, MessageSeen, RecordSeen
from handfast.passive import RecordedConnection, decode
from handfast.registry import NamedGroup, is_grease
from handfast.wire.extensions import KeyShareClientHello
from handfast.wire.fields import Kind, fields_of
from handfast.wire.messages import MESSAGES, ClientHello
from handfast.wire.messages12 import MESSAGES_12
from tests import browsers, certificates
from tests.cli.conftest import https_server
from tests.interop.test_browsers import versions
from tests.listening import LOCALHOST
from tests.peers import ClientAuth, Options
from tests.peers.base import missing, require_peer
from tests.peers.curl import CurlClient
from tests.peers.gnutls import GnuTLSClient
from tests.peers.golang import GoClient
from tests.peers.node import NodeClient
from tests.peers.openssl import OpenSSLClient, OpenSSLServer
from tests.waiting import LIMIT, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from handfast.pki.authority import Issued
    from tests.conftest import Files

CLIENTS: dict[str, Any] = {
    "openssl": OpenSSLClient,
    "gnutls": GnuTLSClient,
    "curl": CurlClient,
    "go": GoClient,
    "node": NodeClient,
}

# tshark's name of a field -> ours; both are lists of bytes or numbers in the order of the wire.
FIELDS = {
    "tls.handshake.random": ("random",),
    "tls.handshake.ciphersuite": ("cipher_suite", "cipher_suites[]"),
    "tls.handshake.extension.type": ("extension_type",),
    "tls.handshake.extensions_key_share_key_exchange": ("key_exchange",),
    "tls.handshake.certificate": ("cert_data", "certificate_list[]"),
    "tls.handshake.sig": ("signature",),
    "tls.handshake.session_ticket": ("ticket",),
}

ENCRYPTED_CLIENT_HELLO = 0xFE0D


@contextmanager
def recording(port: int, path: Path) -> Iterator[None]:
    """What crosses loopback on a port, into a file, to the last packet."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as marker:
        marker.bind((LOCALHOST, 0))
        shown = f"tcp port {port} or udp port {marker.getsockname()[1]}"
        command = [require_peer("dumpcap"), "-q", "-i", "lo", "-f", shown, "-w", str(path)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            said = ""
            while "File: " not in said:
                line = process.stderr.readline()
                said += line
                if not line:
                    missing(f"dumpcap cannot capture here: {said}")
            try:
                yield
                # Packets stand in the file in their order: when this one is there, so is all that was sent before.
                last = os.urandom(32)
                marker.sendto(last, marker.getsockname())
                assert until(lambda: last in path.read_bytes())
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(timeout=LIMIT)


def of_key_log(capture: Path, keys: Path) -> list[RecordedConnection]:
    """The connections whose secrets are in the key log: at other addresses the port may be another test's."""
    keylog = keys.read_text()
    known = keylog.lower()

    def is_known(event: Event) -> bool:
        hello = event.message if isinstance(event, MessageSeen) else None
        return isinstance(hello, ClientHello) and hello.random.hex() in known

    connections = decode(capture.read_bytes(), keylog.encode()).connections
    return [connection for connection in connections if any(map(is_known, connection.events))]


def filter_for(connection: RecordedConnection) -> str:
    """What makes tshark tell of this connection only."""
    return f"tls && tcp.port=={connection.flow.client.port}"


def pdml(path: Path, keys: Path, port: int, shown: str) -> dict[str, list[Any]]:
    """The values of tshark's fields, by name, in the order of the wire."""
    command = [require_peer("tshark"), "-n", "-r", str(path), "-T", "pdml", "-o", f"tls.keylog_file:{keys}"]
    command += ["-d", f"tcp.port=={port},tls", "-Y", shown]
    done = subprocess.run(command, capture_output=True, timeout=LIMIT, check=True)
    found: dict[str, list[Any]] = defaultdict(list)
    for element in ElementTree.fromstring(done.stdout).iter("field"):
        name = element.get("name", "").replace("client_cert_vrfy.sig", "sig")
        if name in FIELDS or name in ("tls.handshake.type", "tls.handshake.length", "tls.alert_message.desc"):
            found[name].append(int(element.get("value", "") or "0", 16))
    return found


def values_of(connection: RecordedConnection) -> dict[str, list[Any]]:
    """The same of our decoder."""
    found: dict[str, list[Any]] = defaultdict(list)
    messages = MESSAGES
    for event in connection.events:
        if isinstance(event, AlertSeen):
            found["tls.alert_message.desc"].append(int(event.description))
        if not isinstance(event, MessageSeen):
            continue
        if type(event.message).__module__.endswith("messages12"):
            messages = MESSAGES_12
        found["tls.handshake.type"].append(event.raw[0])
        found["tls.handshake.length"].append(len(event.raw) - 4)
        for field in fields_of(event.raw, messages):
            # The ticket in an extension of the hello has another name for tshark.
            if field.kind is not Kind.VALUE or (field.name == "ticket" and field.depth):
                continue
            path = f"{field.path[0]}[]" if len(field.path) == 2 and field.name.startswith("[") else field.name
            for name, ours in FIELDS.items():
                if path in ours:
                    value = field.value
                    found[name].append(int.from_bytes(value) if isinstance(value, bytes) else value)
    return found


def assert_told_alike(connection: RecordedConnection, theirs: dict[str, list[Any]]) -> None:
    ours = values_of(connection)
    assert ours["tls.handshake.type"], "nothing was decoded"
    for name in (*FIELDS, "tls.handshake.type", "tls.handshake.length", "tls.alert_message.desc"):
        assert ours[name] == theirs[name], name


@pytest.mark.parametrize("version", ["1.3", "1.2"])
@pytest.mark.parametrize("client", CLIENTS)
def test_a_connection_is_told_field_by_field_as_tshark_tells_it(
    client: str, version: str, files: Files, tmp_path: Path
):
    if os.geteuid() != 0:
        missing("capturing needs root")
    keys, capture = tmp_path / "keys.log", tmp_path / "capture.pcapng"

    def options(issued: Issued, **further: Any) -> Options:
        trust = files.roots(certificates.ca())
        return Options(**{**files.identity(issued), "trust": trust, "version": version, **further})

    server = options(certificates.server(), client_auth=ClientAuth.REQUIRE, keylog=keys)
    with OpenSSLServer(server) as them, recording(them.port, capture):
        with CLIENTS[client](them.port, options(certificates.client())) as us:
            us.outcome()
        port = them.port
        them.outcome()
    (connection,) = of_key_log(capture, keys)
    assert_told_alike(connection, pdml(capture, keys, port, filter_for(connection)))
    checked = [event for event in connection.events if isinstance(event, Checked)]
    assert len(checked) == 4
    assert all(event.ok for event in checked)
    data = b"".join(
        event.content for event in connection.events if isinstance(event, RecordSeen) and event.content_type == 23
    )
    assert b"GET / HTTP/1.1" in data


@versions
def test_chromium_is_told_field_by_field_as_tshark_tells_it(version: int, tmp_path: Path):
    """A hello with GREASE, a hybrid share and encrypted_client_hello, and what a browser opens besides."""
    program = browsers.executable("chromium")
    if os.geteuid() != 0:
        missing("capturing needs root")
    keys, capture = tmp_path / "keys.log", tmp_path / "capture.pcapng"
    command = [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors"]
    command += [f"--user-data-dir={tmp_path}/profile", "--dump-dom"]
    environment = {**os.environ, "HOME": str(tmp_path), "SSLKEYLOGFILE": str(keys)}
    with https_server(engine.ClientAuth.NONE, verifier=None, versions=(version,)) as port, recording(port, capture):
        command.append(f"https://localhost:{port}/")
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT)
    assert "<html" in done.stdout
    connections = of_key_log(capture, keys)
    for connection in connections:
        assert_told_alike(connection, pdml(capture, keys, port, filter_for(connection)))
        assert all(event.ok for event in connection.events if isinstance(event, Checked))
    hello = next(event.message for event in connections[0].events if isinstance(event, MessageSeen))
    assert isinstance(hello, ClientHello)
    assert any(map(is_grease, hello.cipher_suites))
    assert ENCRYPTED_CLIENT_HELLO in values_of(connections[0])["tls.handshake.extension.type"]
    shares = hello.find(KeyShareClientHello)
    assert shares is not None
    assert NamedGroup.X25519MLKEM768 in [share.group for share in shares.client_shares]
    asked = [event for one in connections for event in one.events if isinstance(event, RecordSeen)]
    assert any(event.content.startswith(b"GET / HTTP/1.1") for event in asked)
