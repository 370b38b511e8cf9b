"""TLS by a ``handfast.SSLContext`` under gunicorn: ``ssl_context`` in its configuration file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from handfast.contrib.asgi import watched
from handfast.contrib.sources import ContextSource, context_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable


def factory(tls: ContextSource) -> Callable[[Any, Callable[[], ssl.SSLContext]], ssl.SSLContext]:
    """What to give gunicorn as ``ssl_context``, besides ``certfile`` and ``keyfile``, for without them it uses no TLS.

    ``tls`` is a context, or ``ServerFiles`` or a function that give one. Files are read once, and anew when gunicorn
    reads its configuration anew (SIGHUP). Applications learn of the peer by ``handfast.contrib.wsgi`` or
    ``handfast.contrib.asgi``.
    """
    made: list[ssl.SSLContext] = []

    def ssl_context(conf: Any, default_factory: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        # gunicorn asks for each connection.
        if not made:
            made.append(watched(context_of(tls)))
        return made[0]

    return ssl_context
