"""The server of ``runserver_tls``: Django's own, whose connections are TLS and whose environ says who the client is."""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Any

from django.core.servers.basehttp import WSGIRequestHandler, WSGIServer

from handfast import limits
from handfast.contrib.asgi import info_or_none
from handfast.contrib.wsgi import tls_environ
from handfast.io.failure_log import log_failure


class TLSRequestHandler(WSGIRequestHandler):
    """One connection, after its handshake."""

    def get_environ(self) -> dict[str, Any]:
        """Django's, with the entries of ``tls_environ``, by whose HTTPS a request is secure."""
        environ: dict[str, Any] = super().get_environ()
        info = info_or_none(self.connection)
        return environ if info is None else environ | tls_environ(info)

    def handle(self) -> None:
        """One request after the other. The server ends TLS, where Django's would end TCP below it."""
        self.close_connection = True
        self.handle_one_request()
        while not self.close_connection:
            self.handle_one_request()


class TLSServer(WSGIServer):
    """A server whose ``context`` a subclass has. A handshake takes place in its connection's thread."""

    context: ssl.SSLContext

    def __init__(self, address: Any, _handler: object, **options: Any) -> None:
        super().__init__(address, TLSRequestHandler, **options)

    def get_request(self) -> tuple[ssl.SSLSocket, Any]:
        """The next connection, before its handshake."""
        plain, address = super().get_request()
        with suppress(OSError):
            return self.context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False), address
        # It was reset before anybody looked. ``socketserver`` goes on after an OSError.
        plain.close()
        raise ConnectionResetError

    def finish_request(self, request: ssl.SSLSocket, client_address: Any) -> None:
        """Complete the handshake, and answer. A failed handshake is a line in the log."""
        request.settimeout(limits.HANDSHAKE_TIMEOUT)
        try:
            request.do_handshake()
        except OSError as error:
            stands_behind: Any = request._sslobj  # type: ignore[attr-defined]
            log_failure(client_address, "", error.__cause__ or error, heard=stands_behind.connection.heard)
            return
        request.settimeout(None)
        super().finish_request(request, client_address)

    def shutdown_request(self, request: ssl.SSLSocket) -> None:
        """Send close_notify, wait for nothing, and close."""
        request.settimeout(0)
        with suppress(OSError, ValueError):
            request.unwrap()
        super().shutdown_request(request)
