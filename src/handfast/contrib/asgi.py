"""The ``tls`` extension of ASGI: who the peer is, in the scope of each request. Version 0.2, of 2020-09-02.

``WithPeer`` is for servers of which we see the connections: it is made for one of them, and nothing is guessed.
``TLSExtensionMiddleware`` is for all others. Those show an application no connection, so it relies on two things that
must agree: the connection that the request's context comes from (``watched``), and the address in the scope.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from weakref import ref

from handfast.engine import ConnectionInfo, VerifiedPeer
from handfast.errors import ApiMisuse
from handfast.io.lookup import info as info_of
from handfast.x509 import pem
from handfast.x509.describe import describe_subject

if TYPE_CHECKING:
    from handfast.engine import UnverifiedPeer

Scope: TypeAlias = "MutableMapping[str, Any]"
Receive: TypeAlias = "Callable[[], Awaitable[MutableMapping[str, Any]]]"
Send: TypeAlias = "Callable[[MutableMapping[str, Any]], Awaitable[None]]"
# Frameworks declare the three in types of their own.
Application: TypeAlias = "Callable[[Any, Any, Any], Awaitable[None]]"
Context = TypeVar("Context", bound=ssl.SSLContext)

_REQUESTS = ("http", "websocket")


def tls_extension(info: ConnectionInfo) -> dict[str, Any]:
    """The six entries for a server's connection.

    ``client_cert_chain`` is the chain as the client sent it, verified or not: ``client_cert_error`` is None only for a
    verified one, or for none. ``server_cert`` is None where no certificate was sent, as when a session is resumed.
    """
    peer = info.peer
    return {
        "server_cert": _pem(info.own_chain[0]) if info.own_chain else None,
        "client_cert_chain": () if peer is None else tuple(map(_pem, peer.chain)),
        "client_cert_name": None if peer is None else _subject(peer.chain[0]),
        "client_cert_error": None if peer is None else _error(peer),
        "tls_version": info.version,
        "cipher_suite": info.suite,
    }


def connection_info(scope: Scope) -> ConnectionInfo | None:
    """What is known of the connection by which a request came; None where it did not come by handfast's TLS.

    It stands in the scope beside the ``tls`` extension, as ``scope["extensions"]["handfast"]["info"]``.
    """
    found = ((scope.get("extensions") or {}).get("handfast") or {}).get("info")
    return found if isinstance(found, ConnectionInfo) else None


def verified_peer(scope: Scope) -> VerifiedPeer | None:
    """The client of a request, if and only if its certificate was verified: the one to base decisions on."""
    info = connection_info(scope)
    return None if info is None else info.verified_peer


def _pem(certificate: bytes) -> str:
    return pem.encode(pem.CERTIFICATE, certificate).decode()


def _subject(certificate: bytes) -> str:
    return describe_subject(certificate) if len(certificate) > _LONGEST_KEPT else _subject_or_recalled(certificate)


# Few, and none that is large, because peers choose what is kept.
_LONGEST_KEPT = 4096
_subject_or_recalled = lru_cache(maxsize=64)(describe_subject)


def _error(peer: VerifiedPeer | UnverifiedPeer) -> str | None:
    if isinstance(peer, VerifiedPeer):
        return None
    return peer.verdict.explanation or peer.verdict.code or "not verified"


class WithPeer:
    """An ASGI application as the requests of one TLS connection reach it: their scopes hold its ``tls`` extension.

    ``find`` gives what is known of the connection, or None where it is not handfast's. A scope that has the extension
    already stays as it is.
    """

    __slots__ = ("_app", "_made", "_peer", "find")

    def __init__(self, app: Application, find: Callable[[], ConnectionInfo | None]) -> None:
        self._app = app
        self.find = find
        self._peer: VerifiedPeer | UnverifiedPeer | None = None
        self._made: dict[str, Any] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _is_open(scope) and (info := self.find()) is not None and info.complete:
            # A client may show its certificate only after the handshake.
            if not self._made or self._peer is not info.peer:
                self._peer, self._made = info.peer, tls_extension(info)
            scope = _with(scope, info, dict(self._made))
        await self._app(scope, receive, send)


def _is_open(scope: Scope) -> bool:
    """Whether this is a request without the extension."""
    return scope["type"] in _REQUESTS and "tls" not in (scope.get("extensions") or {})


def _with(scope: Scope, info: ConnectionInfo, extension: dict[str, Any]) -> Scope:
    ours = {"tls": extension, "handfast": {"info": info}}
    return {**scope, "extensions": {**(scope.get("extensions") or {}), **ours}}


def info_or_none(thing: object) -> ConnectionInfo | None:
    """As ``handfast.info``, but None for what is not handfast's."""
    try:
        return info_of(thing)
    except ApiMisuse:
        return None


class _Origin:
    """A connection from which contexts come, and whose requests these are.

    ``client`` is the address of the first request that was seen of it: BIOs know none. ``info`` is None once the
    connection has ended, for its address may then be another client's.
    """

    __slots__ = ("_connection", "client")

    def __init__(self, connection: object) -> None:
        self._connection: Callable[[], object] = ref(connection)
        self.client: tuple[Any, Any] | None = None

    def serves(self, scope: Scope) -> bool:
        """Whether the request came in by this connection."""
        client = _address(scope.get("client"))
        if client is None:
            return False
        if self.client is None:
            self.client = client
        return self.client == client

    @property
    def info(self) -> ConnectionInfo | None:
        connection = self._connection()
        return None if connection is None else info_or_none(connection)

    def end(self) -> None:
        """The connection is over."""
        self._connection = _nothing


def _nothing() -> None:
    """What there is of a connection that has ended."""


def _address(client: Any) -> tuple[Any, Any] | None:
    """The address and port in a scope, None where they name no single client, as with Unix sockets."""
    if isinstance(client, list | tuple) and len(client) == 2 and client[0] and client[1]:
        return client[0], client[1]
    return None


_origin: ContextVar[_Origin | None] = ContextVar("handfast.contrib.asgi", default=None)


class WatchedObject(ssl.SSLObject):
    """An SSLObject that marks the context in which its server works on the connection, and so the requests' too."""

    _own_origin: _Origin | None = None

    def _mark(self) -> None:
        if self._own_origin is None:
            self._own_origin = _Origin(self)
        _origin.set(self._own_origin)

    def do_handshake(self) -> None:
        """As in ssl."""
        self._mark()
        super().do_handshake()

    def selected_alpn_protocol(self) -> str | None:
        """As in ssl."""
        self._mark()
        return super().selected_alpn_protocol()

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        """As in ssl."""
        self._mark()
        try:
            return super().read(len, buffer)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            self._end()
            raise

    def unwrap(self) -> None:
        """As in ssl."""
        self._end()
        super().unwrap()

    def _end(self) -> None:
        if self._own_origin is not None:
            self._own_origin.end()


def watched(context: Context) -> Context:
    """Have the connections of this context known to ``TLSExtensionMiddleware``; returns the context."""
    context.sslobject_class = WatchedObject
    return context


class TLSExtensionMiddleware:
    """Adds the ``tls`` extension under a server that has none, to requests that came by a ``watched`` context.

    It must be the outermost middleware: others may change the client's address in the scope, or call from a task that
    was started in another client's request. A request whose address is not that of the connection that its context
    comes from gets no extension, and neither does one whose address says nothing, as with Unix sockets.
    """

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = _origin.get()
        if origin is not None and _is_open(scope) and scope.get("scheme") in ("https", "wss") and origin.serves(scope):
            info = origin.info
            if info is not None and info.complete:
                scope = _with(scope, info, tls_extension(info))
        await self._app(scope, receive, send)
