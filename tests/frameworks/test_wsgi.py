"""The environ of WSGI: identities of verified peers only."""

from __future__ import annotations

from typing import Any

import pytest

import handfast
from handfast.contrib.wsgi import TLSEnvironMiddleware, tls_environ
from handfast.x509 import pem
from handfast.x509.describe import describe
from tests import certificates
from tests.aio.support import client_config, identity, server_config

ANYBODY = handfast.ClientAuth.REQUEST
SOCKETS = ["gunicorn.socket", "werkzeug.socket"]


def connection(client_auth=ANYBODY, **options: Any) -> handfast.ServerConnection:
    """A server's, whose handshake with the client that the options describe is complete."""
    server = handfast.ServerConnection(server_config(client_auth=client_auth))
    client = handfast.ClientConnection(client_config(**options), server_name="localhost")
    while not (server.connected and client.connected):
        server.receive(client.outgoing())
        client.receive(server.outgoing())
    return server


def identities(environ):
    return {key for key in environ if key.startswith("SSL_CLIENT_")} - {"SSL_CLIENT_VERIFY"}


def text(certificate):
    return pem.encode(pem.CERTIFICATE, certificate).decode()


def test_a_verified_client():
    issued = certificates.ca().intermediate("Between").client("alice", "spiffe://corp.example/a", "a@corp.example")
    info = connection(credentials=[identity(issued)]).info
    environ = tls_environ(info)
    described = describe(issued.chain[0])
    assert environ.pop("handfast.info") is info
    assert environ == {
        "HTTPS": "on",
        "SSL_PROTOCOL": "TLSv1.3",
        "SSL_CIPHER": "TLS_AES_128_GCM_SHA256",
        "SSL_TLS_SNI": "localhost",
        "SSL_SERVER_CERT": text(certificates.server().chain[0]),
        "SSL_CLIENT_VERIFY": "SUCCESS",
        "SSL_CLIENT_S_DN": "CN=alice,O=handfast",
        "SSL_CLIENT_I_DN": "CN=Between,O=handfast",
        "SSL_CLIENT_M_SERIAL": described.serial_number.upper(),
        "SSL_CLIENT_CERT": text(issued.chain[0]),
        "SSL_CLIENT_CERT_CHAIN_0": text(issued.chain[1]),
        "SSL_CLIENT_SAN_URI_0": "spiffe://corp.example/a",
        "SSL_CLIENT_SAN_Email_0": "a@corp.example",
    }


def test_names_of_a_kind_are_counted():
    issued = certificates.ca().client("alice", "a.example", "b.example")
    environ = tls_environ(connection(credentials=[identity(issued)]).info)
    assert {environ["SSL_CLIENT_SAN_DNS_0"], environ["SSL_CLIENT_SAN_DNS_1"]} == {"a.example", "b.example"}


def test_an_unverified_client_has_no_identity():
    mallory = certificates.other_ca().client("alice")
    environ = tls_environ(connection(credentials=[identity(mallory)]).info)
    assert (environ["SSL_CLIENT_VERIFY"], identities(environ)) == ("FAILED:unknown_issuer", set())
    # Who wants to know all the same asks what says that it is unverified.
    assert isinstance(environ["handfast.info"].peer, handfast.UnverifiedPeer)


def test_no_client_certificate():
    environ = tls_environ(connection(anonymous=True).info)
    assert (environ["SSL_CLIENT_VERIFY"], identities(environ)) == ("NONE", set())


def through_middleware(environ):
    """What the application gets."""
    got: list[dict[str, Any]] = []

    def app(environ, start_response):
        got.append(environ)
        return [b"done"]

    assert TLSEnvironMiddleware(app)(environ, lambda *_: None) == [b"done"]
    return got[0]


@pytest.mark.parametrize("key", SOCKETS)
def test_the_servers_connection_is_found(key):
    environ = through_middleware({key: connection(), "PATH_INFO": "/"})
    assert (environ["SSL_CLIENT_S_DN"], environ["PATH_INFO"]) == ("CN=alice,O=handfast", "/")


@pytest.mark.parametrize("key", SOCKETS)
def test_what_was_claimed_before_is_gone(key):
    claimed = {"SSL_CLIENT_VERIFY": "SUCCESS", "SSL_CLIENT_S_DN": "CN=admin", "SSL_CLIENT_SAN_DNS_7": "admin"}
    environ = through_middleware({key: connection(anonymous=True), **claimed})
    assert (environ["SSL_CLIENT_VERIFY"], identities(environ)) == ("NONE", set())


def test_before_the_handshake_is_complete_nothing_is_said():
    server = handfast.ServerConnection(server_config(client_auth=ANYBODY))
    assert through_middleware({"gunicorn.socket": server}).keys() == {"gunicorn.socket"}


@pytest.mark.parametrize("environ", [{}, {"gunicorn.socket": object()}, {"werkzeug.socket": None}])
def test_a_connection_that_is_not_ours_is_left_alone(environ):
    claimed = {"SSL_CLIENT_S_DN": "CN=somebody"}
    assert through_middleware({**environ, **claimed}) == {**environ, **claimed}
