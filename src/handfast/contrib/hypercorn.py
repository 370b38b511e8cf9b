"""TLS by a ``handfast.SSLContext`` under hypercorn: HTTP/1.1, HTTP/2 and WebSockets, on asyncio, uvloop and trio.

hypercorn shows an application no connection, so the ``tls`` extension is ``TLSExtensionMiddleware``'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import hypercorn.config

from handfast.contrib.asgi import watched
from handfast.contrib.sources import ContextSource, context_of, to_pickle

if TYPE_CHECKING:
    import ssl


class Config(hypercorn.config.Config):
    """hypercorn's configuration with ``tls``, a context, or ``ServerFiles`` or a function of a module that give one.

    Those two reach the workers that hypercorn starts, and a live context does not. ``certfile``, ``keyfile`` and the
    like are not looked at, and ``alpn_protocols`` is. Without ``tls`` it is hypercorn's own configuration.
    """

    tls: ContextSource | None = None

    @property
    def ssl_enabled(self) -> bool:
        """Whether TLS is spoken."""
        return self.tls is not None or bool(super().ssl_enabled)

    def create_ssl_context(self) -> ssl.SSLContext | None:
        """The context. Raises ConfigError for what is wrong with a file."""
        if self.tls is None:
            stock: ssl.SSLContext | None = super().create_ssl_context()
            return stock
        context = context_of(self.tls)
        context.set_alpn_protocols(self.alpn_protocols)
        return watched(context)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"tls": to_pickle(self.tls)}
