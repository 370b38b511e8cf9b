"""Contexts and pairs of connections for the tests of the drop-in, ours and the stock ones."""

from __future__ import annotations

import functools
import hashlib
import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.x509.name import _ASN1Type

import handfast
from tests import certificates
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable

OURS: type[ssl.SSLContext] = handfast.SSLContext
STOCK = ssl.SSLContext


@functools.cache
def _below_an_intermediate() -> tuple[bytes, Any]:
    middle = certificates.ca().intermediate("Middle")
    return middle.certificate_pem, middle.server("localhost")


@functools.cache
def below_two() -> Any:
    """A server's certificate below two CAs, which its chain holds."""
    upper = certificates.ca().intermediate("Upper", path_length=1)
    return upper.intermediate("Lower").server("localhost")


class Files:
    """The files that both kinds of context load."""

    def __init__(self, directory: Path) -> None:
        self.ca = self._write(directory, "ca.pem", certificates.ca().certificate_pem)
        self.other_ca = self._write(directory, "other.pem", certificates.other_ca().certificate_pem)
        self.server = self._write(directory, "server.pem", certificates.server().cert_pem)
        self.server_key = self._write(directory, "server.key", certificates.server().key_pem)
        self.client = self._write(directory, "client.pem", certificates.client().cert_pem)
        self.client_key = self._write(directory, "client.key", certificates.client().key_pem)
        # An intermediate, and a server below it.
        middle, below = _below_an_intermediate()
        self.middle = self._write(directory, "middle.pem", middle)
        self.below = self._write(directory, "below.pem", below.cert_pem)
        self.below_key = self._write(directory, "below.key", below.key_pem)

    @staticmethod
    def _write(directory: Path, name: str, content: bytes) -> str:
        (directory / name).write_bytes(content)
        return str(directory / name)


def hashed(certificate_pem: bytes) -> str:
    """What OpenSSL calls a file with this CA, or with a list of its, in a directory: without the counter."""
    canonical = b""
    for part in x509.load_pem_x509_certificate(certificate_pem).subject.rdns:
        [one] = part
        text = " ".join(str(one.value).lower().split())
        canonical += x509.Name([x509.NameAttribute(one.oid, text, _ASN1Type.UTF8String)]).public_bytes()[2:]
    return f"{int.from_bytes(hashlib.sha1(canonical, usedforsecurity=False).digest()[:4], 'little'):08x}"


def context_of(kind: Any, protocol: int) -> Any:
    """A context that tells of an end without close_notify, on each Python: some ignore it unless they are told."""
    context = kind(protocol)
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    return context


def server_context(kind: Any, files: Files, *, verify: ssl.VerifyMode = ssl.CERT_NONE) -> Any:
    context = context_of(kind, ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.server, files.server_key)
    context.load_verify_locations(files.ca)
    context.verify_mode = verify
    return context


def client_context(kind: Any, files: Files, *, certificate: bool = False, ca: str = "") -> Any:
    context = context_of(kind, ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca or files.ca)
    if certificate:
        context.load_cert_chain(files.client, files.client_key)
    return context


class Pair:
    """Two ``SSLObject`` whose buffers are each other's."""

    def __init__(self, server: Any, client: Any, name: str | None = "localhost") -> None:
        self.to_server, self.to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = server.wrap_bio(self.to_server, self.to_client, server_side=True)
        self.client = client.wrap_bio(self.to_client, self.to_server, server_hostname=name)

    def shake_hands(self) -> Pair:
        """Let both go on until both are done; what they raise goes on to the caller."""
        waiting = [self.client, self.server]
        for _ in range(8):
            for one in tuple(waiting):
                with suppress(ssl.SSLWantReadError):
                    one.do_handshake()
                    waiting.remove(one)
        assert not waiting
        return self


class Sockets:
    """Two ``SSLSocket`` over a connection of the loopback; the server's handshake is in a thread."""

    def __init__(self, server: Any, client: Any, name: str = "localhost") -> None:
        self.errors: list[BaseException] = []
        self.server: Any = None
        self.client: Any = None
        with socket.create_server(("127.0.0.1", 0)) as listener:
            plain = socket.create_connection(listener.getsockname())
            accepted, _ = listener.accept()
        for one in (plain, accepted):
            one.settimeout(LIMIT)
        thread = threading.Thread(target=self._serve, args=(server, accepted))
        thread.start()
        try:
            self.client = client.wrap_socket(plain, server_hostname=name)
        except BaseException as error:
            self.errors.append(error)
        thread.join()

    def _serve(self, context: Any, accepted: socket.socket) -> None:
        try:
            self.server = context.wrap_socket(accepted, server_side=True)
        except BaseException as error:
            self.errors.append(error)

    def close(self) -> None:
        for one in (self.client, self.server):
            if one is not None:
                one.close()

    def __enter__(self) -> Sockets:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def both_at_once(*acts: Callable[[], object]) -> None:
    """Run each in a thread of its own; the first error goes on to the caller."""
    errors: list[BaseException] = []

    def run(act: Callable[[], object]) -> None:
        try:
            act()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
