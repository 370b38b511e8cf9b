"""Three server processes and one Redis with TLS and client certificates: killed, restarted, paused, gone and empty."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import handfast
from handfast import limits
from tests import certificates
from tests.fleet.support import KEY, OFTEN, QUESTION, Redis, client_config
from tests.ports import own_port
from tests.sslcontext.pairs import Files
from tests.waiting import LIMIT, until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent.parent


class Node:
    """A server process."""

    def __init__(self, told: dict[str, Any]) -> None:
        self._command = [sys.executable, "-m", "tests.fleet.node", json.dumps(told)]
        self.start()

    def start(self) -> None:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(self._command, cwd=ROOT, stderr=subprocess.DEVNULL, **pipes)
        self._port = 0

    @property
    def port(self) -> int:
        if not self._port:
            assert self.process.stdout is not None
            self._port = int(self.process.stdout.readline())
        return self._port

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=LIMIT)

    def meet(self, config: handfast.ClientConfig, early_data: bytes = b"") -> dict[str, Any]:
        """What it says of a connection."""
        address = ("127.0.0.1", self.port)
        with handfast.connect(*address, config, server_name="localhost", early_data=early_data, timeout=LIMIT) as tls:
            found: dict[str, Any] = json.loads(b"".join(iter(tls.recv, b"")))
        assert found["node"] == self.process.pid
        return found

    def is_ready(self) -> bool:
        """Whether it knows a Redis that answers."""
        return bool(self.meet(identified())["ready"])

    def replay(self, flight: bytes) -> None:
        """Send it a recorded first flight; it must not answer with what it answers early data with."""
        with socket.create_connection(("127.0.0.1", self.port), LIMIT) as sock:
            sock.sendall(flight)
            sock.shutdown(socket.SHUT_WR)
            with suppress(OSError):
                while sock.recv(65536):
                    pass


class Relay:
    """Carries one connection, and keeps what the client sent first."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._target = port
        self.first = b""
        self._thread = threading.Thread(target=self._carry)
        self._thread.start()

    def _carry(self) -> None:
        client, _ = self._listener.accept()
        with client, socket.create_connection(("127.0.0.1", self._target), LIMIT) as server:

            def back() -> None:
                with suppress(OSError):
                    while data := server.recv(65536):
                        client.sendall(data)
                with suppress(OSError):
                    client.shutdown(socket.SHUT_WR)

            returning = threading.Thread(target=back)
            returning.start()
            with suppress(OSError):
                while data := client.recv(65536):
                    self.first = self.first or data
                    server.sendall(data)
            with suppress(OSError):
                server.shutdown(socket.SHUT_WR)
            returning.join(LIMIT)

    def close(self) -> None:
        self._thread.join(LIMIT)
        self._listener.close()


def identified() -> handfast.ClientConfig:
    """A client with a certificate, and sessions of its own."""
    issued = certificates.client()
    credentials = handfast.Credentials.from_pem(issued.cert_pem, issued.key_pem)
    return client_config(credentials=credentials, early_data_with_client_identity=True)


class World:
    """Redis with TLS, which asks for certificates, and three nodes."""

    def __init__(self, folder: Path, port: int, *, stored: bool, timeout: float = LIMIT / 4) -> None:
        files = Files(folder)
        (folder / "fleet.key").write_text(KEY.hex())
        tls: dict[str, Any] = {"tls-port": port, "tls-auth-clients": "yes", "tls-ca-cert-file": files.ca}
        own = {"tls-cert-file": files.server, "tls-key-file": files.server_key, "bind": "127.0.0.1"}
        self.redis = Redis(folder, **tls, **own)
        names = {"ssl_ca_certs": files.ca, "ssl_certfile": files.client, "ssl_keyfile": files.client_key}
        self.url = f"rediss://localhost:{port}/0?" + "&".join(f"{key}={value}" for key, value in names.items())
        told = {"url": self.url, "key": str(folder / "fleet.key"), "stored": stored, "beat": OFTEN}
        told |= {"timeout": min(timeout, limits.FLEET_TIMEOUT_MOST), "patience": LIMIT, "client_ca": files.ca}
        self.nodes = [Node({**told, "cert": files.server, "cert_key": files.server_key}) for _ in range(3)]
        # Begun side by side; each listens once it has what the others have.
        assert all(node.port for node in self.nodes)

    def close(self) -> None:
        for node in self.nodes:
            if node.process.poll() is None:
                node.kill()
        self.redis.kill()


@pytest.fixture(params=[False, True], ids=["sealed", "stored"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with own_port() as port:
        made = World(tmp_path, port, stored=request.param)
        try:
            yield made
        finally:
            made.close()


def test_clients_resume_with_any_node_though_nodes_are_killed_and_restarted(world: World) -> None:
    first, second, third = world.nodes
    client = identified()
    assert not first.meet(client)["resumed"]
    assert second.meet(client)["resumed"]
    first.kill()
    assert third.meet(client)["resumed"]
    first.start()
    assert first.meet(client)["resumed"]
    # All at once, and none that gave the ticket is there any more.
    for node in world.nodes:
        node.kill()
    second.start()
    assert second.meet(client)["resumed"]


def test_early_data_is_taken_once_by_all_of_them(world: World) -> None:
    first, second, third = world.nodes
    client = identified()
    first.meet(client)
    assert second.meet(client, QUESTION)["early"] == "accepted"
    assert third.meet(client, QUESTION)["early"] == "accepted"
    relay = Relay(second.port)
    with handfast.connect(
        "127.0.0.1", relay.port, client, server_name="localhost", early_data=QUESTION, timeout=LIMIT
    ) as tls:
        assert json.loads(b"".join(iter(tls.recv, b"")))["early"] == "accepted"
    relay.close()
    assert len(relay.first) > 300
    hellos = world.redis.client.zcard("handfast:hellos")
    for node in world.nodes:
        node.replay(relay.first)
        assert node.is_ready()
    # None of them was new to any node.
    assert world.redis.client.zcard("handfast:hellos") == hellos


def test_redis_is_gone_and_comes_back_empty(world: World) -> None:
    first, second, third = world.nodes
    client = identified()
    first.meet(client)
    stored = "handfast:sessions" in str(world.redis.client.keys("*"))
    world.redis.kill()
    assert until(lambda: not any(node.is_ready() for node in world.nodes))
    # Full handshakes where Redis has the sessions; else the nodes have the keys.
    assert second.meet(client)["resumed"] is not stored
    assert third.meet(client, QUESTION)["early"] != "accepted"
    world.redis.start()
    assert until(lambda: all(node.is_ready() for node in world.nodes))
    client = identified()
    first.meet(client)
    assert second.meet(client)["resumed"]
    assert until(lambda: accepted(first, second))


def test_redis_is_paused(tmp_path: Path) -> None:
    """Nodes give it little time here, so that on a busy machine any answer may come too late: then they ask again."""

    def resumes() -> bool:
        client = identified()
        first.meet(client)
        return bool(second.meet(client)["resumed"])

    with own_port() as port:
        world = World(tmp_path, port, stored=True, timeout=0.2)
        try:
            first, second, third = world.nodes
            client = identified()
            assert until(lambda: first.meet(client)["ready"] and resumes())
            world.redis.pause()
            assert not second.meet(client)["resumed"]
            assert third.meet(client, QUESTION)["early"] != "accepted"
            assert until(lambda: not any(node.is_ready() for node in world.nodes))
            world.redis.go_on()
            assert until(resumes)
            assert until(lambda: accepted(second, third))
        finally:
            world.redis.go_on()
            world.close()


def accepted(one: Node, other: Node) -> bool:
    """Whether the one's ticket allows early data at the other: both know the same epoch."""
    client = identified()
    one.meet(client)
    return bool(other.meet(client, QUESTION)["early"] == "accepted")


def test_what_lies_in_redis_is_no_secret(world: World) -> None:
    client = identified()
    for node in world.nodes:
        node.meet(client)
    everything = world.redis.everything()
    certificate = handfast.Credentials.from_pem(certificates.client().cert_pem, certificates.client().key_pem).chain[0]
    assert len(everything) > 300
    for secret in (KEY, KEY.hex().encode(), certificate, certificate[50:100], b"localhost", b"alice"):
        assert secret not in everything
