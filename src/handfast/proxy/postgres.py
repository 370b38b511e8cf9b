"""How TLS begins in PostgreSQL's protocol: by eight bytes of the client, and one of the server.

libpq before 17, psycopg, JDBC and others ask so before each handshake ("SSLRequest", chapter 55.2.10 of PostgreSQL's
manual). Nothing else is said without TLS: a client that goes on without, or that sends more than it asked with before
it was answered, as one does who would put words in another's mouth (CVE-2021-23214), is refused.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from handfast.proxy.entrance import Link

if TYPE_CHECKING:
    from handfast.proxy.entrance import Door

SSL_REQUEST = struct.pack(">II", 8, 80877103)
YES = b"S"
# A client may ask for Kerberos' encryption first, and goes on to TLS where it is told that there is none.
_GSS_REQUEST = struct.pack(">II", 8, 80877104)
_CANCEL_CODE = struct.pack(">I", 80877102)
_NO = b"N"


class PostgresLink(Link):
    """The end of a client that asks for TLS in PostgreSQL's way."""

    __slots__ = ("_asked", "_gss_asked")

    def __init__(self, door: Door) -> None:
        super().__init__(door)
        self._asked: bytes | None = b""
        self._gss_asked = False

    def _receive(self, data: memoryview) -> None:
        if self._asked is None:
            super()._receive(data)
            return
        self._asked += bytes(data)
        if self._asked == SSL_REQUEST:
            self._asked = None
            self.tcp.write(YES)
        elif self._asked == _GSS_REQUEST and not self._gss_asked:
            self._asked, self._gss_asked = b"", True
            self.tcp.write(_NO)
        elif len(self._asked) >= len(SSL_REQUEST):
            self._refuse(self._asked)

    def _refuse(self, asked: bytes) -> None:
        if asked.startswith(SSL_REQUEST):
            why = "it sent more behind its SSLRequest than it may before that is answered"
        elif asked[4:8] == _CANCEL_CODE:
            why = "it sent a CancelRequest without TLS, as libpq before 17 does"
        else:
            why = "it spoke PostgreSQL's protocol without asking for TLS: give it sslmode=verify-full"
            self.tcp.write(_error("this server is reached by TLS only: sslmode=verify-full"))
        self.turn_away("no_tls", why)


def _error(message: str) -> bytes:
    """An ErrorResponse: what the client shows its user. SQLSTATE 28000 is invalid_authorization_specification."""
    fields = b"".join(
        kind + text.encode() + b"\0" for kind, text in ((b"S", "FATAL"), (b"C", "28000"), (b"M", message))
    )
    return b"E" + struct.pack(">I", 4 + len(fields) + 1) + fields + b"\0"
