"""How a connection starts: a context's configuration at the moment of wrapping, which later changes leave alone."""

from __future__ import annotations

import operator
import ssl
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from handfast.config.config import ClientAuth, ClientConfig, ServerConfig
from handfast.engine import ClientConnection, ServerConnection
from handfast.errors import ConfigError, HandfastError, PeerIncompatible
from handfast.io.arguments import observed
from handfast.io.sslcontext.configs import bound
from handfast.registry import ProtocolVersion
from handfast.x509.names import sni

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from handfast.config.asked import HelloSeen
    from handfast.engine import Connection, ConnectionInfo
    from handfast.events import SecretSink
    from handfast.io.arguments import ObserverFactory
    from handfast.io.sslcontext.connection import TLSConnection
    from handfast.io.sslcontext.sessions import Slot

    SniCallback = Callable[[Any, str | None, Any], int | None]


# What an alert's byte holds. RFC 9846 6.
_ALERTS = range(256)


class Setup:
    """What a connection of a context starts with."""

    def __init__(
        self,
        config: ClientConfig | ServerConfig,
        *,
        observe: ObserverFactory | None,
        secret_sinks: Sequence[SecretSink],
        sni_callback: SniCallback | None,
        post_handshake_auth: bool,
        names_count: bool,
        count: Callable[[ConnectionInfo], None],
    ) -> None:
        """``names_count``: whether a server must have the name that it is asked for by."""
        self.config = config
        self._observe = observe
        self._secret_sinks = secret_sinks
        self._sni_callback = sni_callback
        self._later = post_handshake_auth
        self._names_count = names_count
        self.count = count

    @property
    def later_client_auth(self) -> ClientAuth | None:
        """What holds for an answer after the handshake."""
        return self.config.client_auth if isinstance(self.config, ServerConfig) else None

    def start(self, tls: TLSConnection, slot: Slot) -> Connection:
        """The engine's connection for ``tls``. Raises HandfastError."""
        address = None if self._observe is None else _peer_of(tls.owner)
        watching = observed(self._observe, address, (), self._secret_sinks)
        if isinstance(self.config, ClientConfig):
            config = bound(self.config, sessions=slot)
            return ClientConnection(config, server_name=self._server_name(tls.server_hostname), **watching)
        if self._sni_callback is None and not self._later:
            return ServerConnection(self.config, **watching)
        return ServerConnection(bound(self.config, choose_config=lambda hello: self._choose(tls, hello)), **watching)

    def _server_name(self, name: str | None) -> str | None:
        """The name to ask for; None where it is no host's, which cannot be sent (RFC 6066 3), and does not count."""
        if name is None or self._names_count:
            return name
        try:
            sni(name)
        except ConfigError:
            return None
        return name

    def _choose(self, tls: TLSConnection, hello: HelloSeen) -> ServerConfig:
        """The configuration for this client, once the context's callback has had its say."""
        chosen = self
        if self._sni_callback is not None:
            before = tls.context
            _ask(self._sni_callback, tls, hello.server_name)
            if tls.context is not before:
                chosen = tls._setup = tls.context._setup(server_side=True)
        config = chosen.config
        if not isinstance(config, ServerConfig):
            raise _refusal(ssl.ALERT_DESCRIPTION_INTERNAL_ERROR, hello.server_name)
        # As with OpenSSL, a client that is asked later is not asked now; TLS 1.2 has no later.
        if chosen._later and ProtocolVersion.TLS13 in {*config.enabled_versions} & {*hello.versions}:
            return bound(config, client_auth=ClientAuth.NONE)
        return config


def _ask(callback: SniCallback, tls: TLSConnection, server_name: str | None) -> None:
    """Call a context's sni_callback; raises the alert that it wants sent, and what the C module does if it fails."""
    context = tls.context
    try:
        answer = callback(tls.owner, server_name, context)
    except Exception:  # noqa: BLE001 (whatever it raises is reported, as the C module reports it)
        _report(callback)
        raise _refusal(ssl.ALERT_DESCRIPTION_HANDSHAKE_FAILURE, server_name) from None
    if answer is None:
        return
    try:
        alert = operator.index(answer)
        if alert not in _ALERTS:
            raise OverflowError("an alert of TLS is a number from 0 to 255")
    except (TypeError, OverflowError):
        _report(callback)
        raise _refusal(ssl.ALERT_DESCRIPTION_INTERNAL_ERROR, server_name) from None
    raise _refusal(alert, server_name)


def _refusal(alert: int, name: str | None) -> HandfastError:
    """The end of a handshake with an alert that a program chose."""
    error = PeerIncompatible("callback_refused", name=name or "no server by name")
    error.alert = alert  # type: ignore[assignment]
    return error


def _report(callback: object) -> None:
    """Hand the exception at work to ``sys.unraisablehook``."""
    kind, value, traceback = sys.exc_info()
    known = {"exc_type": kind, "exc_value": value, "exc_traceback": traceback, "err_msg": None, "object": callback}
    sys.unraisablehook(SimpleNamespace(**known))


def _peer_of(owner: Any) -> Any:
    """The peer's address, where there is a socket."""
    try:
        return owner.getpeername()
    except (AttributeError, OSError):
        return None
