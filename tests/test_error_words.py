"""What errors say: hints that are never empty, limits that are called ours, sections of the version that is spoken."""

from __future__ import annotations

import re
import traceback
from typing import Any

import pytest

import handfast
from handfast import errors
from handfast.errors import BadMessage, CertificateRejected, Fault, HandfastError, PeerMisbehaved
from handfast.registry import SignatureScheme
from handfast.roles import Role
from handfast.verdict import refuse
from tests.lens.connections import client_config, converse, server_config
from tests.lies import change
from tests.protocol.ours import client as our_client
from tests.protocol.ours import server as our_server
from tests.protocol12.ours12 import meet12

CLASSES = HandfastError.__subclasses__()
EVERY = [(kind, code) for kind in CLASSES for code in kind.catalogue]


@pytest.mark.parametrize(("kind", "code"), EVERY, ids=str)
def test_a_hint_is_never_empty(kind, code):
    names = set(re.findall(r"{(\w+)", kind.catalogue[code].what + kind.catalogue[code].hint + kind.default_hint))
    details: dict[str, Any] = dict.fromkeys(names, "") | {"seconds": 1.0, "version": 1}
    error = CertificateRejected(code, verdict=None, **details) if kind is CertificateRejected else kind(code, **details)
    assert error.hint.strip()


def test_a_refusal_without_advice_has_a_hint():
    assert refuse("access_denied", "not you").error().hint


LIMITS = [code for code in PeerMisbehaved.catalogue if "limit" in PeerMisbehaved.catalogue[code].what]


@pytest.mark.parametrize("code", [code for code in LIMITS if code != "record_overflow"])
def test_a_limit_of_ours_is_called_ours(code):
    entry = PeerMisbehaved.catalogue[code]
    assert "our limit" in entry.what
    assert entry.hint
    assert "broken" not in entry.hint
    assert code == "key_overused" or PeerMisbehaved(code, limit=1, length=2, where="").fault is Fault.NOBODY


def test_the_rfcs_own_limit_is_the_peers_fault():
    assert PeerMisbehaved("record_overflow", length=2, limit=1).fault is Fault.PEER


# TLS 1.2


def of_tls13(rfc):
    return rfc.startswith("RFC 9846") and rfc != "RFC 9846 5.5"


def test_every_section_of_tls_13_has_its_counterpart():
    """But for what only TLS 1.3 has: what is said of it cannot go wrong in TLS 1.2."""
    only_13 = re.compile(r"RFC 9846 (4\.2\.[24]( and 4\.2\.4)?|4\.3\.(2|10|11)|4\.4\.2|4\.7\.\d|5\.[45]|4\.2)$")
    left = set()
    for kind, code in EVERY:
        entry = kind.catalogue[code]
        if entry.rfc.startswith("RFC 9846"):
            error = HandfastError.__new__(kind)
            error.details, error.rfc, error.alert = {}, entry.rfc, entry.alert
            error.as_in_tls12()
            if of_tls13(error.rfc) and not only_13.match(error.rfc):
                left.add((code, entry.rfc))
    assert left == set()


@pytest.mark.parametrize(
    ("lies", "rfc"),
    [
        ({"Finished": change(verify_data=bytes(12))}, "RFC 5246 7.4.9"),
        ({"ServerKeyExchange": change(algorithm=SignatureScheme.ed25519)}, "RFC 8422 5.4"),
        ({"ServerHello": change(cipher_suite=0x009C)}, "RFC 5246 7.4.1.3"),
    ],
    ids=["Finished", "ServerKeyExchange", "ServerHello"],
)
def test_a_failure_of_tls_12_cites_its_rfc(lies, rfc):
    error = meet12(Role.CLIENT, lies=lies).run().connection.error
    assert error is not None
    assert error.rfc == rfc


@pytest.mark.parametrize(
    ("settings", "alert", "certificate"),
    [({"versions": (0x0303,)}, "RFC 5246 7.2.2", "RFC 5246 7.4.2"), ({}, "RFC 9846 6.2", "RFC 9846 4.5.1.1")],
    ids=["1.2", "1.3"],
)
def test_alerts_and_refused_certificates_cite_the_rfc_of_their_version(settings, alert, certificate):
    client, server = converse(client_config(), server_config(**settings))
    assert client.error is not None
    assert server.error is not None
    assert (client.error.rfc, server.error.rfc) == (alert, certificate)


# What we offer


def test_what_was_not_offered_is_said_beside_what_was():
    error = meet12(Role.CLIENT, lies={"ServerHello": change(cipher_suite=0x009C)}).run().connection.error
    assert error is not None
    assert "we offer TLS_AES_128_GCM_SHA256" in error.what
    assert "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" in error.what
    assert "ECDHE with AEAD only" in error.hint


@pytest.mark.parametrize("code", [code for code in PeerMisbehaved.catalogue if code.endswith("_not_offered")])
def test_each_refusal_of_what_was_not_offered_names_our_offer(code):
    entry = PeerMisbehaved.catalogue[code]
    assert "{ours}" in entry.what or code in ("psk_not_offered", "compression_not_offered")


# Plain text


@pytest.mark.parametrize(
    ("banner", "who", "advice"),
    [
        (b"220 mail.example ESMTP Postfix\r\n", "an SMTP server", "STARTTLS"),
        (b"220-mail.example ESMTP\r\n", "an SMTP server", "port 465"),
        (b"220 (vsFTPd 3.0.3)\r\n", "an FTP server", "AUTH TLS"),
        (b"HTTP/1.1 400 Bad Request\r\n", "an HTTP server without TLS", "use http://"),
        (b"* OK [CAPABILITY IMAP4rev1] ready\r\n", "an IMAP server", "port 993"),
        (b"+OK POP3 ready\r\n", "a POP3 server", "port 995"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "an SSH server", "not the TLS port"),
        (b"E\0\0\0\x63SFATAL\0VFATAL\0C0A000\0M", "a PostgreSQL server", "SSLRequest"),
        (b"EFATAL:  unsupported frontend protocol", "a PostgreSQL server", "SSLRequest"),
        (b"\x4a\0\0\0\x0a8.0.36\0", "a MySQL or MariaDB server", "its own protocol"),
        (b"-ERR unknown command\r\n", "a Redis server without TLS", "tls-port"),
        (b"<?xml version='1.0'?><stream:stream", "an XMPP server", "STARTTLS"),
        (b"hello there\r\n", "something else", "is this the TLS port?"),
    ],
)
def test_a_server_that_speaks_plain_text_is_named(banner, who, advice):
    ours = our_client()
    ours.outgoing()
    with pytest.raises(BadMessage) as caught:
        ours.receive(banner)
    assert caught.value.code == "not_tls"
    assert f"does not speak TLS but is {who}: its first bytes are '" in caught.value.what
    assert caught.value.what.isprintable()
    assert advice in caught.value.hint


@pytest.mark.parametrize(
    ("start", "who"),
    [
        (bytes.fromhex("0000000804d2162f"), "a PostgreSQL client"),
        (b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n", "a proxy that sends a PROXY header first"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11", "a proxy that sends a PROXY header first"),
        (b"EHLO me\r\n", "an SMTP client"),
    ],
)
def test_a_client_that_speaks_plain_text_is_named(start, who):
    with pytest.raises(BadMessage) as caught:
        our_server().receive(start)
    assert f"but is {who}: " in caught.value.what
    assert errors.BadMessage.catalogue["not_tls"].alert is caught.value.alert


# Tracebacks


def printed(error):
    return "".join(traceback.format_exception(error))


def test_a_traceback_ends_in_the_hint():
    with pytest.raises(HandfastError) as caught:
        handfast.ClientConfig(groups=[])
    assert printed(caught.value).splitlines()[-1] == f"hint: {caught.value.hint}"


def test_an_error_that_is_raised_again_has_its_hint_once():
    client, server = our_client(), our_server()
    said = b"\x16\x03\x03\x00\x04\x01\x00\x00\x00"
    with pytest.raises(HandfastError):
        server.receive(said)
    with pytest.raises(HandfastError):
        server.receive(said)
    with pytest.raises(HandfastError) as caught:
        server.receive(said)
    assert caught.value is server.error
    assert printed(caught.value).count("hint: ") == 1
    assert client.error is None


def test_a_servers_hint_takes_the_place_of_the_clients():
    error = errors.ConnectionLost("eof_in_handshake", stage="ClientHello")
    error.add_note("said by the program")
    for server in (True, True, False):
        error.hint_to(server=server)
    shown = printed(error).splitlines()
    assert shown[-2:] == [f"hint: {error.hint}", "said by the program"]
    assert "client's log" in error.hint
