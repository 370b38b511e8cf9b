"""The foreign peers against each other: what a test against handfast may rely on."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

import pytest

from tests import certificates
from tests.peers import (
    CLIENTS,
    RESPONSE,
    SERVERS,
    Cannot,
    ClientAuth,
    CurlClient,
    GnuTLSClient,
    GnuTLSServer,
    GoClient,
    GoServer,
    JSSEClient,
    JSSEServer,
    NodeClient,
    NodeServer,
    OpenSSLClient,
    OpenSSLServer,
    Options,
    Outcome,
    PyOpenSSLClient,
    PyOpenSSLServer,
    PythonClient,
    PythonServer,
    require_peer,
)

if TYPE_CHECKING:
    from tests.conftest import Files
    from tests.peers import ClientPeer, ServerPeer

# These meet each other in every way; the others meet them.
EACH_WITH_EACH = {"openssl", "gnutls", "curl", "python", "pyopenssl"}


def parametrize(name: str, peers: dict[str, type[ServerPeer]] | dict[str, type[ClientPeer]], *, others: bool = False):
    chosen = {key: peer for key, peer in peers.items() if (key in EACH_WITH_EACH) is not others}
    return pytest.mark.parametrize(name, chosen.values(), ids=chosen)


every_server = parametrize("server_type", SERVERS)
every_client = parametrize("client_type", CLIENTS)


def converse(
    server_type: type[ServerPeer], server: Options, client_type: type[ClientPeer], client: Options
) -> tuple[Outcome, Outcome]:
    """What a server and a client say after a connection between them."""
    with server_type(server) as server_peer, client_type(server_peer.port, client) as client_peer:
        client_outcome = client_peer.outcome()
        return server_peer.outcome(), client_outcome


def server_options(files: Files, **more: object) -> Options:
    return Options(**{**files.identity(certificates.server()), **more})  # type: ignore[arg-type]


def client_options(files: Files, **more: object) -> Options:
    return Options(**{"trust": files.roots(certificates.ca()), **more})  # type: ignore[arg-type]


@every_server
@every_client
def test_mutual_tls(server_type, client_type, files):
    roots = files.roots(certificates.ca())
    server, client = converse(
        server_type,
        server_options(files, trust=roots, client_auth=ClientAuth.REQUIRE, version="1.3"),
        client_type,
        client_options(files, **files.identity(certificates.client())),
    )
    assert server.ok, (server.error, server.text)
    assert client.ok, (client.error, client.text)
    assert server.peer_subject is not None
    assert certificates.CLIENT_NAME in server.peer_subject
    assert client.version == "1.3"
    if server_type is GnuTLSServer:
        assert b"GnuTLS" in client.received
    else:
        assert client.received == RESPONSE
        assert server.received.startswith(b"GET / HTTP/1.1\r\n")


def mutual(files: Files) -> tuple[Options, Options]:
    """What a server and a client are told that show each other a certificate."""
    server = server_options(files, trust=files.roots(certificates.ca()), client_auth=ClientAuth.REQUIRE)
    return server, client_options(files, **files.identity(certificates.client()))


@parametrize("server_type", SERVERS, others=True)
def test_mutual_tls_of_another_server(server_type, files):
    server_told, client_told = mutual(files)
    server, client = converse(server_type, server_told, CurlClient, client_told)
    assert server.ok, (server.error, server.text)
    assert client.ok, (client.error, client.text)
    assert server.peer_subject is None or certificates.CLIENT_NAME in server.peer_subject
    assert client.version == "1.3"
    assert b" 200 OK\r\n" in client.received
    if server_type.shows_request:
        assert server.received.startswith(b"GET / HTTP/1.1\r\n")


@parametrize("client_type", CLIENTS, others=True)
def test_mutual_tls_of_another_client(client_type, files):
    server_told, client_told = mutual(files)
    server, client = converse(PyOpenSSLServer, server_told, client_type, client_told)
    assert server.ok, (server.error, server.text)
    assert client.ok, (client.error, client.text)
    assert server.peer_subject is not None
    assert certificates.CLIENT_NAME in server.peer_subject
    assert client.received.endswith(b"hello\n")


@pytest.mark.parametrize("peer", [GoClient, NodeClient, JSSEClient])
def test_a_session_is_resumed_by_another_client(peer, files):
    with GoServer(server_options(files, connections=2)) as server:
        client = client_options(files, connections=2)
        with peer(server.port, client) as client_peer:
            outcome = client_peer.outcome()
        assert server.outcome().resumed
    assert outcome.ok, outcome.text
    assert outcome.resumed


@pytest.mark.parametrize("peer", [GoServer, NodeServer, JSSEServer])
def test_a_session_is_resumed_by_another_server(peer, files):
    with (
        peer(server_options(files, connections=2)) as server,
        GoClient(server.port, client_options(files, connections=2)) as client,
    ):
        assert client.outcome().resumed
        assert server.outcome().resumed


@every_server
@every_client
def test_no_client_certificate(server_type, client_type, files):
    server, client = converse(server_type, server_options(files), client_type, client_options(files))
    assert server.ok, (server.error, server.text)
    assert client.ok, (client.error, client.text)
    assert not server.peer_subject
    assert client.suite in {None, "TLS_AES_256_GCM_SHA384"}


@every_server
def test_required_certificate_is_missing(server_type, files):
    required = server_options(files, trust=files.roots(certificates.ca()), client_auth=ClientAuth.REQUIRE)
    server, client = converse(server_type, required, OpenSSLClient, client_options(files))
    assert not server.ok
    assert server.error
    assert not client.ok
    assert re.search(r"certificate[ _]required", client.error)


@every_server
def test_client_certificate_of_another_ca(server_type, files):
    required = server_options(files, trust=files.roots(certificates.other_ca()), client_auth=ClientAuth.REQUIRE)
    stranger = client_options(files, **files.identity(certificates.client()))
    server, client = converse(server_type, required, OpenSSLClient, stranger)
    assert not server.ok
    assert server.error
    assert not client.ok


@every_client
def test_server_certificate_of_another_ca(client_type, files):
    distrustful = Options(trust=files.roots(certificates.other_ca()))
    server, client = converse(PythonServer, server_options(files), client_type, distrustful)
    assert not server.ok
    assert not client.ok
    assert re.search(r"(?i)certificate|verif", client.error), client.error


@every_client
def test_server_certificate_for_another_name(client_type, files):
    if client_type is PyOpenSSLClient:
        pytest.skip("pyOpenSSL leaves the comparison of names to its callers")
    elsewhere = client_options(files, server_name="elsewhere.example.com")
    server, client = converse(PythonServer, server_options(files), client_type, elsewhere)
    assert server.received == b""
    assert not client.ok
    assert re.search(r"(?i)certificate|match", client.error), client.error


@pytest.mark.parametrize("suite", ["TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"])
@every_server
@every_client
def test_suite(server_type, client_type, suite, files):
    wanted = {"suites": (suite,)}
    try:
        server, client = converse(server_type, server_options(files), client_type, client_options(files, **wanted))
    except Cannot:
        if server_type is PythonServer:
            pytest.skip("neither Python's client nor its server can choose the suite")
        server, client = converse(server_type, server_options(files, **wanted), client_type, client_options(files))
    assert server.ok, (server.error, server.text)
    assert client.ok, (client.error, client.text)
    assert {server.suite, client.suite} <= {suite, None}
    assert {server.suite, client.suite} != {None}


@pytest.mark.parametrize("group", ["x25519", "secp256r1", "secp384r1", "secp521r1", "x448"])
@pytest.mark.parametrize("server_type", [OpenSSLServer, GnuTLSServer])
@pytest.mark.parametrize("client_type", [OpenSSLClient, GnuTLSClient, CurlClient])
def test_group_after_a_retry_where_it_is_not_the_first_choice(server_type, client_type, group, files):
    several = ("secp256r1", "x25519", "secp384r1", "secp521r1", "x448")
    server, client = converse(
        server_type, server_options(files, groups=(group,)), client_type, client_options(files, groups=several)
    )
    assert server.ok, (server.error, server.text)
    assert client.ok, (client.error, client.text)
    assert server.group == group
    assert client.group in {group, None}


def test_no_group_in_common(files):
    server, client = converse(
        OpenSSLServer, server_options(files, groups=("x448",)), GnuTLSClient, client_options(files, groups=("x25519",))
    )
    assert "no suitable key share" in server.error
    assert "alert" in client.error.lower()


@every_server
@every_client
def test_application_protocol(server_type, client_type, files):
    offered = ("http/1.1",)
    server, client = converse(
        server_type,
        server_options(files, application_protocols=offered),
        client_type,
        client_options(files, application_protocols=offered),
    )
    assert server.application_protocol == "http/1.1"
    assert client.application_protocol == "http/1.1"


@pytest.mark.parametrize("server_type", [OpenSSLServer, GnuTLSServer, PythonServer, PyOpenSSLServer])
@pytest.mark.parametrize("client_type", [OpenSSLClient, GnuTLSClient, PyOpenSSLClient])
def test_names_of_cas(server_type, client_type, files):
    asking = server_options(files, trust=files.roots(certificates.ca()), client_auth=ClientAuth.REQUEST)
    _, client = converse(server_type, asking, client_type, client_options(files))
    assert client.ca_names is not None
    if server_type is PythonServer:  # it has no way to send any
        assert client.ca_names == ()
    else:
        assert ["Test CA" in name for name in client.ca_names] == [True]


@pytest.mark.parametrize("server_type", [OpenSSLServer, GnuTLSServer])
@pytest.mark.parametrize("client_type", [OpenSSLClient, GnuTLSClient])
def test_signature_scheme_nobody_can_make(server_type, client_type, files):
    server, client = converse(
        server_type, server_options(files), client_type, client_options(files, schemes=("ed448", "rsa_pss_rsae_sha256"))
    )
    assert not server.ok
    assert not client.ok


@every_client
def test_key_log(client_type, files):
    keylog = files.directory / "keys.log"
    _, client = converse(PythonServer, server_options(files), client_type, client_options(files, keylog=keylog))
    assert client.ok
    assert "SERVER_TRAFFIC_SECRET_0" in keylog.read_text()


def test_a_dropped_connection_is_an_error(files):
    # A response that is never whole: else the client may be through before the end comes.
    options = server_options(files, response=b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n")
    with OpenSSLServer(options) as server, PythonClient(server.port, client_options(files)) as client:
        server.drop()
        outcome = client.outcome()
    assert not outcome.ok


@every_server
def test_a_client_that_never_comes_leaves_nothing_behind(server_type, files):
    with server_type(server_options(files)) as server:
        pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))


def test_what_a_peer_cannot_do_has_a_reason(files):
    with pytest.raises(Cannot, match="signature schemes"), CurlClient(1, client_options(files, schemes=("ed25519",))):
        pass


def test_missing_peer(monkeypatch):
    monkeypatch.delenv("HANDFAST_REQUIRE_PEERS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-tool is not installed"):
        require_peer("no-such-tool")
    monkeypatch.setenv("HANDFAST_REQUIRE_PEERS", "1")
    with pytest.raises(pytest.fail.Exception, match="no-such-tool is not installed"):
        require_peer("no-such-tool")
