"""Whether this interpreter's ``ssl`` asks a context for what stands behind its objects, and what to do if it does not.

``SSLObject`` and ``SSLSocket`` call ``_wrap_bio`` and ``_wrap_socket`` of their context: private names, which every
CPython so far has. One that has not gets classes that build themselves, by the documented ``sslobject_class`` and
``sslsocket_class``.
"""

from __future__ import annotations

import errno
import socket
import ssl
from typing import Any, Self

from handfast.io.sslcontext.wrapped import SSLObject, SSLSocket


def asked() -> bool:
    """Whether both kinds of objects ask their context, on this interpreter."""
    answer = object()

    class Probe(ssl.SSLContext):
        def _wrap_bio(self, *_args: Any, **_kwargs: Any) -> Any:
            return answer

        _wrap_socket = _wrap_bio

    probe = Probe(ssl.PROTOCOL_TLS_SERVER)
    ours, peer = socket.socketpair()
    with ours, peer:
        try:
            over_buffers = probe.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
            with probe.wrap_socket(ours, server_side=True, do_handshake_on_connect=False) as over_a_socket:
                found = [getattr(one, "_sslobj", None) for one in (over_buffers, over_a_socket)]
        except Exception:  # noqa: BLE001 (an interpreter that does it in another way may fail in any)
            return False
    return found == [answer, answer]


class BuiltSSLObject(SSLObject):
    """An ``SSLObject`` that does without the stock ``_create``."""

    @classmethod
    def _create(
        cls,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | None = None,
        session: Any = None,
        context: Any = None,
    ) -> Self:
        self = cls.__new__(cls)
        own: Any = self
        own._sslobj = context._wrap_bio(incoming, outgoing, server_side, server_hostname, owner=self, session=session)
        return self


class BuiltSSLSocket(SSLSocket):
    """An ``SSLSocket`` that does without the stock ``_create``."""

    @classmethod
    def _create(
        cls,
        sock: socket.socket,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
        server_hostname: str | None = None,
        context: Any = None,
        session: Any = None,
    ) -> Self:
        if context.check_hostname and not server_side and not server_hostname:
            raise ValueError("check_hostname requires server_hostname")
        timeout = sock.gettimeout()
        self = cls.__new__(cls)
        own: Any = self
        socket.socket.__init__(self, sock.family, sock.type, sock.proto, sock.detach())
        self.settimeout(timeout)
        own._context, own._session, own._sslobj, own._closed = context, session, None, False
        own.server_side, own.server_hostname = server_side, context._encode_hostname(server_hostname)
        own.do_handshake_on_connect, own.suppress_ragged_eofs = do_handshake_on_connect, suppress_ragged_eofs
        own._connected = self._has_a_peer()
        if own._connected:
            self._attach()
        return self

    def _has_a_peer(self) -> bool:
        try:
            self.getpeername()
        except OSError as error:
            if error.errno not in (errno.ENOTCONN, errno.EINVAL):
                raise
            return False
        return True

    def _attach(self) -> None:
        """Put TLS over the connected socket."""
        own: Any = self
        try:
            own._sslobj = own._context._wrap_socket(
                self, bool(self.server_side), self.server_hostname, owner=self, session=own._session
            )
            if own.do_handshake_on_connect:
                if self.gettimeout() == 0.0:
                    raise ValueError("do_handshake_on_connect should not be specified for non-blocking sockets")
                self.do_handshake()
        except BaseException:
            self.close()
            raise

    def _real_connect(self, address: Any, connect_ex: bool) -> int | None:
        """What ``connect`` and ``connect_ex`` of the stock class come to."""
        own: Any = self
        if own.server_side or own._connected or own._sslobj is not None:
            raise ValueError("attempt to connect already-connected SSLSocket!")
        result = None
        if connect_ex:
            result = socket.socket.connect_ex(self, address)
        else:
            socket.socket.connect(self, address)
        if not result:
            own._connected = True
            self._attach()
        return result
