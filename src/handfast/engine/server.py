"""The server's end of a connection."""

from __future__ import annotations

from collections.abc import Iterable

from handfast import words
from handfast.config.config import ClientAuth, ClientAuthWord, ServerConfig, demand
from handfast.engine.connection import Connection
from handfast.engine.driver import EntryGuard
from handfast.errors import ApiMisuse
from handfast.events import Observer, SecretSink
from handfast.handshake import seams as seam
from handfast.handshake.context import ServerHandshake
from handfast.handshake.server import server


class ServerConnection(Connection):
    """A TLS server, waiting for a ClientHello."""

    _handshake: ServerHandshake

    def __init__(
        self,
        config: ServerConfig,
        *,
        observers: Iterable[Observer] = (),
        secret_sinks: Iterable[SecretSink] = (),
        seams: seam.Seams = seam.REAL,
    ) -> None:
        demand(ServerConfig, config)
        super().__init__(ServerHandshake, config, observers, secret_sinks, seams)
        self._start(server(self._handshake))

    def request_client_certificate(self, *, client_auth: ClientAuth | ClientAuthWord | None = None) -> bytes:
        """Ask the client for its certificate now, after the handshake. RFC 9846 4.7.2.

        Returns the request's context (32 bytes), which the ``PeerAuthenticated`` of the answer has too. The answer may
        take as long as the client's user does, and data that comes before that result is an unknown client's.
        ``client_auth`` says what holds for the answer, the configuration's mode if None, and ``request`` where that is
        ``none``; a client that it refuses loses the connection.

        Raises ApiMisuse cannot_request where the client did not offer it, before the handshake is complete, after
        ``close``, after an external PSK, under HTTP/2 and HTTP/3, and while too many requests have no answer, and
        bad_argument where there is no verifier for the answer. Raises ConfigError bad_option for what is no mode.
        """
        from handfast.handshake.post_auth import FORBIDDING_PROTOCOLS

        given = self._handshake.config.client_auth if client_auth is None else client_auth
        mode = words.mode("client_auth", given, ClientAuth)
        if mode is ClientAuth.NONE:
            mode = ClientAuth.REQUEST
        if mode.enforces_verdict and self._handshake.config.verifier is None:
            raise ApiMisuse("bad_argument", reason=f"{mode} needs a verifier in the configuration")
        context = b""
        with EntryGuard(self):
            if self._later is None or self._write_closed:
                raise ApiMisuse("cannot_request", reason=self._why_no_request())
            if self.info.application_protocol in FORBIDDING_PROTOCOLS:
                reason = f"{self.info.application_protocol} forbids it (RFC 9113 9.2.3, RFC 9001 4.4)"
                raise ApiMisuse("cannot_request", reason=reason)
            if self.info.external_psk:
                raise ApiMisuse("cannot_request", reason="the handshake rests on an external PSK (RFC 9846 4.7.2)")
            context = self._later.request(mode)
        self._raise_error()
        return context

    def _why_no_request(self) -> str:
        if self._post is None:
            return "the handshake is not complete"
        return "this side is closed" if self._write_closed else "the client did not offer it"
