"""Making the connections of an endpoint and doing on each what its options say."""

from __future__ import annotations

import os
import socket
import struct
from contextlib import closing, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

from handfast import limits
from handfast.engine import ClientConfig, ClientConnection, ConnectionInfo, ServerConnection
from handfast.errors import ApiMisuse, ConnectionLost, HandfastError, bad_option
from handfast.io.sockets import TLSSocket
from handfast.lens import verdict_line as verdict
from handfast.lens.keylog import KeyLog, open_key_log
from handfast.outcome.certificate_words import DESCRIBER
from handfast.roles import Role
from handfast.tools.endpoint.answers import wait_for_answer
from handfast.tools.endpoint.options import Address, KeyUpdate, Options, Shutdown
from handfast.tools.endpoint.report import (
    Exported,
    Failure,
    FatalAlert,
    Judgement,
    Negotiated,
    Notes,
    Outcome,
    PresentedCertificate,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from handfast.engine import Connection
    from handfast.events import Observer, SecretSink

_XOR_FF = bytes(byte ^ 0xFF for byte in range(256))
# struct linger: on, zero seconds. Closing then sends a reset and drops what was not sent.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def run(options: Options, *, listening: Callable[[Address], object] | None = None) -> Outcome:
    """Make one connection and say what came of it; ``listening`` is called with the address before the wait on it.

    Raises ConfigError and ApiMisuse for what is this side's own and known before anything is sent.
    """
    with closing(run_each(options, listening=listening)) as outcomes:
        return next(outcomes)


def run_each(
    options: Options, *, listening: Callable[[Address], object] | None = None
) -> Generator[Outcome, None, None]:
    """Make ``options.count`` connections, one after the other, each as in ``run``."""
    with _secret_sinks(options) as sinks, _transports(options, listening) as next_transport:
        for _ in range(options.count):
            try:
                transport = next_transport()
            except ConnectionLost as error:
                yield _never_connected(options, error)
                continue
            with transport:
                outcome = _Conversation(options, transport, sinks).hold()
            yield outcome


@contextmanager
def _secret_sinks(options: Options) -> Iterator[Sequence[SecretSink]]:
    with nullcontext() if options.keylog is None else open_key_log(options.keylog) as file:
        yield () if file is None else (KeyLog(lambda line: file.write(line.encode("ascii"))),)


@contextmanager
def _transports(
    options: Options, listening: Callable[[Address], object] | None
) -> Iterator[Callable[[], socket.socket]]:
    """What makes the next connected socket, or raises ConnectionLost."""
    if options.connect is not None:
        address = options.connect
        yield lambda: _connect(address, options.timeout)
    elif options.listen is not None:
        with _listener(options.listen) as listener:
            listener.settimeout(options.timeout)
            if listening is not None:
                listening(Address(*listener.getsockname()[:2]))
            yield lambda: _accept(listener, options.timeout)


def _connect(address: Address, timeout: float) -> socket.socket:
    try:
        return socket.create_connection(address, timeout)
    except (OSError, UnicodeError) as error:
        # A host name that no resolver can be asked for is a UnicodeError.
        reason = getattr(error, "strerror", None) or str(error)
        raise ConnectionLost("connect_failed", address=address, reason=reason) from None


def _listener(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server(address, family=family)
    except (OSError, UnicodeError) as error:
        # create_server puts more into the text than a person needs.
        number = getattr(error, "errno", None) or 0
        why = os.strerror(number) if number > 0 else str(error)
        raise bad_option("--listen", f"cannot listen on {address}: {why}", "port 0 is any free one") from None


def _accept(listener: socket.socket, timeout: float) -> socket.socket:
    try:
        return listener.accept()[0]
    except TimeoutError:
        raise ConnectionLost("timeout", seconds=timeout) from None


class _Conversation:
    """One connection."""

    def __init__(self, options: Options, transport: socket.socket, sinks: Sequence[SecretSink]) -> None:
        self._options = options
        self._transport = transport
        self._notes = Notes(options.role)
        self._connection = self._engine(sinks)
        self._tls = TLSSocket(transport, self._connection, timeout=options.timeout, on_need=wait_for_answer)
        self._exported: tuple[Exported, ...] = ()
        self._received = bytearray()
        self._sent_bytes = 0
        self._close_notify_sent = False
        self._close_notify_received = False

    def _engine(self, sinks: Sequence[SecretSink]) -> Connection:
        options = self._options
        observers: list[Observer] = [self._notes, *options.observers] if options.watched else []
        if isinstance(options.config, ClientConfig):
            return ClientConnection(
                options.config,
                server_name=options.server_name,
                early_data=options.early_data,
                observers=observers,
                secret_sinks=sinks,
            )
        return ServerConnection(options.config, observers=observers, secret_sinks=sinks)

    def hold(self) -> Outcome:
        """Everything from the handshake to the end."""
        try:
            self._tls.handshake()
            self._talk()
            self._end()
        except HandfastError as error:
            # Whether the client can be asked later is the client's doing.
            if isinstance(error, ApiMisuse) and error.code != "cannot_request":
                raise
            return self._outcome(error)
        return self._outcome(None)

    def _talk(self) -> None:
        options = self._options
        self._exported = tuple(
            Exported(
                label=export.label,
                context="none" if export.context is None else export.context.hex(),
                length=export.length,
                value=self._tls.export(*export).hex(),
            )
            for export in options.exports
        )
        if options.key_update is not KeyUpdate.NONE:
            self._tls.update_keys(request=options.key_update is KeyUpdate.REQUEST)
        if options.require_later is not None:
            self._tls.request_client_certificate(client_auth=options.require_later)
        if options.echo_xor:
            self._echo()
        elif options.role is Role.CLIENT:
            self._send(options.send)
            self._read()
        else:
            self._read()
            self._send(options.send)

    def _echo(self) -> None:
        while data := self._receive():
            self._send(data.translate(_XOR_FF))

    def _read(self) -> None:
        expected = self._options.expect_bytes
        while len(self._received) < expected:
            if not self._receive():
                raise ConnectionLost("closed_early", received=len(self._received), expected=expected)

    def _receive(self) -> bytes:
        data = self._tls.recv()
        self._received += data
        self._close_notify_received = not data
        return data

    def _send(self, data: bytes) -> None:
        self._tls.sendall(data)
        self._sent_bytes += len(data)

    def _end(self) -> None:
        shutdown = self._options.shutdown
        if shutdown is Shutdown.RESET:
            self._transport.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        if shutdown is Shutdown.FOLLOW:
            self._read_to_the_end()
        if shutdown not in (Shutdown.NONE, Shutdown.RESET):
            self._tls.shutdown_write()
            self._close_notify_sent = True
        if shutdown is Shutdown.WAIT:
            self._read_to_the_end()
        if shutdown is Shutdown.NONE:
            self._end_transport()
        self._transport.close()

    def _read_to_the_end(self) -> None:
        while self._receive():
            pass

    def _end_transport(self) -> None:
        """The end of TCP in order. Closed with something unread, the socket would send a reset instead."""
        self._transport.settimeout(limits.LINGER_TIMEOUT)
        with suppress(OSError):
            self._transport.shutdown(socket.SHUT_WR)
            while self._transport.recv(limits.LINGER_BYTES):
                pass

    def _outcome(self, error: HandfastError | None) -> Outcome:
        options, notes, info = self._options, self._notes, self._connection.info
        words = cause = advice = None
        if options.watched:
            words, found = verdict.line(notes.seen, error, DESCRIBER), notes.seen.cause(error)
            cause = None if found is None else found.code.value
            advice = verdict.hint(notes.seen, error, DESCRIBER) or None
        return Outcome(
            role=options.role,
            peer_address=_shown_address(self._tls.peer_address),
            handshake_complete=info.complete,
            error=None if error is None else Failure.of(error),
            alert=notes.alert or FatalAlert.behind(error),
            close_notify_sent=self._close_notify_sent,
            close_notify_received=self._close_notify_received,
            negotiated=Negotiated.of(info),
            chain=tuple(map(PresentedCertificate.of, info.peer_chain)),
            peer_verified=info.verified_peer is not None,
            verdict=None if info.peer is None else Judgement.of(info.peer.verdict),
            exported=self._exported,
            words=words,
            cause=cause,
            advice=advice,
            key_updates_sent=notes.key_updates[options.role.sends] if options.watched else None,
            key_updates_received=notes.key_updates[options.role.peer.sends] if options.watched else None,
            bytes_sent=self._sent_bytes,
            bytes_received=len(self._received),
            received=bytes(self._received),
        )


def _shown_address(address: object) -> str | None:
    return str(Address(*address[:2])) if isinstance(address, tuple) else None


def _never_connected(options: Options, error: ConnectionLost) -> Outcome:
    nothing = ConnectionInfo(options.role, server_name=options.server_name)
    return Outcome(role=options.role, error=Failure.of(error), negotiated=Negotiated.of(nothing))
