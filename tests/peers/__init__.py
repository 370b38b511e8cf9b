"""Foreign TLS peers, each started the same way, and each telling afterwards what it saw.

    with OpenSSLServer(Options(certificate=..., key=..., trust=..., client_auth=ClientAuth.REQUIRE)) as server:
        ...                          # connect to 127.0.0.1, server.port
        outcome = server.outcome()   # waits, within a limit

    with CurlClient(port, Options(trust=...)) as client:
        ...                          # accept one connection
        outcome = client.outcome()

A server serves one connection: it waits for a request that ends in an empty line, sends an HTTP response (RESPONSE
where it can), and closes cleanly or, s_server, waits until the client does. A client sends REQUEST, which ends in an
empty line, reads a response with a Content-Length, and closes cleanly, unless the server did so before.

Entering skips the test when the tool is missing, or fails it under HANDFAST_REQUIRE_PEERS=1. Options that a peer has
no means for raise Cannot with the reason.
"""

from tests.peers.base import (
    EXPORT_LENGTH,
    REQUEST,
    RESPONSE,
    Cannot,
    ClientAuth,
    ClientPeer,
    KeyUpdate,
    Options,
    Outcome,
    PeerFailed,
    ServerPeer,
    require_peer,
)
from tests.peers.bun import BunClient, BunServer
from tests.peers.curl import CurlClient
from tests.peers.curl_cffi import CurlCffiClient
from tests.peers.deno import DenoClient, DenoServer
from tests.peers.gnutls import GnuTLSClient, GnuTLSServer
from tests.peers.golang import GoClient, GoServer
from tests.peers.granian import GranianServer
from tests.peers.h2o import H2OServer
from tests.peers.haproxy import HAProxyServer
from tests.peers.jsse import JSSEClient, JSSEServer
from tests.peers.lighttpd import LighttpdServer
from tests.peers.nginx import NginxServer
from tests.peers.node import NodeClient, NodeServer
from tests.peers.nss import NSSClient, NSSServer
from tests.peers.openssl import OpenSSLClient, OpenSSLServer
from tests.peers.pyopenssl import PyOpenSSLClient, PyOpenSSLServer
from tests.peers.pyreqwest import PyreqwestClient
from tests.peers.python_ssl import PythonClient, PythonServer
from tests.peers.scripts import (
    ErlangClient,
    ErlangServer,
    PerlClient,
    PerlServer,
    PHPClient,
    PHPServer,
    RubyClient,
    RubyServer,
)
from tests.peers.uv import UvClient

_SERVERS = (
    OpenSSLServer,
    GnuTLSServer,
    NSSServer,
    PythonServer,
    PyOpenSSLServer,
    GoServer,
    NodeServer,
    DenoServer,
    JSSEServer,
    NginxServer,
    HAProxyServer,
    GranianServer,
)
_CLIENTS = (
    OpenSSLClient,
    GnuTLSClient,
    NSSClient,
    CurlClient,
    PythonClient,
    PyOpenSSLClient,
    GoClient,
    NodeClient,
    DenoClient,
    JSSEClient,
    CurlCffiClient,
    PyreqwestClient,
    UvClient,
)
# Those of which only a few features are tested: how both sides know each other.
_BRIEF_SERVERS = (RubyServer, PHPServer, PerlServer, ErlangServer, BunServer, LighttpdServer, H2OServer)
_BRIEF_CLIENTS = (RubyClient, PHPClient, PerlClient, ErlangClient, BunClient)
BRIEF_SERVERS: dict[str, type[ServerPeer]] = {peer.name: peer for peer in _BRIEF_SERVERS}
BRIEF_CLIENTS: dict[str, type[ClientPeer]] = {peer.name: peer for peer in _BRIEF_CLIENTS}
SERVERS: dict[str, type[ServerPeer]] = {peer.name: peer for peer in _SERVERS}
CLIENTS: dict[str, type[ClientPeer]] = {peer.name: peer for peer in _CLIENTS}

__all__ = [
    "BRIEF_CLIENTS",
    "BRIEF_SERVERS",
    "CLIENTS",
    "EXPORT_LENGTH",
    "REQUEST",
    "RESPONSE",
    "SERVERS",
    "Cannot",
    "ClientAuth",
    "ClientPeer",
    "CurlCffiClient",
    "CurlClient",
    "DenoClient",
    "DenoServer",
    "GnuTLSClient",
    "GnuTLSServer",
    "GoClient",
    "GoServer",
    "GranianServer",
    "HAProxyServer",
    "JSSEClient",
    "JSSEServer",
    "KeyUpdate",
    "NSSClient",
    "NSSServer",
    "NginxServer",
    "NodeClient",
    "NodeServer",
    "OpenSSLClient",
    "OpenSSLServer",
    "Options",
    "Outcome",
    "PeerFailed",
    "PyOpenSSLClient",
    "PyOpenSSLServer",
    "PyreqwestClient",
    "PythonClient",
    "PythonServer",
    "ServerPeer",
    "UvClient",
    "require_peer",
]
