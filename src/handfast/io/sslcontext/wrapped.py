"""``SSLObject`` and ``SSLSocket`` of ours: the stock classes, with the methods that only newer Pythons give them.

They are a context's ``sslobject_class`` and ``sslsocket_class``; their ``_sslobj`` is a ``TLSConnection``.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from handfast.io.sslcontext.peercert import ENCODING_DER

if TYPE_CHECKING:
    from handfast.io.sslcontext.peercert import Certificate


class SSLObject(ssl.SSLObject):
    """TLS over two ``ssl.MemoryBIO``; made by ``SSLContext.wrap_bio``."""

    def get_verified_chain(self) -> list[bytes]:
        """The verified path as DER, from the leaf to the root; [] before the handshake and without a certificate."""
        return _encoded(self._sslobj.get_verified_chain())  # type: ignore[attr-defined]

    def get_unverified_chain(self) -> list[bytes]:
        """The chain as the peer presented it, DER, leaf first; [] as above."""
        return _encoded(self._sslobj.get_unverified_chain())  # type: ignore[attr-defined]


class SSLSocket(ssl.SSLSocket):
    """TLS over a socket; made by ``SSLContext.wrap_socket``."""

    def get_verified_chain(self) -> list[bytes]:
        """The verified path as DER, from the leaf to the root; [] before the handshake and without a certificate."""
        connection = self._sslobj  # type: ignore[attr-defined]
        return _encoded(None if connection is None else connection.get_verified_chain())

    def get_unverified_chain(self) -> list[bytes]:
        """The chain as the peer presented it, DER, leaf first; [] as above."""
        connection = self._sslobj  # type: ignore[attr-defined]
        return _encoded(None if connection is None else connection.get_unverified_chain())


def _encoded(chain: list[Certificate] | None) -> list[bytes]:
    return [bytes(one.public_bytes(ENCODING_DER)) for one in chain or ()]  # type: ignore[arg-type]
