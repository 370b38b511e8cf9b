"""The implementations that `make bench` installs where there are wheels of them, and can do without."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from io import UnsupportedOperation
from typing import Any

from bench.sides import NAME, Implementation, Pair, Pki


class SslLike:
    """What copies the shape of Python's ssl."""

    def __init__(self, module: Any, context: Any, *, server: bool) -> None:
        self.module = module
        self.incoming, self.outgoing = module.MemoryBIO(), module.MemoryBIO()
        name = None if server else NAME
        self.object = context.wrap_bio(self.incoming, self.outgoing, server_side=server, server_hostname=name)
        self.connected = False

    def feed(self, data: bytes) -> bytes:
        self.incoming.write(data)
        if not self.connected:
            try:
                self.object.do_handshake()
                self.connected = True
            except self.module.SSLWantReadError:
                pass
        return bytes(self.outgoing.read())

    def seal(self, data: bytes) -> bytes:
        written = self.object.write(data)
        if written == len(data):
            return bytes(self.outgoing.read())
        # rustls takes no more than it can buffer.
        parts = [self.outgoing.read()]
        while written < len(data):
            written += self.object.write(data[written:])
            parts.append(self.outgoing.read())
        return b"".join(parts)

    def open(self, data: bytes) -> int:
        self.incoming.write(data)
        total = 0
        while self.incoming.pending or self.object.pending():
            try:
                total += len(self.object.read(65536))
            except self.module.SSLWantReadError:
                break
        return total

    def facts(self) -> tuple[str, str, bool]:
        return self.object.version(), self.object.cipher()[0], bool(self.object.session_reused)


def ssl_like_sides(name: str, pki: Pki, *, mutual: bool, tickets: bool) -> Pair:
    """The client and the server of a module like ssl; ``tickets``: its server must be told to send none."""
    module: Any = import_module(name)
    roots = pki.file("ca.pem", pki.ca.certificate_pem)
    client, server = module.SSLContext(module.PROTOCOL_TLS_CLIENT), module.SSLContext(module.PROTOCOL_TLS_SERVER)
    client.load_verify_locations(roots)
    server.load_cert_chain(pki.file("server.pem", pki.server.cert_pem), pki.file("server.key", pki.server.key_pem))
    if tickets:
        server.num_tickets = 0
    for context in (client, server):
        # An older ssl, which rtls asks first, knows no curve of that name; our end of the connection offers no other.
        with suppress(ssl.SSLError):
            context.set_ecdh_curve("X25519")
    if mutual:
        client.load_cert_chain(pki.file("client.pem", pki.client.cert_pem), pki.file("client.key", pki.client.key_pem))
        server.verify_mode = ssl.CERT_REQUIRED
        server.load_verify_locations(roots)
    return lambda: SslLike(module, client, server=False), lambda: SslLike(module, server, server=True)


def rtls_sides(pki: Pki, *, mutual: bool) -> Pair:
    """rustls, which sends tickets only to clients that offer to resume; ours does not."""
    return ssl_like_sides("rtls", pki, mutual=mutual, tickets=False)


def utls_sides(pki: Pki, *, mutual: bool) -> Pair:
    """BoringSSL."""
    return ssl_like_sides("utls", pki, mutual=mutual, tickets=True)


class Aioquic:
    """The handshake messages of aioquic, which go into QUIC packets and not into records."""

    def __init__(self, module: Any, buffer: Any, context: Any) -> None:
        self.context = context
        self.buffers = {epoch: buffer(capacity=8192) for epoch in module.Epoch}

    def feed(self, data: bytes) -> bytes:
        self.context.handle_message(data, self.buffers)
        messages = b"".join(buffer.data for buffer in self.buffers.values())
        for buffer in self.buffers.values():
            buffer.seek(0)
        return messages

    def seal(self, data: bytes) -> bytes:
        raise UnsupportedOperation("QUIC protects its packets elsewhere")

    def open(self, data: bytes) -> int:
        raise UnsupportedOperation("QUIC protects its packets elsewhere")

    def facts(self) -> tuple[str, str, bool]:
        return "TLSv1.3", f"TLS_{self.context.key_schedule.cipher_suite.name}", self.context.session_resumed


def aioquic_sides(pki: Pki, *, mutual: bool) -> Pair:
    """The client and the server of aioquic; it offers no choice of groups, so the default is overwritten."""
    if mutual:
        raise UnsupportedOperation("aioquic asks for client certificates in its own tests only")
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    module: Any = import_module("aioquic.tls")
    buffer: Any = import_module("aioquic.buffer").Buffer
    suites = [module.CipherSuite.AES_128_GCM_SHA256]
    key = load_pem_private_key(pki.server.key_pem, None)

    def client() -> Aioquic:
        context = module.Context(is_client=True, cadata=pki.ca.certificate_pem, cipher_suites=suites, server_name=NAME)
        context._supported_groups = [module.Group.X25519]
        return Aioquic(module, buffer, context)

    def server() -> Aioquic:
        context = module.Context(is_client=False, cipher_suites=suites)
        context.certificate, context.certificate_private_key = pki.server.certificate, key
        context._supported_groups = [module.Group.X25519]
        return Aioquic(module, buffer, context)

    return client, server


class Wire:
    """The socket that tlslite-ng wants, in memory."""

    def __init__(self) -> None:
        self.incoming, self.outgoing = bytearray(), bytearray()

    def recv(self, size: int) -> bytes:
        if not self.incoming:
            raise BlockingIOError(11, "nothing has come")
        data = bytes(self.incoming[:size])
        del self.incoming[:size]
        return data

    def send(self, data: bytes) -> int:
        self.outgoing += data
        return len(data)

    def sendall(self, data: bytes) -> None:
        self.outgoing += data

    def close(self) -> None:
        self.incoming.clear()


class Tlslite:
    """tlslite-ng, driven step by step."""

    def __init__(self, module: Any, start: str, options: dict[str, Any]) -> None:
        self.wire = Wire()
        self.connection = module.TLSConnection(self.wire)
        self.connection.closeSocket = False
        self.handshake = getattr(self.connection, start)(**options)

    def _run(self, steps: Iterable[Any]) -> Any:
        """Whatever is reached before the wire is empty."""
        for step in steps:
            if step != 1:
                return step
        return None

    def _outgoing(self) -> bytes:
        data = bytes(self.wire.outgoing)
        self.wire.outgoing.clear()
        return data

    def feed(self, data: bytes) -> bytes:
        self.wire.incoming += data
        self._run(self.handshake)
        return self._outgoing()

    def seal(self, data: bytes) -> bytes:
        self._run(self.connection.writeAsync(data))
        return self._outgoing()

    def open(self, data: bytes) -> int:
        self.wire.incoming += data
        total = 0
        while opened := self._run(self.connection.readAsync(max=65536, min=1)):
            total += len(opened)
        return total

    def facts(self) -> tuple[str, str, bool]:
        suite = import_module("tlslite.constants").CipherSuite.ietfNames[self.connection.session.cipherSuite]
        return {(3, 4): "TLSv1.3"}.get(self.connection.version, "older"), suite, self.connection.resumed


def tlslite_sides(pki: Pki, *, mutual: bool) -> Pair:
    """The client and the server of tlslite-ng."""
    api: Any = import_module("tlslite.api")
    settings = api.HandshakeSettings()
    settings.minVersion = settings.maxVersion = (3, 4)
    settings.cipherNames, settings.eccCurves, settings.keyShares = ["aes128gcm"], ["x25519", "secp256r1"], ["x25519"]
    settings.ticket_count = 0
    settings.certificate_compression_send = []  # it compresses its certificate for peers that did not offer it

    def identity(issued: Any) -> dict[str, Any]:
        chain = api.X509CertChain()
        chain.parsePemList(issued.cert_pem.decode())
        return {"certChain": chain, "privateKey": api.parsePEMKey(issued.key_pem.decode(), private=True)}

    ours = {"settings": settings, "serverName": NAME, "async_": True} | (identity(pki.client) if mutual else {})
    theirs = {"settings": settings, "reqCert": mutual, **identity(pki.server)}
    return (
        lambda: Tlslite(api, "handshakeClientCert", ours),
        lambda: Tlslite(api, "handshakeServerAsync", theirs),
    )


OPTIONAL = {
    "rtls": Implementation("rtls", rtls_sides, mutual_server=False, note="rustls; its server asks for no certificate"),
    "utls": Implementation("utls", utls_sides, note="BoringSSL"),
    "aioquic": Implementation(
        "aioquic",
        aioquic_sides,
        mutual_server=False,
        mutual_client=False,
        own_peer=True,
        largest=0,
        note="no records: its handshakes are cheaper by their protection; no client certificates",
    ),
    "tlslite": Implementation("tlslite-ng", tlslite_sides, slow=True, largest=16 * 1024, note="cryptography in Python"),
}


def installed() -> list[Implementation]:
    """Those that this Python finds."""
    return [implementation for module, implementation in OPTIONAL.items() if find_spec(module)]


def missing() -> list[str]:
    """The names of the others."""
    return [implementation.name for module, implementation in OPTIONAL.items() if not find_spec(module)]
