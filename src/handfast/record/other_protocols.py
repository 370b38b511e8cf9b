"""What a peer speaks that does not speak TLS, by its first bytes."""

from __future__ import annotations

from typing import NamedTuple

from handfast.errors import BadMessage
from handfast.text import escape

# So much of what is no TLS tells who speaks.
FOREIGN_START = 128
# How a client begins that speaks plain HTTP.
HTTP_METHODS = tuple(
    f"{method} ".encode() for method in ("GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "CONNECT")
)


class Spoken(NamedTuple):
    """Who speaks so, in words that follow "the peer does not speak TLS but is", and what to do about it."""

    who: str
    advice: str


_STARTTLS = "TLS starts there when it is asked for (STARTTLS); port {port} speaks it at once"
_UNKNOWN = Spoken("something else", "is this the TLS port? what answered may speak plain text")
# By how it begins; what stands first counts.
_BEGINNINGS: tuple[tuple[bytes, Spoken], ...] = (
    (b"HTTP/", Spoken("an HTTP server without TLS", "use http:// for this port, or the port of its https://")),
    (b"SSH-", Spoken("an SSH server", "this is not the TLS port; SSH has its own encryption")),
    (b"* OK", Spoken("an IMAP server", _STARTTLS.format(port=993))),
    (b"* PREAUTH", Spoken("an IMAP server", _STARTTLS.format(port=993))),
    (b"+OK", Spoken("a POP3 server", _STARTTLS.format(port=995))),
    (b"-ERR", Spoken("a Redis server without TLS", "Redis has TLS on the port of its tls-port")),
    (b"200 ", Spoken("an NNTP server", _STARTTLS.format(port=563))),
    (b"201 ", Spoken("an NNTP server", _STARTTLS.format(port=563))),
    (b"<?xml", Spoken("an XMPP server", "TLS starts there when it is asked for (STARTTLS)")),
    (b"<stream", Spoken("an XMPP server", "TLS starts there when it is asked for (STARTTLS)")),
    (b"AMQP", Spoken("an AMQP server without TLS", "AMQP has TLS on port 5671")),
    (b"RFB ", Spoken("a VNC server", "this is not the TLS port")),
    (b"PROXY ", Spoken("a proxy that sends a PROXY header first", "have it send none, nothing reads it")),
    (b"\r\n\r\n\0\r\nQUIT\n", Spoken("a proxy that sends a PROXY header first", "have it send none, nothing reads it")),
    (b"EHLO ", Spoken("an SMTP client", "have it speak TLS at once, without STARTTLS")),
    (b"HELO ", Spoken("an SMTP client", "have it speak TLS at once, without STARTTLS")),
)  # fmt: skip
_POSTGRESQL = Spoken(
    "a PostgreSQL server",
    "TLS starts there after a request of its own (SSLRequest); from PostgreSQL 17 on"
    ' application_protocols=["postgresql"] will do',
)
_POSTGRESQL_CLIENT = Spoken("a PostgreSQL client", "have it speak TLS at once: sslnegotiation=direct")
_MYSQL = Spoken("a MySQL or MariaDB server", "TLS starts there inside its own protocol, by a client of its own")
_SMTP = Spoken("an SMTP server", _STARTTLS.format(port=465))
_FTP = Spoken("an FTP server", "TLS starts there when it is asked for (AUTH TLS); port 990 speaks it at once")
_SSL_REQUEST = bytes.fromhex("0000000804d2162f")


def spoken_by(start: bytes) -> Spoken:
    """Who begins a connection with these bytes."""
    for beginning, spoken in _BEGINNINGS:
        if start.startswith(beginning):
            return spoken
    if start[:4] in (b"220 ", b"220-", b"421 ", b"554 "):
        return _FTP if b"ftp" in start.lower() else _SMTP
    if start.startswith(_SSL_REQUEST):
        return _POSTGRESQL_CLIENT
    if start[:1] == b"E" and (start[1:3] == b"\0\0" or start.startswith(b"EFATAL")):
        return _POSTGRESQL
    return _MYSQL if start[3:5] in (b"\0\x0a", b"\0\xff", b"\x01\xff") else _UNKNOWN


def refuse_foreign_bytes(banner: bytes) -> None:
    """Raise BadMessage http_request or not_tls for how a connection begins that is none of TLS.

    Returns while a few more bytes may still show an HTTP request.
    """
    start = banner[:16]
    if any(method.startswith(start) and method != start for method in HTTP_METHODS):
        return
    text = f"'{escape(start)}'"
    if start.startswith(HTTP_METHODS):
        raise BadMessage("http_request", start=text)
    who, advice = spoken_by(banner)
    raise BadMessage("not_tls", start=text, who=who, advice=advice)
