"""``--old-main-secret``: peers of TLS 1.2 without the extended main secret, refused unless it is given."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading

import pytest

from tests.cli.conftest import finish, start
from tests.waiting import LIMIT

# SSL_OP_NO_EXTENDED_MASTER_SECRET of OpenSSL, which Python gives no name.
NO_EXTENDED_MAIN_SECRET = 1


def old_context(protocol):
    context = ssl.SSLContext(protocol)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.options |= NO_EXTENDED_MAIN_SECRET
    return context


@contextlib.contextmanager
def old_server(pki):
    """A server that has one connection; gives its port."""
    context = old_context(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.server_cert, pki.server_key)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept():
            with contextlib.suppress(OSError):
                plain, _ = listener.accept()
                with plain, context.wrap_socket(plain, server_side=True) as tls:
                    tls.recv(4096)
                    tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold")
                    tls.unwrap()

        thread = threading.Thread(target=accept)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@pytest.mark.parametrize("option", [(), ("--old-main-secret",)])
def test_connect(run, pki, option):
    with old_server(pki) as port:
        result = run("connect", f"https://localhost:{port}/", *pki.trust, *option)
    if option:
        assert (result.status, result.out) == (0, "old")
        assert "TLS 1.2 OK" in result.err
    else:
        assert result.is_error(1, "extended main secret", "--old-main-secret")


@pytest.mark.parametrize("option", [(), ("--old-main-secret",)])
def test_serve(pki, option):
    process = start("serve", "--listen", "127.0.0.1:0", *pki.server, *option, "--client-auth", "none")
    assert process.stdout is not None
    found = re.search(r":(\d+)/", process.stdout.readline())
    assert found is not None
    context = old_context(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(pki.ca)
    refused = contextlib.nullcontext() if option else pytest.raises(ssl.SSLError, match="handshake failure")
    with (
        refused,
        socket.create_connection(("127.0.0.1", int(found[1])), timeout=LIMIT) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as tls,
    ):
        assert tls.version() == "TLSv1.2"
    # It speaks of a refusal after the client has heard of it.
    assert process.stderr is not None
    told = "" if option else process.stderr.readline()
    process.terminate()
    assert ("extended main secret" in told + finish(process).err) == (not option)
