"""Python's ssl module, on the OpenSSL that this Python was built with."""

from __future__ import annotations

import contextlib
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from tests.peers.base import (
    Cannot,
    ClientAuth,
    KeyUpdate,
    Options,
    Outcome,
    ThreadClient,
    ThreadServer,
    is_whole,
    lingering,
)
from tests.peers.openssl import rfc_suite, suite_lists

if TYPE_CHECKING:
    from collections.abc import Callable

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
GROUPS = {"secp256r1": "prime256v1", "x25519": "X25519", "x448": "X448"}


def require_possible(options: Options) -> None:
    """Raises Cannot for what the module has no means for."""
    for asked, reason in (
        (suite_lists(options.suites)[0], "Python's ssl cannot choose TLS 1.3 suites before 3.15"),
        (options.schemes, "Python's ssl cannot choose signature schemes before 3.15"),
        (len(options.groups) > 1, "Python's ssl can choose one group, not several, before 3.15"),
        (options.key_update is not KeyUpdate.NONE, "Python's ssl has no call that changes keys"),
        (options.export, "Python's ssl exports no keying material"),
        (options.extra, "Python's ssl is no program with arguments"),
    ):
        if asked:
            raise Cannot(reason)


def configure(context: ssl.SSLContext, options: Options) -> None:
    """Applies what both roles share. Raises Cannot."""
    require_possible(options)
    # Debian 12's Python has it among its defaults.
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    if options.version:
        context.minimum_version = context.maximum_version = VERSIONS[options.version]
    if options.suites:
        context.set_ciphers(suite_lists(options.suites)[1])
    if options.certificate:
        context.load_cert_chain(options.certificate, options.key)
    if options.trust:
        context.load_verify_locations(options.trust)
    if options.application_protocols:
        context.set_alpn_protocols(list(options.application_protocols))
    if options.keylog:
        context.keylog_filename = str(options.keylog)
    for group in options.groups:
        try:
            context.set_ecdh_curve(GROUPS.get(group, group))
        except ValueError:
            raise Cannot(f"this Python's OpenSSL does not know {group}, or not by this call") from None


def seen(connection: ssl.SSLSocket, received: bytes) -> Outcome:
    """What there is to tell of a connection that went well."""
    cipher = connection.cipher()
    certificate = connection.getpeercert()
    return Outcome(
        ok=True,
        error="",
        text=repr(certificate),
        received=received,
        version=(connection.version() or "").removeprefix("TLSv"),
        suite=rfc_suite(cipher[0]) if cipher else None,
        application_protocol=connection.selected_alpn_protocol(),
        peer_subject=repr(certificate["subject"]) if certificate else "",
        resumed=connection.session_reused,
    )


def read_until(connection: ssl.SSLSocket, enough: Callable[[bytes], bool]) -> bytes:
    received = b""
    while not enough(received) and (data := connection.recv(65536)):
        received += data
    return received


def say_goodbye(connection: ssl.SSLSocket) -> None:
    """Sends close_notify. The peer's own may never come: not every peer answers before it closes."""
    with contextlib.suppress(OSError):
        connection.unwrap()


class PythonServer(ThreadServer):
    """An SSLSocket in a thread. Closes first, and cleanly."""

    name = "python"
    no_early_data = "Python's ssl has no call for early data"

    def __enter__(self) -> Self:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        configure(self._context, self.options)
        modes = {ClientAuth.NONE: ssl.CERT_NONE, ClientAuth.REQUEST: ssl.CERT_OPTIONAL}
        self._context.verify_mode = modes.get(self.options.client_auth, ssl.CERT_REQUIRED)
        # Then verify_mode speaks of what is asked later.
        self._context.post_handshake_auth = self.options.later
        self._server_name: str | None = None
        self._context.sni_callback = self._note_server_name
        return super().__enter__()

    def _note_server_name(self, _: ssl.SSLObject, name: str, __: ssl.SSLContext) -> None:
        self._server_name = name

    def converse(self) -> Outcome:
        return [self._converse_once() for _ in range(self.options.connections)][-1]

    def _converse_once(self) -> Outcome:
        with (
            self.accept() as tcp,
            self._context.wrap_socket(
                tcp, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=False
            ) as connection,
        ):
            self.opened = (connection,)
            with lingering(connection):
                connection.do_handshake()
            request = read_until(connection, lambda received: received.endswith(b"\r\n\r\n"))
            if self.options.later:
                connection.verify_client_post_handshake()
            connection.sendall(self.options.response)
            if self.options.later:
                # The client's answer is dealt with while something is read, here its close_notify.
                connection.recv(1)
            outcome = replace(seen(connection, request), server_name=self._server_name)
            say_goodbye(connection)
            return outcome


class PythonClient(ThreadClient):
    """An SSLSocket in a thread."""

    name = "python"
    no_early_data = "Python's ssl has no call for early data"

    def __enter__(self) -> Self:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = bool(self.options.trust and self.options.server_name)
        self._context.verify_mode = ssl.CERT_REQUIRED if self.options.trust else ssl.CERT_NONE
        configure(self._context, self.options)
        self._context.post_handshake_auth = self.options.later
        return super().__enter__()

    def converse(self) -> Outcome:
        self._session: ssl.SSLSession | None = None
        return [self._converse_once() for _ in range(self.options.connections)][-1]

    def _converse_once(self) -> Outcome:
        with (
            self.connect() as tcp,
            self._context.wrap_socket(
                tcp, server_hostname=self.options.server_name, suppress_ragged_eofs=False, session=self._session
            ) as connection,
        ):
            self.opened = (connection,)
            connection.sendall(self.options.request)
            response = read_until(connection, is_whole)
            self._session = connection.session
            outcome = seen(connection, response)
            say_goodbye(connection)
            return outcome
