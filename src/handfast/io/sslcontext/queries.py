"""What ``ssl`` asks of a connection and gets without I/O: version, cipher, protocol, bindings, the peer's certificates.

Before the handshake is complete the answer is None, or that of ``ssl`` for a connection without one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from handfast.errors import ApiMisuse
from handfast.io.sslcontext.ciphers import SUITES, VERSIONS
from handfast.io.sslcontext.peercert import Certificate, decoded
from handfast.io.sslcontext.sessions import SSLSession

if TYPE_CHECKING:
    import threading
    import weakref

    from handfast.engine import Connection, ConnectionInfo
    from handfast.io.sslcontext.configured import Configured
    from handfast.io.sslcontext.sessions import Slot

_BINDINGS = ("tls-unique", "tls-exporter", "tls-server-end-point")


class ConnectionQueries(ABC):
    """The part of ``_ssl._SSLSocket`` that only looks."""

    # Guards the engine.
    _state: threading.RLock
    _connection: Connection | None = None
    _context: Configured
    _slot: Slot
    _owner: weakref.ref[object] | None
    server_side: bool

    @abstractmethod
    def _engine(self) -> Connection:
        """The engine's connection, which starts by this if it has not."""

    @property
    def owner(self) -> object:
        """The ``SSLObject`` or ``SSLSocket``, while there is one."""
        return None if self._owner is None else self._owner()

    @property
    def info(self) -> ConnectionInfo:
        """All that is known of the connection."""
        return self._engine().info

    @property
    def connection(self) -> Connection:
        """The engine's connection; to be left alone while this is in use."""
        return self._engine()

    @property
    def session(self) -> SSLSession | None:
        """The newest session, to be given to a later connection."""
        if self._slot.newest is None and self.session_reused:
            return self._slot.given
        return self._slot.newest

    @session.setter
    def session(self, value: object) -> None:
        if not isinstance(value, SSLSession):
            raise TypeError("Value is not a SSLSession.")
        if not value.made_by(self._context):
            raise ValueError("Session refers to a different SSLContext.")
        if self.server_side:
            raise ValueError("Cannot set session for server-side SSLSocket.")
        if self._connection is not None:
            raise ValueError("Cannot set session after handshake.")
        self._slot.given = value

    @property
    def session_reused(self) -> bool:
        """Whether a session was resumed."""
        return self._complete and self.info.resumed

    @property
    def _complete(self) -> bool:
        return self._connection is not None and self._connection.info.complete

    def version(self) -> str | None:
        """As ``SSLSocket.version``."""
        version = self.info.version
        return VERSIONS.get(version) if self._complete and version is not None else None

    def cipher(self) -> tuple[str, str, int] | None:
        """As ``SSLSocket.cipher``."""
        suite = self.info.suite
        return SUITES[suite].shown if self._complete and suite is not None else None

    def shared_ciphers(self) -> list[tuple[str, str, int]] | None:
        """At a server, the suite that was chosen; what else the client offered is not kept. None at a client."""
        cipher = self.cipher()
        return [cipher] if self.server_side and cipher is not None else None

    def compression(self) -> str | None:
        """None: TLS is never compressed."""
        return None

    def selected_alpn_protocol(self) -> str | None:
        """The protocol that was agreed on by ALPN."""
        return self.info.application_protocol if self._complete else None

    def get_channel_binding(self, cb_type: str = "tls-unique") -> bytes | None:
        """``tls-exporter`` (RFC 9266), ``tls-server-end-point`` or, in TLS 1.2, ``tls-unique``; None without such."""
        if cb_type not in _BINDINGS:
            raise ValueError(f"'{cb_type}' channel binding type not implemented")
        if not self._complete:
            return None
        try:
            with self._state:
                return self._engine().channel_binding(cb_type)
        except ApiMisuse:
            return None

    def getpeercert(self, binary_form: bool = False) -> dict[str, Any] | bytes | None:
        """As ``SSLSocket.getpeercert``: of a peer that was not verified the fields are not shown."""
        if not self._complete:
            raise ValueError("handshake not done yet")
        chain = self._chain()
        if not chain:
            return None
        if binary_form:
            return chain[0]
        return decoded(chain[0]) if self.info.verified_peer is not None else {}

    def _chain(self) -> tuple[bytes, ...]:
        peer = self.info.peer
        return () if peer is None else peer.chain

    def get_unverified_chain(self) -> list[Certificate] | None:
        """What the peer presented, leaf first."""
        return [Certificate(one) for one in self._chain()] or None if self._connection is not None else None

    def get_verified_chain(self) -> list[Certificate] | None:
        """What was verified, from the leaf to the root; of a peer that was not verified what it presented."""
        verified = self.info.verified_peer if self._connection is not None else None
        path = () if verified is None else verified.verdict.path
        return [Certificate(one) for one in path] or self.get_unverified_chain()
