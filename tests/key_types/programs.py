"""One connection of a program with OpenSSL, the newest there is: the one that ``cryptography`` brings has every kind.

What fails is the program's, since OpenSSL's side takes and shows all of them. Only the certificate in question is of
another kind than the default.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import handfast
from handfast.credentials.credentials import Credentials
from handfast.engine import ClientAuth as OurClientAuth
from handfast.engine import ClientConfig, ServerConfig
from handfast.errors import HandfastError
from handfast.tools.endpoint import Options as OurOptions
from handfast.tools.endpoint import Shutdown
from handfast.trust.roots import Roots
from handfast.trust.verifiers import PathVerifier
from tests.listening import ANY_PORT, Listening
from tests.peers import CLIENTS, REQUEST, RESPONSE, SERVERS, Cannot, ClientAuth, Options, PeerFailed
from tests.waiting import OUR_LIMIT

from .sets import KINDS, KeyedSet

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    Sets: TypeAlias = dict[str, KeyedSet]
    Measure: TypeAlias = Callable[[str, Sets, str, str], bool]

HANDFAST = "handfast"
OPENSSL = "pyopenssl"
DEFAULT = KINDS[0]
# What a peer raises that cannot even load such a key.
UNABLE = (Cannot, PeerFailed, subprocess.CalledProcessError, OSError)


def _answered(received: bytes) -> bool:
    return received.startswith(b"HTTP/1.") and b" 200 " in received


def takes_a_server(program: str, sets: Sets, kind: str, version: str) -> bool:
    """Whether a client trusts a server with a certificate of this kind."""
    own, trust = sets[kind], sets[kind].ca
    server = Options(certificate=own.certificate("server"), key=own.key("server"), version=version)
    return _as_client(program, server, Options(trust=trust))


def shows_a_client(program: str, sets: Sets, kind: str, version: str) -> bool:
    """Whether a client can show a certificate of this kind."""
    own, usual = sets[kind], sets[DEFAULT]
    server = Options(
        certificate=usual.certificate("server"), key=usual.key("server"), trust=own.ca, client_auth=ClientAuth.REQUIRE,
        version=version,
    )  # fmt: skip
    client = Options(trust=usual.ca, certificate=own.certificate("client"), key=own.key("client"))
    return _as_client(program, server, client)


def takes_a_client(program: str, sets: Sets, kind: str, version: str) -> bool:
    """Whether a server trusts a client with a certificate of this kind."""
    own, usual = sets[kind], sets[DEFAULT]
    server = Options(
        certificate=usual.certificate("server"), key=usual.key("server"), trust=own.ca, client_auth=ClientAuth.REQUIRE
    )
    client = Options(
        trust=usual.ca, certificate=own.certificate("client"), key=own.key("client"), version=version
    )  # fmt: skip
    try:
        if program == HANDFAST:
            with Listening(_our_server(server)) as we, CLIENTS[OPENSSL](we.port, client) as them:
                return _answered(them.outcome().received)
        with SERVERS[program](server) as serving, CLIENTS[OPENSSL](serving.port, client) as them:
            return _answered(them.outcome().received)
    except (*UNABLE, HandfastError):
        return False


def _as_client(program: str, server: Options, client: Options) -> bool:
    with SERVERS[OPENSSL](server) as serving:
        try:
            if program == HANDFAST:
                return _answered(_our_client(serving.port, client))
            with CLIENTS[program](serving.port, client) as them:
                return _answered(them.outcome().received)
        except (*UNABLE, HandfastError):
            return False


def _credentials(options: Options) -> tuple[Credentials, ...]:
    return (Credentials.from_files(options.certificate, options.key),) if options.certificate else ()


def _our_client(port: int, options: Options) -> bytes:
    verifier = PathVerifier(Roots.from_file(str(options.trust)))
    config = ClientConfig(verifier=verifier, credentials=_credentials(options))
    with handfast.connect("127.0.0.1", port, config, server_name="localhost", timeout=OUR_LIMIT) as tls:
        tls.sendall(REQUEST)
        return bytes(tls.recv())


def _our_server(options: Options) -> OurOptions:
    config = ServerConfig(
        credentials=_credentials(options), client_auth=OurClientAuth.REQUIRE_AND_VERIFY,
        verifier=PathVerifier(Roots.from_file(str(options.trust))),
    )  # fmt: skip
    return OurOptions(
        config=config, listen=ANY_PORT, expect_bytes=1, send=RESPONSE, timeout=OUR_LIMIT, shutdown=Shutdown.FOLLOW
    )


MEASURES: dict[str, Measure] = {
    "takes a server's": takes_a_server,
    "shows a client's": shows_a_client,
    "takes a client's": takes_a_client,
}
