"""pyOpenSSL, on the OpenSSL that `cryptography` brings: a newer one than the system's."""

from __future__ import annotations

import contextlib
import functools
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Self

import pytest

from tests.peers.base import (
    EXPORT_LENGTH,
    Cannot,
    ClientAuth,
    KeyUpdate,
    Options,
    Outcome,
    ThreadClient,
    ThreadPeer,
    ThreadServer,
    is_whole,
    lingering,
)
from tests.peers.openssl import rfc_group, rfc_suite, spell_version, suite_lists

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from OpenSSL import SSL


def make_context(options: Options, method: int) -> SSL.Context:
    """A context with what both roles share. Raises Cannot."""
    from OpenSSL import SSL

    if options.groups:
        raise Cannot("pyOpenSSL cannot choose groups")
    if options.schemes:
        raise Cannot("pyOpenSSL cannot choose signature schemes")
    if options.key_update is not KeyUpdate.NONE:
        raise Cannot("pyOpenSSL has no call that changes keys")
    if options.later:
        raise Cannot("pyOpenSSL has no call for authentication after the handshake")
    if options.extra:
        raise Cannot("pyOpenSSL is no program with arguments")
    context = SSL.Context(method)
    if options.version:
        version = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}[options.version]
        context.set_min_proto_version(version)
        context.set_max_proto_version(version)
    for choose, suites in zip(
        (context.set_tls13_ciphersuites, context.set_cipher_list), suite_lists(options.suites), strict=True
    ):
        if suites:
            choose(suites.encode())
    if options.certificate:
        context.use_certificate_chain_file(str(options.certificate))
        context.use_privatekey_file(str(options.key))
    if options.trust:
        context.load_verify_locations(str(options.trust))
    if options.keylog:
        context.set_keylog_callback(functools.partial(_append, options))
    return context


def _append(options: Options, _: SSL.Connection, line: bytes) -> None:
    assert options.keylog is not None
    with options.keylog.open("ab") as file:
        file.write(line + b"\n")


class PyOpenSSLPeer(ThreadPeer, ABC):
    """A pyOpenSSL connection over memory, driven by one thread, so that waits keep the socket's time limit."""

    name = "pyopenssl"
    no_early_data = "pyOpenSSL has no call for early data"

    def __enter__(self) -> Self:
        pytest.importorskip("OpenSSL.SSL")
        self._context = self.make_context()
        return super().__enter__()

    @abstractmethod
    def make_context(self) -> SSL.Context: ...

    def drive(self, connection: SSL.Connection, tcp: socket.socket, step: Callable[[], Any]) -> Any:
        """Does one step, with all the reading and writing that it takes."""
        from OpenSSL import SSL

        while True:
            try:
                return step()
            except SSL.WantReadError:
                pass
            finally:
                # Whoever is gone reads no more; why it is gone comes with the next read.
                with contextlib.suppress(SSL.WantReadError, ConnectionError):
                    while data := connection.bio_read(65536):
                        tcp.sendall(data)
            if data := tcp.recv(65536):
                connection.bio_write(data)
            else:
                connection.bio_shutdown()

    def read_until(self, connection: SSL.Connection, tcp: socket.socket, enough: Callable[[bytes], bool]) -> bytes:
        from OpenSSL import SSL

        received = b""
        with contextlib.suppress(SSL.ZeroReturnError):
            while not enough(received):
                received += self.drive(connection, tcp, lambda: connection.recv(65536))
        return received

    def seen(self, connection: SSL.Connection, received: bytes) -> Outcome:
        certificate = connection.get_peer_certificate(as_cryptography=True)
        return Outcome(
            ok=True,
            error="",
            text=repr(certificate),
            received=received,
            version=spell_version(connection.get_protocol_version_name()),
            suite=rfc_suite(connection.get_cipher_name()),
            group=rfc_group(connection.get_group_name()),
            application_protocol=connection.get_alpn_proto_negotiated().decode() or None,
            peer_subject=certificate.subject.rfc4514_string() if certificate else "",
            ca_names=self.ca_names(connection),
            server_name=(connection.get_servername() or b"").decode() or None,
            exported=self.exported(connection),
        )

    def exported(self, connection: SSL.Connection) -> str | None:
        label = self.options.export
        return connection.export_keying_material(label.encode(), EXPORT_LENGTH).hex() if label else None

    def ca_names(self, connection: SSL.Connection) -> tuple[str, ...] | None:
        return None


class PyOpenSSLServer(PyOpenSSLPeer, ThreadServer):
    """Closes first, and cleanly. Its CA names are the subjects of ``trust``."""

    def make_context(self) -> SSL.Context:
        from OpenSSL import SSL

        context = make_context(self.options, SSL.TLS_SERVER_METHOD)
        mode = {
            ClientAuth.NONE: SSL.VERIFY_NONE,
            ClientAuth.REQUEST: SSL.VERIFY_PEER,
            ClientAuth.REQUIRE: SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
        }[self.options.client_auth]
        context.set_verify(mode)
        context.set_session_id(b"handfast")
        if self.options.trust:
            context.load_client_ca(str(self.options.trust).encode())
        if self.options.application_protocols:
            context.set_alpn_select_callback(self._select)
        return context

    def _select(self, _: SSL.Connection, offered: list[bytes]) -> Any:
        from OpenSSL import SSL

        ours = [protocol.encode() for protocol in self.options.application_protocols]
        return next((protocol for protocol in ours if protocol in offered), SSL.NO_OVERLAPPING_PROTOCOLS)

    def converse(self) -> Outcome:
        return [self._converse_once() for _ in range(self.options.connections)][-1]

    def _converse_once(self) -> Outcome:
        from OpenSSL import SSL

        with self.accept() as tcp:
            connection = SSL.Connection(self._context, None)
            connection.set_accept_state()
            with lingering(tcp):
                self.drive(connection, tcp, connection.do_handshake)
            request = self.read_until(connection, tcp, lambda received: received.endswith(b"\r\n\r\n"))
            self.drive(connection, tcp, lambda: connection.sendall(self.options.response))
            outcome = self.seen(connection, request)
            self.drive(connection, tcp, connection.shutdown)
            return outcome


class PyOpenSSLClient(PyOpenSSLPeer, ThreadClient):
    """Verifies the chain and not the name: pyOpenSSL leaves that to others."""

    def make_context(self) -> SSL.Context:
        from OpenSSL import SSL

        context = make_context(self.options, SSL.TLS_CLIENT_METHOD)
        context.set_verify(SSL.VERIFY_PEER if self.options.trust else SSL.VERIFY_NONE)
        if self.options.application_protocols:
            context.set_alpn_protos([protocol.encode() for protocol in self.options.application_protocols])
        return context

    def converse(self) -> Outcome:
        self._session: SSL.Session | None = None
        return [self._converse_once() for _ in range(self.options.connections)][-1]

    def _converse_once(self) -> Outcome:
        from OpenSSL import SSL

        with self.connect() as tcp:
            connection = SSL.Connection(self._context, None)
            connection.set_connect_state()
            if self._session is not None:
                connection.set_session(self._session)
            if self.options.server_name:
                connection.set_tlsext_host_name(self.options.server_name.encode())
            self.drive(connection, tcp, connection.do_handshake)
            self.drive(connection, tcp, lambda: connection.sendall(self.options.request))
            response = self.read_until(connection, tcp, is_whole)
            self._session = connection.get_session()
            outcome = self.seen(connection, response)
            self.drive(connection, tcp, connection.shutdown)
            return outcome

    def ca_names(self, connection: SSL.Connection) -> tuple[str, ...] | None:
        names = (name.get_components() for name in connection.get_client_ca_list())
        return tuple(",".join(f"{key.decode()}={value.decode()}" for key, value in name) for name in names)
