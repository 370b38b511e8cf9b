"""The client's end of a connection."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from handfast.config.config import ClientConfig, demand
from handfast.engine.connection import Connection
from handfast.events import Observer, SecretSink
from handfast.handshake import seams as seam
from handfast.handshake.client import client
from handfast.handshake.context import ClientHandshake

if TYPE_CHECKING:
    from handfast.trust.verifiers import Verifier


class ClientConnection(Connection):
    """A TLS client. Its first bytes are in ``outgoing`` at once.

    ``server_name`` is the DNS name or IP address that the server's certificate must have, and, if a DNS name, what is
    asked for (SNI); None checks no name, which only a verifier of your own should get. Raises ConfigError where no
    verifier is configured and this machine's default roots cannot be read.

    ``early_data`` is sent with the first bytes if ``config.sessions`` has a session that allows all of it, and else not
    at all; ``info.early_data`` says which, and whether the server took it. It is never sent a second time by itself.
    """

    _handshake: ClientHandshake

    def __init__(
        self,
        config: ClientConfig,
        *,
        server_name: str | None,
        early_data: bytes = b"",
        observers: Iterable[Observer] = (),
        secret_sinks: Iterable[SecretSink] = (),
        seams: seam.Seams = seam.REAL,
    ) -> None:
        demand(ClientConfig, config)
        super().__init__(ClientHandshake, config, observers, secret_sinks, seams)
        verifier = _default_verifier() if config.verifier is None else config.verifier
        self.info.server_name = server_name
        self._start(client(self._handshake, verifier, server_name, early_data))


@cache
def _default_verifier() -> Verifier:
    """This machine's default roots, read once per process."""
    from handfast.trust.roots import Roots
    from handfast.trust.verifiers import PathVerifier

    return PathVerifier(Roots.default())
