"""The server's end of a connection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from handfast.engine.connection import Connection
from handfast.events import Observer, Role, SecretSink
from handfast.handshake import seams as seam
from handfast.handshake.server import server

if TYPE_CHECKING:
    from handfast.handshake.config import ServerConfig


class ServerConnection(Connection):
    """A TLS server, waiting for a ClientHello."""

    def __init__(
        self,
        config: ServerConfig,
        *,
        observers: Iterable[Observer] = (),
        secret_sinks: Iterable[SecretSink] = (),
        seams: seam.Seams = seam.REAL,
    ) -> None:
        super().__init__(Role.SERVER, config, observers, secret_sinks, seams)
        self._start(server(self._handshake, config))
