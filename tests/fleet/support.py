"""What the tests of a fleet share: Redis servers that are paused, killed and replaced, and nodes that use them."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any, Self

import handfast
from handfast import (
    ClientConfig,
    ClientConnection,
    RedisFleet,
    ServerConfig,
    ServerConnection,
    SessionCache,
    limits,
)
from tests import certificates
from tests.peers.base import require_module, require_peer
from tests.protocol.sessions import Pair
from tests.waiting import LIMIT, until

if TYPE_CHECKING:
    from pathlib import Path

KEY = bytes(range(32))
QUESTION = b"GET / HTTP/1.0\r\n\r\n"
OFTEN, NEVER = 0.02, 10_000.0


class Redis:
    """Debian's redis-server on the Unix socket ``folder/name.sock``; what it holds is lost with it, unless saved."""

    def __init__(self, folder: Path, name: str = "redis", **options: object) -> None:
        require_module("redis")
        self.program = require_peer("redis-server")
        self.folder, self.name = folder, name
        self.socket = folder / f"{name}.sock"
        ours = {"port": 0, "unixsocket": self.socket, "save": "", "dbfilename": f"{name}.rdb"}
        self._options: dict[str, object] = {**ours, "repl-diskless-sync-delay": 0, **options}
        self.start()

    def start(self) -> None:
        """Start it, again or for the first time."""
        import redis

        command = [self.program, *(str(one) for key, value in self._options.items() for one in (f"--{key}", value))]
        self.process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        self.client = redis.Redis(unix_socket_path=str(self.socket), socket_timeout=LIMIT)
        assert until(self._answers)

    def _answers(self) -> bool:
        import redis

        assert self.process.poll() is None
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False

    def kill(self) -> None:
        """End it at once: nothing is written any more."""
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(LIMIT)

    def restart(self) -> None:
        """End it, and start it with what was saved before."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """It takes connections, and neither reads nor answers, until ``go_on``."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def follow(self, other: Redis) -> None:
        """Become the replica of ``other``, and have all that it has."""
        self.client.execute_command("REPLICAOF", "127.0.0.1", other._options["port"])
        assert until(lambda: self.client.info("replication")["master_link_status"] == "up")

    def lead(self) -> None:
        """Become a primary, with what is there."""
        self.client.execute_command("REPLICAOF", "NO", "ONE")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def everything(self) -> bytes:
        """All names and values that it holds."""
        found = []
        for name in self.client.scan_iter(count=1000):
            kind = self.client.type(name)
            value: Any = self.client.get(name) if kind == b"string" else self.client.zrange(name, 0, -1)
            found += [name, *([value] if isinstance(value, bytes) else value)]
        return b"\0".join(found)


def fleet(where: Redis | str, keys: Any = (KEY,), *, ready: bool = True, **options: Any) -> RedisFleet:
    """A node's part of a fleet; ``timeout`` is so long that only a Redis which does not answer reaches it."""
    require_module("redis")
    url = where if isinstance(where, str) else where.url
    made = RedisFleet(url, keys, **{"timeout": min(LIMIT, limits.FLEET_TIMEOUT_MOST), **options})
    if ready:
        assert made.wait(LIMIT), made.trouble
    return made


def server_config(fleet: RedisFleet, **more: Any) -> ServerConfig:
    """A node of a fleet that takes early data and gives one ticket to each client."""
    issued = certificates.server()
    settings: dict[str, Any] = {
        "credentials": handfast.Credentials.from_pem(issued.cert_pem, issued.key_pem),
        "tickets": fleet.tickets,
        "replay_guard": fleet.replay_guard,
        "max_early_data": 1000,
        "ticket_count": 1,
    }
    return ServerConfig(**{**settings, **more})


def verifier() -> handfast.PathVerifier:
    return handfast.PathVerifier(handfast.Roots.from_der([certificates.ca().certificate_der]))


def client_config(**more: Any) -> ClientConfig:
    """A client with sessions of its own."""
    return ClientConfig(**{"verifier": verifier(), "sessions": SessionCache(), **more})


def meet(client: ClientConfig, server: ServerConfig, early_data: bytes = b"") -> Pair:
    """One connection in memory, as far as it goes by itself."""
    ours = ClientConnection(client, server_name="localhost", early_data=early_data)
    return Pair(ours, ServerConnection(server)).run()


def replayed(flight: bytes, server: ServerConfig) -> str:
    """What a server says of the early data in a client's first flight that somebody recorded."""
    connection = ServerConnection(server)
    connection.receive(flight)
    assert connection.info.resumed
    return str(connection.info.early_data)


def early_flight(client: ClientConfig, server: ServerConfig) -> bytes:
    """A client's first flight with early data, which the server has accepted."""
    pair = meet(client, server, QUESTION)
    assert pair.client.info.early_data == pair.server.info.early_data == "accepted"
    return pair.client_sent[0]
