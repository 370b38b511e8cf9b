"""Blocking TLS over TCP: connecting, and listening. The connection itself is a ``TLSSocket``."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from handfast.config.config import ClientConfig, ServerConfig, demand
from handfast.engine import ClientConnection, ServerConnection
from handfast.errors import ConnectionLost
from handfast.io.arguments import ObserverFactory, check_seconds, observed
from handfast.io.blocking import NeedHandler, refuse_coroutines, refuse_to_wait
from handfast.io.failure_log import address_text
from handfast.io.tls_socket import TLSSocket

if TYPE_CHECKING:
    from types import TracebackType

    from handfast.events import Observer, SecretSink

__all__ = ["Listener", "TLSSocket", "client", "connect", "listen", "open_tcp"]


def connect(
    host: str,
    port: int,
    config: ClientConfig,
    *,
    server_name: str | None = None,
    early_data: bytes = b"",
    timeout: float | None = None,
    observe: ObserverFactory | None = None,
    observers: Sequence[Observer] = (),
    secret_sinks: Sequence[SecretSink] = (),
    on_need: NeedHandler = refuse_to_wait,
) -> TLSSocket:
    """Connect and complete a TLS handshake; the server's certificate must be for ``server_name``, or else ``host``.

    ``early_data`` and what becomes of it is as in ``ClientConnection``: see ``info.early_data``.
    """
    demand(ClientConfig, config)
    check_seconds("timeout", timeout)
    refuse_coroutines(config, on_need)
    return client(
        open_tcp(host, port, timeout),
        config,
        server_name=server_name or host,
        early_data=early_data,
        timeout=timeout,
        observe=observe,
        observers=observers,
        secret_sinks=secret_sinks,
        on_need=on_need,
    )


def open_tcp(host: str, port: int, timeout: float | None = None) -> socket.socket:
    """A TCP connection, for ``client``. Raises ConnectionLost connect_failed."""
    try:
        return socket.create_connection((host, port), timeout)
    except (OSError, UnicodeError) as error:
        # A name that DNS cannot hold is no OSError.
        reason = getattr(error, "strerror", None) or str(error)
        raise ConnectionLost("connect_failed", address=f"{host}:{port}", reason=reason) from None


def client(
    sock: socket.socket,
    config: ClientConfig,
    *,
    server_name: str | None,
    early_data: bytes = b"",
    timeout: float | None = None,
    observe: ObserverFactory | None = None,
    observers: Sequence[Observer] = (),
    secret_sinks: Sequence[SecretSink] = (),
    on_need: NeedHandler = refuse_to_wait,
) -> TLSSocket:
    """A TLS client over a socket that is connected already; the handshake is complete when it returns."""
    try:
        refuse_coroutines(config, on_need)
        watching = observed(observe, None if observe is None else sock.getpeername(), observers, secret_sinks)
        connection = ClientConnection(config, server_name=server_name, early_data=early_data, **watching)
        tls = TLSSocket(sock, connection, timeout=timeout, on_need=on_need)
        tls.handshake()
    except BaseException:
        sock.close()
        raise
    return tls


class Listener:
    """A listening socket whose connections speak TLS. Raises ApiMisuse async_signer, async_verifier.

    ``plain_http_answer`` may be set to the HTTP response for clients that speak HTTP without TLS.
    """

    plain_http_answer = b""

    def __init__(
        self,
        sock: socket.socket,
        config: ServerConfig,
        *,
        timeout: float | None = None,
        observe: ObserverFactory | None = None,
        on_need: NeedHandler = refuse_to_wait,
    ) -> None:
        demand(ServerConfig, config)
        check_seconds("timeout", timeout)
        refuse_coroutines(config, on_need)
        self._sock = sock
        self.config = config
        self._timeout = timeout
        self._observe = observe
        self._on_need = on_need
        self.address: Any = sock.getsockname()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._sock.fileno()

    def __repr__(self) -> str:
        closed = ", closed" if self._sock.fileno() < 0 else ""
        return f"<Listener {address_text(self.address)}{closed}>"

    def accept(self) -> TLSSocket:
        """The next connection, before its handshake: ``handshake``, ``recv`` and ``sendall`` make it, in their thread.

        Raises OSError when the listener is closed.
        """
        sock, address = self._sock.accept()
        try:
            connection = ServerConnection(self.config, **observed(self._observe, address, (), ()))
            tls = TLSSocket(sock, connection, timeout=self._timeout, on_need=self._on_need)
        except BaseException:
            sock.close()
            raise
        tls.plain_http_answer = self.plain_http_answer
        return tls

    def close(self) -> None:
        """Stop listening; a thread in ``accept`` gets an OSError."""
        # Not every system lets a listening socket be shut down; closing it is what counts.
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()


def listen(
    host: str,
    port: int,
    config: ServerConfig,
    *,
    timeout: float | None = None,
    observe: ObserverFactory | None = None,
    on_need: NeedHandler = refuse_to_wait,
) -> Listener:
    """Listen on ``host`` and ``port`` (0 for any free one; see ``address``). Raises OSError if the port is taken."""
    demand(ServerConfig, config)
    check_seconds("timeout", timeout)
    refuse_coroutines(config, on_need)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.create_server((host, port), family=family, backlog=128)
    return Listener(sock, config, timeout=timeout, observe=observe, on_need=on_need)
