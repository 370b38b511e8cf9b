"""Asking for TLS inside another protocol, at the client: what is said in plaintext until TLS starts.

An attacker on the path can write what stands there. So nothing of it is believed but the go-ahead, what may be said is
bounded in bytes and time, and anything that came behind the go-ahead, in the same plaintext, ends the connection: a
client that kept it would take an attacker's answer for one that came over TLS (CVE-2011-0411 and its kin).
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, NamedTuple

from handfast import limits
from handfast.cli import ui
from handfast.text import escape

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import NoReturn

_FAULT = "the peer's fault"
_CHUNK = 4096
_OID = b"1.3.6.1.4.1.1466.20037"
_XMPP_TLS = b"urn:ietf:params:xml:ns:xmpp-tls"
_XML_NAME = {'"': "&quot;", "'": "&apos;", "&": "&amp;", "<": "&lt;", ">": "&gt;"}
# CLIENT_PROTOCOL_41, CLIENT_SSL, CLIENT_SECURE_CONNECTION and CLIENT_PLUGIN_AUTH.
_MYSQL_FLAGS = 0x0200 | 0x0800 | 0x8000 | 0x80000
_MYSQL_SSL = 0x0800
_MYSQL_ERROR = 0xFF
_UTF8MB4 = 45


class _Plain:
    """The part in plaintext; ends the program where the server breaks off, is too slow or says too much."""

    def __init__(self, sock: socket.socket, protocol: str) -> None:
        self._sock = sock
        self._protocol = protocol
        self._buffer = b""
        self._total = 0
        self._end = time.monotonic() + limits.STARTTLS_TIMEOUT

    def send(self, data: bytes) -> None:
        try:
            self._sock.sendall(data)
        except OSError as error:
            self.fail(f"the connection broke: {error.strerror or error}")

    def take(self, size: int) -> bytes:
        """So many bytes."""
        if size > limits.STARTTLS_BYTES:
            self.fail(f"the server announces {size} bytes")
        while len(self._buffer) < size:
            self._receive()
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def until(self, pattern: re.Pattern[bytes]) -> bytes:
        """Everything up to the end of what fits ``pattern``."""
        while (found := pattern.search(self._buffer)) is None:
            self._receive()
        taken, self._buffer = self._buffer[: found.end()], self._buffer[found.end() :]
        return taken

    def line(self) -> bytes:
        return self.until(_LINE_END).rstrip(b"\r\n")

    def expect(self, wanted: bytes, said: bytes, *, refused: bool = True) -> None:
        """Ends the program unless what was said begins as wanted; case does not matter."""
        if not said.upper().startswith(wanted):
            self.fail(f"the server said {escape(said, limits.MAX_PEER_TEXT)!r}", refused=refused)

    def done(self) -> None:
        """Nothing may stand behind the go-ahead."""
        if self._buffer:
            ui.fail(
                f"{self._protocol}: the server sent {len(self._buffer)} bytes of plaintext behind its go-ahead for TLS",
                "the peer's fault, or an attacker's on the path",
                "nothing of that may be read: ask the server's operator, and look who is on the path",
            )
        self._sock.settimeout(None)

    def fail(self, what: str, *, refused: bool = False) -> NoReturn:
        hint = f"is it a server of {self._protocol}, on this port?"
        if refused:
            hint = "the server offers no TLS here, or not to us: its configuration says why"
        ui.fail(f"{self._protocol}: {what}, before TLS", _FAULT, hint)

    def _receive(self) -> None:
        left = self._end - time.monotonic()
        if left <= 0:
            self.fail(f"no go-ahead for TLS within {limits.STARTTLS_TIMEOUT:g} s")
        self._sock.settimeout(left)
        try:
            data = self._sock.recv(_CHUNK)
        except TimeoutError:
            self.fail(f"no go-ahead for TLS within {limits.STARTTLS_TIMEOUT:g} s")
        except OSError as error:
            self.fail(f"the connection broke: {error.strerror or error}")
        self._total += len(data)
        if not data:
            said = f" after {escape(self._buffer, limits.MAX_PEER_TEXT)!r}" if self._buffer else ""
            self.fail(f"the server closed the connection{said}")
        if self._total > limits.STARTTLS_BYTES:
            self.fail(f"the server said more than {limits.STARTTLS_BYTES} bytes")
        self._buffer += data


_LINE_END = re.compile(rb"\n")


def _reply(plain: _Plain, wanted: bytes, *, greeting: bool = False) -> list[bytes]:
    """A reply of one line, or of several: "250-", then what may be, then "250 ". RFC 5321 4.2.1, RFC 959 4.2."""
    lines = [plain.line()]
    if lines[0][3:4] == b"-":
        end = lines[0][:3] + b" "
        while not lines[-1].startswith(end):
            lines.append(plain.line())
    plain.expect(wanted, lines[-1], refused=not greeting)
    return lines


def _smtp(plain: _Plain, _name: str, hello: bytes = b"EHLO") -> None:
    """RFC 3207, and RFC 2033 for LMTP."""
    _reply(plain, b"220", greeting=True)
    plain.send(hello + b" localhost\r\n")
    offered = [line[4:].strip().upper() for line in _reply(plain, b"250")]
    if b"STARTTLS" not in offered:
        plain.fail("the server does not offer STARTTLS", refused=True)
    plain.send(b"STARTTLS\r\n")
    _reply(plain, b"220")


def _lmtp(plain: _Plain, name: str) -> None:
    _smtp(plain, name, b"LHLO")


def _ftp(plain: _Plain, _name: str) -> None:
    """RFC 4217 4."""
    _reply(plain, b"220", greeting=True)
    plain.send(b"AUTH TLS\r\n")
    _reply(plain, b"234")


def _nntp(plain: _Plain, _name: str) -> None:
    """RFC 4642 2."""
    _reply(plain, b"20", greeting=True)
    plain.send(b"STARTTLS\r\n")
    _reply(plain, b"382")


def _imap(plain: _Plain, _name: str) -> None:
    """RFC 9051 6.2.1. A connection that begins logged in can start no TLS."""
    plain.expect(b"* OK", plain.line(), refused=False)
    plain.send(b"a STARTTLS\r\n")
    while (said := plain.line()).startswith(b"*"):
        pass
    plain.expect(b"A OK", said)


def _pop3(plain: _Plain, _name: str) -> None:
    """RFC 2595 4."""
    plain.expect(b"+OK", plain.line(), refused=False)
    plain.send(b"STLS\r\n")
    plain.expect(b"+OK", plain.line())


_FEATURES = re.compile(rb"</stream:features\s*>|<stream:features\s*/>|</stream:stream\s*>|<stream:error")
_ANSWER = re.compile(rb"<proceed\b[^>]*/>|<proceed\b[^>]*>\s*</proceed\s*>|<failure\b[^>]*>|</stream:stream\s*>")


def _xmpp(plain: _Plain, name: str, space: bytes = b"jabber:client") -> None:
    """RFC 6120 5.4."""
    to = "".join(_XML_NAME.get(character, character) for character in name).encode()
    plain.send(
        b"<?xml version='1.0'?><stream:stream xmlns='%b' xmlns:stream='http://etherx.jabber.org/streams' "
        b"to='%b' version='1.0'>" % (space, to)
    )
    features = plain.until(_FEATURES)
    if _XMPP_TLS not in features:
        error = features.find(b"<stream:error")
        plain.fail(
            "the server refused the stream" if error >= 0 else "the server does not offer STARTTLS", refused=True
        )
    plain.send(b"<starttls xmlns='%b'/>" % _XMPP_TLS)
    if not (answer := plain.until(_ANSWER)).lstrip().startswith(b"<proceed"):
        plain.expect(b"<PROCEED", answer.lstrip())


def _xmpp_server(plain: _Plain, name: str) -> None:
    _xmpp(plain, name, b"jabber:server")


def _ldap(plain: _Plain, _name: str) -> None:
    """RFC 4511 4.14: message 1 is an ExtendedRequest, answered by an ExtendedResponse, whose result is 0."""
    request = b"\x80" + bytes([len(_OID)]) + _OID
    message = b"\x02\x01\x01\x77" + bytes([len(request)]) + request
    plain.send(b"\x30" + bytes([len(message)]) + message)
    tag = plain.take(1)
    length = plain.take(1)[0]
    if length & 0x80:
        length = int.from_bytes(plain.take(min(length & 0x7F, 4)), "big")
    body = plain.take(length)
    # Whatever the lengths of its parts are written in, the result stands before the texts.
    found = re.match(rb"\x02\x01\x01\x78(?:[\0-\x7f]|\x81.|\x82..|\x83...|\x84....)\x0a\x01(.)", body, re.DOTALL)
    if tag != b"\x30" or found is None:
        plain.fail("the server's answer is no response to StartTLS")
    if found[1] != b"\0":
        plain.fail(f"the server refused StartTLS with result {found[1][0]}: {_text(body[found.end() :])}", refused=True)


def _text(data: bytes) -> str:
    """What is printable of a structure, for people."""
    return escape(b" ".join(re.findall(rb"[ -~]{4,}", data)), limits.MAX_PEER_TEXT)


def _postgres(plain: _Plain, _name: str) -> None:
    """SSLRequest: https://www.postgresql.org/docs/current/protocol-flow.html, and CVE-2021-23222."""
    plain.send(b"\0\0\0\x08\x04\xd2\x16\x2f")
    answer = plain.take(1)
    if answer == b"N":
        plain.fail("the server answered N: it has no TLS", refused=True)
    if answer != b"S":
        plain.fail(f"the server answered {escape(answer)!r} and not S")


def _mysql(plain: _Plain, _name: str) -> None:
    """The server speaks first; an SSLRequest is answered by TLS itself."""
    length = int.from_bytes(plain.take(3), "little")
    plain.take(1)
    greeting = plain.take(length)
    if greeting[:1] == bytes([_MYSQL_ERROR]):
        plain.fail(f"the server refused: {_text(greeting[3:])}", refused=True)
    # Behind the version, which ends in a zero, are 13 bytes until the flags.
    flags = greeting.find(b"\0") + 14
    if greeting[:1] != b"\x0a" or len(greeting) < flags + 2:
        plain.fail("the server's greeting is none of MySQL's protocol 10")
    if not int.from_bytes(greeting[flags : flags + 2], "little") & _MYSQL_SSL:
        plain.fail("the server does not offer TLS", refused=True)
    request = _MYSQL_FLAGS.to_bytes(4, "little") + (2**24).to_bytes(4, "little") + bytes([_UTF8MB4]) + bytes(23)
    plain.done()
    plain.send(len(request).to_bytes(3, "little") + b"\x01" + request)


class _Protocol(NamedTuple):
    title: str
    port: int
    start: Callable[[_Plain, str], None]


PROTOCOLS = {
    "ftp": _Protocol("FTP", 21, _ftp),
    "imap": _Protocol("IMAP", 143, _imap),
    "ldap": _Protocol("LDAP", 389, _ldap),
    "lmtp": _Protocol("LMTP", 24, _lmtp),
    "mysql": _Protocol("MySQL", 3306, _mysql),
    "nntp": _Protocol("NNTP", 119, _nntp),
    "pop3": _Protocol("POP3", 110, _pop3),
    "postgres": _Protocol("PostgreSQL", 5432, _postgres),
    "smtp": _Protocol("SMTP", 25, _smtp),
    "xmpp": _Protocol("XMPP", 5222, _xmpp),
    "xmpp-server": _Protocol("XMPP", 5269, _xmpp_server),
}


def start_tls(sock: socket.socket, protocol: str, name: str, say: Callable[[str], None]) -> None:
    """Ask for TLS in a protocol, a key of PROTOCOLS; when it returns the server awaits our hello.

    ``name`` is the server's, ``say`` is told the step, in a line. The socket is closed if it does not come off, and the
    program ends with two lines.
    """
    title, _, start = PROTOCOLS[protocol]
    plain = _Plain(sock, title)
    try:
        start(plain, name)
        plain.done()
    except BaseException:
        sock.close()
        raise
    say(f"{title}: the server is ready for TLS")
