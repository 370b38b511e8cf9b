"""One end of a connection in memory, the same shape for every implementation that is compared, and what is said of it.

All negotiate TLS_AES_128_GCM_SHA256, X25519 and ECDSA P-256, and send no tickets except where sessions are resumed.
Seconds are those of the thread on its core (``CLOCK``), so that what else the machine does counts less.
Where an implementation cannot choose its suite or group, its peer offers or accepts no other. Whether all verify the
peer's chain of leaf and CA and the server's name is tried by `bench.checks`. Here are handfast, Python's ssl and
pyOpenSSL; the implementations that may be missing are in `bench.others`.
"""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from time import thread_time
from typing import Any, Protocol

import handfast
from bench.providers import provided, providers
from handfast.limits import REMEMBERED_PATHS
from handfast.pki.authority import CertificateAuthority
from handfast.registry import CipherSuite, NamedGroup

NAME = "localhost"
CLOCK = thread_time
# OpenSSL reads no more than one record at a time. To have room for more made the rows of ssl depend on what malloc does
# with it, nearly twofold.
ONE_READ = 16 * 1024
GROUPS: tuple[int, ...] = (NamedGroup.x25519,)


class Side(Protocol):
    """One end: bytes in, bytes out."""

    def feed(self, data: bytes) -> bytes:
        """Take the peer's bytes (b"" to start) and give ours, as long as the handshake lasts."""

    def seal(self, data: bytes) -> bytes:
        """Application data as records."""

    def open(self, data: bytes) -> int:
        """Records as application data; how many bytes."""

    def facts(self) -> tuple[str, str, bool]:
        """Version, suite, and whether the session was resumed."""


Maker = Callable[[], Side]
Pair = tuple[Maker, Maker]


class Sides(Protocol):
    """Makes an implementation's client and server with the certificates of ``pki``."""

    def __call__(self, pki: Pki, *, mutual: bool) -> Pair: ...


@dataclass(frozen=True)
class Implementation:
    """Who is compared.

    ``mutual_server``: whether its server can ask for a client certificate. ``own_peer``: it has no records, so that its
    other end must be its own. ``slow``: is measured less often. ``largest``: bytes that are sealed at once, at most.
    """

    name: str
    sides: Sides
    mutual_server: bool = True
    mutual_client: bool = True
    own_peer: bool = False
    slow: bool = False
    largest: int = 1 << 20
    note: str = ""


@dataclass
class Row:
    """One line of the table. ``ratio_to_ssl`` is above 1 where the implementation needs less than Python's ssl."""

    scenario: str
    side: str
    implementation: str
    median: float
    unit: str
    ratio_to_ssl: float | None


def connect(make_client: Maker, make_server: Maker) -> tuple[tuple[Side, Side], tuple[float, float]]:
    """A handshake; both ends, client and server, and the seconds that each of them took."""
    start = CLOCK()
    client = make_client()
    flight = client.feed(b"")
    client_time = CLOCK() - start
    start = CLOCK()
    server = make_server()
    answer = server.feed(flight)
    server_time = CLOCK() - start
    while flight or answer:
        start = CLOCK()
        flight = client.feed(answer) if answer else b""
        client_time += CLOCK() - start
        start = CLOCK()
        answer = server.feed(flight) if flight else b""
        server_time += CLOCK() - start
    return (client, server), (client_time, server_time)


@dataclass
class Pki:
    """The certificates of all scenarios: both leaves are of ``issuer``, and ``ca`` is whom everybody trusts."""

    ca: CertificateAuthority
    issuer: CertificateAuthority
    directory: Path
    name: str = NAME

    @classmethod
    def create(cls) -> Pki:
        ca = CertificateAuthority.create("Bench CA")
        return cls(ca, ca, Path(tempfile.mkdtemp(prefix="handfast-bench-")))

    @cached_property
    def server(self) -> Any:
        return self.issuer.server(self.name)

    @cached_property
    def client(self) -> Any:
        return self.issuer.client("bench")

    def file(self, name: str, data: bytes) -> str:
        path = self.directory / name
        path.write_bytes(data)
        return str(path)

    def close(self) -> None:
        for path in self.directory.iterdir():
            path.unlink()
        self.directory.rmdir()


class Handfast:
    """Our engine."""

    def __init__(self, connection: handfast.ClientConnection | handfast.ServerConnection) -> None:
        self.connection = connection

    def feed(self, data: bytes) -> bytes:
        if data:
            self.connection.receive(data)
        return self.connection.outgoing()

    def seal(self, data: bytes) -> bytes:
        self.connection.send(data)
        return self.connection.outgoing()

    def open(self, data: bytes) -> int:
        total = 0
        for result in self.connection.receive(data):
            if isinstance(result, handfast.Data):
                total += len(result.data)
        return total

    def facts(self) -> tuple[str, str, bool]:
        info = self.connection.info
        return "TLSv1.3", str(info.suite), info.resumed


def handfast_configs(
    pki: Pki,
    *,
    mutual: bool,
    remember_paths: int = REMEMBERED_PATHS,
    groups: tuple[int, ...] = GROUPS,
    provider: str = "",
) -> tuple[handfast.ClientConfig, handfast.ServerConfig]:
    """What our client and our server are told. Without ``provider`` their cryptography is the default one's."""
    verifier = handfast.PathVerifier(handfast.Roots.from_der([pki.ca.certificate_der]), remember_paths=remember_paths)
    parameters: dict[str, Any] = {
        "suites": (CipherSuite.TLS_AES_128_GCM_SHA256,),
        "groups": groups,
        "verifier": verifier,
    } | provided(provider)
    own = [handfast.Credentials.from_pem(pki.client.cert_pem, pki.client.key_pem)] if mutual else []
    client = handfast.ClientConfig(credentials=own, **parameters)
    server = handfast.ServerConfig(
        credentials=[handfast.Credentials.from_pem(pki.server.cert_pem, pki.server.key_pem)],
        client_auth=handfast.ClientAuth.REQUIRE_AND_VERIFY if mutual else handfast.ClientAuth.NONE,
        **parameters,
    )
    return client, server


def handfast_sides(pki: Pki, *, mutual: bool, **options: Any) -> Pair:
    """Our client and our server; ``options`` are those of ``handfast_configs``."""
    return handfast_pair(*handfast_configs(pki, mutual=mutual, **options))


def handfast_pair(client: handfast.ClientConfig, server: handfast.ServerConfig) -> Pair:
    """Makes the ends that are configured so."""
    return (
        lambda: Handfast(handfast.ClientConnection(client, server_name=NAME)),
        lambda: Handfast(handfast.ServerConnection(server)),
    )


class Ssl:
    """Python's ssl over two MemoryBIOs, which is what asyncio uses."""

    def __init__(
        self, context: ssl.SSLContext, *, server: bool, session: ssl.SSLSession | None = None, name: str = NAME
    ) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.object = context.wrap_bio(
            self.incoming,
            self.outgoing,
            server_side=server,
            server_hostname=None if server else name,
            session=session,
        )
        self.connected = False

    def feed(self, data: bytes) -> bytes:
        self.incoming.write(data)
        try:
            if self.connected:
                self.object.read(1)  # the tickets
            else:
                self.object.do_handshake()
                self.connected = True
        except ssl.SSLWantReadError:
            pass
        return self.outgoing.read()

    def seal(self, data: bytes) -> bytes:
        self.object.write(data)
        return self.outgoing.read()

    def open(self, data: bytes) -> int:
        self.incoming.write(data)
        total = 0
        while self.incoming.pending:
            try:
                total += len(self.object.read(ONE_READ))
            except ssl.SSLWantReadError:
                break
        return total

    def facts(self) -> tuple[str, str, bool]:
        cipher = self.object.cipher()
        return str(self.object.version()), cipher[0] if cipher else "", bool(self.object.session_reused)


def ssl_contexts(pki: Pki, *, mutual: bool, tickets: int = 0) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A client's and a server's context."""
    roots = pki.file("ca.pem", pki.ca.certificate_pem)
    client = ssl.create_default_context(cafile=roots)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.num_tickets = tickets
    server.load_cert_chain(pki.file("server.pem", pki.server.cert_pem), pki.file("server.key", pki.server.key_pem))
    if mutual:
        client.load_cert_chain(pki.file("client.pem", pki.client.cert_pem), pki.file("client.key", pki.client.key_pem))
        server.verify_mode = ssl.CERT_REQUIRED
        server.load_verify_locations(roots)
    return client, server


def ssl_sides(pki: Pki, *, mutual: bool) -> Pair:
    """The client and the server of Python's ssl."""
    client, server = ssl_contexts(pki, mutual=mutual)
    return lambda: Ssl(client, server=False), lambda: Ssl(server, server=True)


class PyOpenSsl:
    """pyOpenSSL over its memory BIO."""

    def __init__(self, context: Any, *, server: bool, session: Any | None = None) -> None:
        from OpenSSL import SSL

        self.module = SSL
        self.connection = SSL.Connection(context, None)
        self.connected = False
        if server:
            self.connection.set_accept_state()
        else:
            self.connection.set_connect_state()
            self.connection.set_tlsext_host_name(NAME.encode())
        if session is not None:
            self.connection.set_session(session)

    def feed(self, data: bytes) -> bytes:
        if data:
            self.connection.bio_write(data)
        try:
            if self.connected:
                self.connection.recv(1)  # the tickets
            else:
                self.connection.do_handshake()
                self.connected = True
        except self.module.WantReadError:
            pass
        return self._outgoing()

    def _outgoing(self) -> bytes:
        parts = []
        while True:
            try:
                parts.append(self.connection.bio_read(1 << 20))
            except self.module.WantReadError:
                return b"".join(parts)

    def seal(self, data: bytes) -> bytes:
        self.connection.sendall(data)
        return self._outgoing()

    def open(self, data: bytes) -> int:
        total = 0
        view = memoryview(data)
        while view:
            view = view[self.connection.bio_write(bytes(view[: 1 << 17])) :]
            try:
                while True:
                    total += len(self.connection.recv(ONE_READ))
            except self.module.WantReadError:
                pass
        return total

    def facts(self) -> tuple[str, str, bool]:
        # pyOpenSSL has no call that would tell whether it resumed; its peer does.
        return str(self.connection.get_protocol_version_name()), str(self.connection.get_cipher_name()), False


def pyopenssl_contexts(pki: Pki, *, mutual: bool) -> tuple[Any, Any]:
    """A client's and a server's context."""
    from OpenSSL import SSL

    def context(method: int, issued: Any | None, *, verify: bool) -> Any:
        made = SSL.Context(method)
        made.set_tls13_ciphersuites(b"TLS_AES_128_GCM_SHA256")
        if issued is not None:
            name = "server" if issued is pki.server else "client"
            made.use_certificate_chain_file(pki.file(f"{name}.pem", issued.cert_pem))
            made.use_privatekey_file(pki.file(f"{name}.key", issued.key_pem))
        if verify:
            made.load_verify_locations(pki.file("ca.pem", pki.ca.certificate_pem))
            made.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
        return made

    return (
        context(SSL.TLS_CLIENT_METHOD, pki.client if mutual else None, verify=True),
        context(SSL.TLS_SERVER_METHOD, pki.server, verify=mutual),
    )


def pyopenssl_sides(pki: Pki, *, mutual: bool) -> Pair:
    """The client and the server of pyOpenSSL."""
    from OpenSSL import SSL

    client, server = pyopenssl_contexts(pki, mutual=mutual)
    server.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    server.set_options(SSL.OP_NO_TICKET)
    return lambda: PyOpenSsl(client, server=False), lambda: PyOpenSsl(server, server=True)


HANDFAST = Implementation(
    "handfast",
    handfast_sides,
    note="its verifier remembers paths: the signatures along a chain that it has seen are not checked again",
)
FORGETTING = Implementation(
    "handfast, remember_paths=0",
    partial(handfast_sides, remember_paths=0),
    largest=0,
    note="checks every signature of every chain in each handshake, as the others do",
)
ALWAYS = (
    HANDFAST,
    FORGETTING,
    *(
        Implementation(f"handfast, {name}", partial(handfast_sides, provider=name), note="another crypto provider")
        for name in providers()
    ),
    Implementation("ssl", ssl_sides),
    Implementation("pyOpenSSL", pyopenssl_sides, note="its client also makes an ML-KEM share, which it cannot refuse"),
)
