"""Two doors into uvicorn: ``factory`` for its own TLS layer, ``Protocol`` for ours. Both fill the ``tls`` extension.

uvicorn makes a protocol for each connection, and every protocol takes the application from the configuration it is
given. So each connection gets a configuration whose application knows that connection, and whatever protocol serves it,
HTTP or WebSocket, finds the extension there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from handfast import limits
from handfast.contrib.asgi import Application, WithPeer, info_or_none
from handfast.contrib.joined_writes import joining
from handfast.contrib.sources import ConfigSource, ContextSource, config_of, context_of, to_pickle
from handfast.engine import ServerConfig, ServerConnection
from handfast.errors import bad_option
from handfast.io.aio.ends import ServerProtocol
from handfast.io.aio.joining import JoiningTransport
from handfast.io.aio.setup import Setup, refuse_deferred
from handfast.io.arguments import check_bytes, check_shutdown_timeout, observed

if TYPE_CHECKING:
    import ssl

    from handfast.engine import ConnectionInfo
    from handfast.io.aio.setup import NeedHandler
    from handfast.io.arguments import ObserverFactory


def Protocol(  # noqa: N802 (stands where uvicorn wants a class)
    tls: ConfigSource,
    *,
    http: str | type[asyncio.Protocol] = "auto",
    shutdown_timeout: float = limits.SHUTDOWN_TIMEOUT,
    on_need: NeedHandler = refuse_deferred,
    observe: ObserverFactory | None = None,
    plain_http_answer: bytes = b"",
) -> type[asyncio.Protocol]:
    """What to give uvicorn as ``http``, and no ``ssl_...`` with it: TLS by handfast's own asyncio transport.

    ``tls`` is a configuration, or ``ServerFiles`` or a function of a module that give one: those two reach the workers
    that uvicorn starts, and a live configuration does not. ``http`` is which protocol of uvicorn's speaks inside, by
    uvicorn's names for them. The others are as in ``handfast.aio.create_server``.
    """
    check_shutdown_timeout(shutdown_timeout)
    check_bytes("plain_http_answer", plain_http_answer)
    return cast("type[asyncio.Protocol]", _Direct(tls, http, shutdown_timeout, on_need, observe, plain_http_answer))


class _Direct:
    """Makes a connection's protocols, as a class would."""

    def __init__(
        self,
        tls: ConfigSource,
        http: str | type[asyncio.Protocol],
        shutdown_timeout: float,
        on_need: NeedHandler,
        observe: ObserverFactory | None,
        plain_http_answer: bytes,
    ) -> None:
        self._tls = tls
        self._http = http
        self._shutdown_timeout = shutdown_timeout
        self._on_need = on_need
        self._observe = observe
        self._plain_http_answer = plain_http_answer
        self._config: ServerConfig | None = None
        self._setup: Setup | None = None
        self._inside: Callable[..., asyncio.BaseProtocol] | None = None
        if "h2" in getattr(tls, "application_protocols", ()):
            self._need_http2()

    @property
    def alpn_protocols(self) -> list[str]:
        """What is negotiated. uvicorn asks when it loads its configuration: what is wrong with a file ends it then."""
        return list(self._configured().application_protocols)

    def _configured(self) -> ServerConfig:
        if self._config is None:
            self._config = config_of(self._tls)
        return self._config

    def _need_http2(self) -> None:
        if "h2" not in getattr(_http_protocol(self._http), "alpn_protocols", ()):
            reason = f"it has h2, and uvicorn's {self._http!r} does not speak HTTP/2"
            advice = "leave h2 out, or give http='uvicorn.protocols.http.auto_zttp_impl:AutoZttpProtocol'"
            raise bad_option("application_protocols", reason, advice)

    def __reduce__(self) -> tuple[Any, ...]:
        given = (self._http, self._shutdown_timeout, self._on_need, self._observe, self._plain_http_answer)
        return _Direct, (to_pickle(self._tls), *given)

    def __call__(
        self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: asyncio.AbstractEventLoop | None = None
    ) -> ServerProtocol:
        """One connection's protocol."""
        tls = self._configured()
        setup = self._set_up(_loop or asyncio.get_running_loop(), tls)
        if self._inside is None:
            self._inside = _http_protocol(self._http)
        app = WithPeer(config.loaded_app, lambda: None)
        inside = self._inside(
            config=ConnectionConfig(config, app), server_state=server_state, app_state=app_state, _loop=_loop
        )
        return _Link(setup, partial(self._connection, tls, app), inside)

    def _set_up(self, loop: asyncio.AbstractEventLoop, tls: ServerConfig) -> Setup:
        if self._setup is None or self._setup.loop is not loop:
            times = tls.handshake_timeout, self._shutdown_timeout
            self._setup = Setup(loop, *times, self._on_need, self._plain_http_answer)
        return self._setup

    def _connection(self, tls: ServerConfig, app: WithPeer, address: Any) -> ServerConnection:
        connection = ServerConnection(tls, **observed(self._observe, address, (), ()))
        info = connection.info
        app.find = lambda: info
        return connection


def _http_protocol(http: str | type[asyncio.Protocol]) -> Callable[..., asyncio.BaseProtocol]:
    from uvicorn.config import HTTP_PROTOCOLS
    from uvicorn.importer import import_from_string

    if not isinstance(http, str):
        return http
    found: Callable[..., asyncio.BaseProtocol] = import_from_string(dict[str, str](HTTP_PROTOCOLS).get(http, http))
    return found


class ConnectionConfig:
    """uvicorn's configuration as one connection sees it: its application knows the connection."""

    __slots__ = ("_config", "loaded_app")

    def __init__(self, config: Any, app: Application) -> None:
        self._config = config
        self.loaded_app = app

    def __getattr__(self, name: str) -> Any:
        return getattr(self._config, name)


class _Transport(JoiningTransport):
    """uvicorn says https where there is an ``sslcontext``, and asks the ``ssl_object`` for the ALPN name.

    It writes the head and the body of an answer one by one. ASGI lets a server keep the head until the body is there.
    """

    __slots__ = ()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name in ("sslcontext", "ssl_object"):
            return OfSslObject(self.info)
        return super().get_extra_info(name, default)


class _Link(ServerProtocol):
    """A server's end whose transport answers what uvicorn asks of ssl's."""

    __slots__ = ()

    _transport_class = _Transport


class OfSslObject:
    """As much of an ``ssl.SSLObject`` as a server asks for."""

    __slots__ = ("info",)

    def __init__(self, info: ConnectionInfo) -> None:
        self.info = info

    def selected_alpn_protocol(self) -> str | None:
        """The negotiated protocol."""
        return self.info.application_protocol


def factory(tls: ContextSource) -> Factory:
    """What to give uvicorn as ``ssl_context_factory``: TLS by a ``handfast.SSLContext`` under the loop's ssl layer.

    ``tls`` is a context, or ``ServerFiles`` or a function of a module that give one: those two reach the workers that
    uvicorn starts, and a live context does not.
    """
    return Factory(tls)


class Factory:
    """Gives uvicorn the context, and each of its connections an application that knows the connection."""

    def __init__(self, tls: ContextSource) -> None:
        self._tls = tls

    def __reduce__(self) -> tuple[Any, ...]:
        return Factory, (to_pickle(self._tls),)

    def __call__(self, config: Any, default_factory: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        """uvicorn's configuration is being loaded: its HTTP protocol is chosen already, its WebSocket one is not."""
        if not isinstance(config.http_protocol_class, _Aware):
            config.http_protocol_class = _Aware(config.http_protocol_class)
        return context_of(self._tls)


class _Aware:
    """Makes the protocol that uvicorn would make, with an application that knows its connection."""

    def __init__(self, protocol: Callable[..., Any]) -> None:
        self._protocol = joining(protocol)

    def __call__(self, *, config: Any, **others: Any) -> asyncio.Protocol:
        app = WithPeer(config.loaded_app, lambda: None)
        protocol: Any = self._protocol(config=ConnectionConfig(config, app), **others)
        app.find = _Finder(protocol)
        return cast(asyncio.Protocol, protocol)


class _Finder:
    """What is known of the connection of a protocol of uvicorn's, which has one transport for all its life."""

    __slots__ = ("_info", "_protocol")

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self._info: ConnectionInfo | None = None

    def __call__(self) -> ConnectionInfo | None:
        if self._info is None:
            self._info = info_or_none(self._protocol.transport)
        return self._info
