"""TLS by a ``handfast.SSLContext`` under cheroot, the server of CherryPy."""

from __future__ import annotations

from typing import Any

from cheroot.ssl.builtin import BuiltinSSLAdapter

from handfast.contrib.asgi import info_or_none
from handfast.contrib.sources import ContextSource, context_of
from handfast.contrib.wsgi import tls_environ


class Adapter(BuiltinSSLAdapter):
    """The ``ssl_adapter`` of a cheroot server. Environs hold what ``handfast.contrib.wsgi.tls_environ`` says.

    ``tls`` is a context, or ``ServerFiles`` or a function that give one.
    """

    def __init__(self, tls: ContextSource) -> None:
        self.context = context_of(tls)

    # cheroot's own adapters take the socket too; its abstract one does not say so.
    def get_environ(self, sock: Any) -> dict[str, Any]:  # type: ignore[override, unused-ignore]
        """The entries for one connection; those of a client's certificate are of a verified one only."""
        info = info_or_none(sock)
        return {"wsgi.url_scheme": "https", **({} if info is None else tls_environ(info))}
