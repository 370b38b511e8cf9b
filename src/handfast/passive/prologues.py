"""Which protocol was spoken before TLS began, by its first bytes in each direction."""

from __future__ import annotations

import re

# Name, what the client's first bytes are like, what the server's are like; b"" fits anything.
_PROLOGUES = (
    ("PROXY protocol", rb"PROXY |\r\n\r\n\0\r\nQUIT\n", b""),
    ("HTTP CONNECT", rb"CONNECT ", b""),
    ("SOCKS", rb"\x04[\x01\x02]|\x05", b""),
    ("PostgreSQL", rb"\0\0\0\x08\x04\xd2\x16\x2f", b""),
    ("MySQL", b"", rb".{3}\0\x0a"),
    ("LDAP", rb"0.*1\.3\.6\.1\.4\.1\.1466\.20037", b""),
    ("XMPP", rb"\s*<(\?xml|stream:stream)", b""),
    ("FTP", rb"(?i:AUTH (TLS|SSL)|.*\nAUTH (TLS|SSL))", rb"220"),
    ("SMTP", rb"(?i:EHLO|HELO|STARTTLS)", b""),
    ("LMTP", rb"(?i:LHLO)", b""),
    ("SMTP", b"", rb"220.*SMTP"),
    ("FTP", b"", rb"220"),
    ("IMAP", b"", rb"\* (OK|PREAUTH)"),
    ("POP3", b"", rb"\+OK"),
    ("IMAP", rb"\S+ (?i:STARTTLS|CAPABILITY)", b""),
    ("POP3", rb"(?i:STLS|CAPA)", b""),
)
_COMPILED = [
    (name, re.compile(of_client, re.DOTALL), re.compile(of_server, re.DOTALL))
    for name, of_client, of_server in _PROLOGUES
]


def prologue(client: bytes, server: bytes) -> str:
    """The protocol's name, given the first bytes of both sides, b"" for what was not seen."""
    for name, of_client, of_server in _COMPILED:
        if of_client.match(client) and of_server.match(server) and (client or not of_client.pattern):
            return name
    return "another protocol"
