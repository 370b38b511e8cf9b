"""OpenSSL as the other end of one of our connections, in memory, for what no program can be asked."""

from __future__ import annotations

from contextlib import suppress

from cryptography import x509
from OpenSSL import SSL

from handfast.engine import Connection
from handfast.pki.authority import Issued
from tests import certificates


def client_end(context: SSL.Context | None = None) -> SSL.Connection:
    """A client."""
    end = SSL.Connection(context or SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    end.set_connect_state()
    return end


def server_end(context: SSL.Context | None = None, issued: Issued | None = None) -> SSL.Connection:
    """A server with this certificate."""
    issued = issued or certificates.server()
    context = context or SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate(x509.load_der_x509_certificate(issued.chain[0]))
    context.use_privatekey(issued.key)
    end = SSL.Connection(context, None)
    end.set_accept_state()
    return end


def shake_hands(ours: Connection, theirs: SSL.Connection) -> None:
    """Carry bytes until both are connected."""
    for _ in range(4):
        if data := ours.outgoing():
            theirs.bio_write(data)
        with suppress(SSL.WantReadError):
            theirs.do_handshake()
        with suppress(SSL.WantReadError):
            ours.receive(theirs.bio_read(65536))
    assert ours.connected, ours.error
    theirs.do_handshake()
