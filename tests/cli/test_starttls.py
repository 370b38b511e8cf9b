"""``--starttls``: what is said in plaintext, that it is bounded, and that nothing behind the go-ahead is believed."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress

import pytest

from handfast import limits
from handfast.cli.starttls import PROTOCOLS
from handfast.engine import ClientAuth, ServerConnection
from handfast.io import sockets
from tests.cli.test_connect import tcp_server
from tests.lens.connections import server_config
from tests.waiting import LIMIT

POSTGRES = b"\0\0\0\x08\x04\xd2\x16\x2f"
LDAP = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"
# As OpenLDAP and as Active Directory write their lengths.
LDAP_OK = b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"
LDAP_OK_LONG = b"\x30\x84\0\0\0\x28\x02\x01\x01\x78\x84\0\0\0\x1f\x0a\x01\0\x04\0\x04\0\x8a\x161.3.6.1.4.1.1466.20037"
XMPP_STREAM = (
    b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
    b"to='localhost' version='1.0'>"
)
XMPP_FEATURES = (
    b"<?xml version='1.0'?><stream:stream id='1' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
    b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>"
)
XMPP_TLS = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
PROCEED = b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"


def mysql_greeting(flags=0xFFFF):
    payload = (
        b"\x0a8.0.36\0"
        + bytes(4)
        + b"saltsalt\0"
        + flags.to_bytes(2, "little")
        + b"\x2d\x02\0"
        + b"\xff\xdf"
        + bytes(30)
    )
    return len(payload).to_bytes(3, "little") + b"\0" + payload


MYSQL_REQUEST = b"\x20\0\0\x01\x00\x8a\x08\0\0\0\0\x01\x2d" + bytes(23)

# What the server says, and what it must hear before it says the next.
DIALOGUES = {
    "smtp": [b"220-mail\r\n220 ready\r\n", b"EHLO localhost\r\n", b"250-mail\r\n250-SIZE 1\r\n250 starttls\r\n",
             b"STARTTLS\r\n", b"220 go\r\n"],
    "lmtp": [b"220 ready\r\n", b"LHLO localhost\r\n", b"250-mail\r\n250 STARTTLS\r\n", b"STARTTLS\r\n", b"220 go\r\n"],
    "imap": [b"* OK ready\r\n", b"a STARTTLS\r\n", b"* CAPABILITY IMAP4rev1\r\na OK go\r\n"],
    "nntp": [b"201 ready\r\n", b"STARTTLS\r\n", b"382 go\r\n"],
    "pop3": [b"+OK ready\r\n", b"STLS\r\n", b"+OK go\r\n"],
    "ftp": [b"220-Welcome\r\n anything\r\n220 ready\r\n", b"AUTH TLS\r\n", b"234 go\r\n"],
    "ldap": [b"", LDAP, LDAP_OK],
    "xmpp": [b"", XMPP_STREAM, XMPP_FEATURES, XMPP_TLS, PROCEED],
    "xmpp-server": [b"", XMPP_STREAM.replace(b"client", b"server"), XMPP_FEATURES, XMPP_TLS, PROCEED],
    "postgres": [b"", POSTGRES, b"S"],
    "mysql": [mysql_greeting(), MYSQL_REQUEST, b""],
}  # fmt: skip


def heard(sock, wanted):
    got = b""
    while len(got) < len(wanted) and (data := sock.recv(len(wanted) - len(got))):
        got += data
    assert got == wanted


def say(sock, dialogue):
    for position, part in enumerate(dialogue):
        if position % 2:
            heard(sock, part)
        elif part:
            sock.sendall(part)


@contextmanager
def server(dialogue):
    """A server that says its lines and then speaks TLS, in which it sends "inside"."""
    failed = []

    def talk(sock):
        try:
            say(sock, dialogue)
            config = server_config(ClientAuth.NONE)
            with sockets.TLSSocket(sock, ServerConnection(config), timeout=LIMIT) as tls:
                tls.handshake()
                tls.sendall(b"inside")
        except BaseException as error:
            failed.append(error)

    with tcp_server(talk) as port:
        yield port
    assert failed == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tls_starts_inside_of_each_protocol(run, pki, protocol):
    with server(DIALOGUES[protocol]) as port:
        result = run("connect", "-v", "--starttls", protocol, f"localhost:{port}", *pki.trust)
    assert (result.status, result.out) == (0, "inside")
    assert f"* {PROTOCOLS[protocol].title}: the server is ready for TLS" in result.complaints
    assert result.complaints[-1].startswith("handfast: TLS 1.3 OK, one-way: server CN=localhost")


def test_lengths_may_be_written_longer_than_need_be(run, pki):
    with server([b"", LDAP, LDAP_OK_LONG]) as port:
        assert run("connect", "--starttls", "ldap", f"localhost:{port}", *pki.trust).status == 0


def refused(run, pki, protocol, dialogue, *words):
    """Whether such a server ends the program with these words, before any hello."""

    def talk(sock):
        say(sock, dialogue)
        # It ends when the client does, in order or not; a hello would be heard here.
        with suppress(ConnectionError):
            assert sock.recv(1) == b""

    with tcp_server(talk) as port:
        return run("connect", "--starttls", protocol, f"localhost:{port}", *pki.trust).is_error(1, *words)


@pytest.mark.parametrize("protocol", [name for name in PROTOCOLS if name != "mysql"])
def test_what_is_sent_behind_the_go_ahead_ends_the_connection(run, pki, protocol):
    *before, go_ahead = DIALOGUES[protocol]
    injected = b"250 evil\r\n"
    assert refused(run, pki, protocol, [*before, go_ahead + injected], "sent 10 bytes of plaintext behind its go-ahead")


def test_what_is_sent_behind_mysqls_greeting_ends_the_connection(run, pki):
    assert refused(run, pki, "mysql", [mysql_greeting() + b"evil"], "sent 4 bytes of plaintext behind its go-ahead")


@pytest.mark.parametrize(
    ("protocol", "dialogue", "words"),
    [
        ("smtp", [b"554 no\r\n"], "SMTP: the server said '554 no'"),
        ("smtp", [b"220 x\r\n", b"EHLO localhost\r\n", b"250 SIZE\r\n"], "the server does not offer STARTTLS"),
        ("smtp", [*DIALOGUES["smtp"][:4], b"454 not now\r\n"], "the server said '454 not now'"),
        ("imap", [b"* PREAUTH logged in\r\n"], "the server said '* PREAUTH logged in'"),
        ("imap", [b"* OK\r\n", b"a STARTTLS\r\n", b"a BAD \x1b[31m\r\n"], r"\\x1b"),
        ("pop3", [b"+OK\r\n", b"STLS\r\n", b"-ERR no\r\n"], "the server said '-ERR no'"),
        ("ftp", [b"220 x\r\n", b"AUTH TLS\r\n", b"502 no\r\n"], "the server said '502 no'"),
        ("ldap", [b"", LDAP, LDAP_OK[:9] + b"\x02" + LDAP_OK[10:]], "refused StartTLS with result 2"),
        ("ldap", [b"", LDAP, b"\x30\x03abc"], "no response to StartTLS"),
        ("ldap", [b"", LDAP, b"\x30\x84\xff\xff\xff\xff"], "the server announces 4294967295 bytes"),
        ("xmpp", [b"", XMPP_STREAM, b"<stream:features/>"], "does not offer STARTTLS"),
        ("xmpp", [b"", XMPP_STREAM, b"<stream:error><host-unknown/>"], "refused the stream"),
        ("xmpp", [*DIALOGUES["xmpp"][:4], b"<failure xmlns='x'>"], "the server said \"<failure xmlns"),
        ("postgres", [b"", POSTGRES, b"N"], "it has no TLS"),
        ("postgres", [b"", POSTGRES, b"E"], "answered 'E' and not S"),
        ("mysql", [mysql_greeting(0xF7FF)], "the server does not offer TLS"),
        ("mysql", [b"\x12\0\0\0\xff\x6a\x04Host is blocked"], "the server refused: Host is blocked"),
        ("mysql", [b"\x03\0\0\0\x09ab"], "none of MySQL's protocol 10"),
    ],
)  # fmt: skip
def test_a_server_that_starts_no_tls(run, pki, protocol, dialogue, words):
    assert refused(run, pki, protocol, dialogue, words)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_server_that_closes(run, pki, protocol):
    def talk(sock):
        dialogue = DIALOGUES[protocol]
        say(sock, dialogue[:2] if protocol != "mysql" and not dialogue[0] else [dialogue[0][:3]])

    with tcp_server(talk) as port:
        result = run("connect", "--starttls", protocol, f"localhost:{port}", *pki.trust)
    assert result.is_error(1, "the server closed the connection", "before TLS")


def test_what_a_server_says_is_bounded(run, pki):
    with tcp_server(lambda sock: _send_until_broken(sock, b"* " * 2000)) as port:
        result = run("connect", "--starttls", "imap", f"localhost:{port}", *pki.trust)
    assert result.is_error(1, f"the server said more than {limits.STARTTLS_BYTES} bytes")


def _send_until_broken(sock, data):
    try:
        while True:
            sock.sendall(data)
    except OSError:
        return


def test_the_time_of_a_server_is_bounded(run, pki, monkeypatch):
    monkeypatch.setattr(limits, "STARTTLS_TIMEOUT", 0.05)
    ended = threading.Event()

    def talk(sock):
        sock.sendall(b"220 ")
        ended.wait(LIMIT)

    with tcp_server(talk) as port:
        result = run("connect", "--starttls", "smtp", f"localhost:{port}", *pki.trust)
        ended.set()
    assert result.is_error(1, "no go-ahead for TLS within 0.05 s")


def test_starttls_has_its_own_ports_and_is_not_for_urls(run, pki):
    assert run("connect", "--starttls", "smtp", "https://localhost/", *pki.trust).is_error(2, "--starttls")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    rule = ("--connect-to", f"localhost:25:127.0.0.1:{port}")
    result = run("connect", "--starttls", "smtp", "localhost", *pki.trust, *rule)
    assert result.is_error(1, f"cannot connect to 127.0.0.1:{port}")
