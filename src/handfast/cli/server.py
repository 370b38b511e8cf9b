"""What ``handfast serve`` runs: a thread per connection, each of which is one conversation, HTTP or a chat."""

from __future__ import annotations

import errno
import os
import select
import threading
import time
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from handfast import limits
from handfast.cli import http, ui, verdict_words, whoami
from handfast.cli.patience import Patient
from handfast.errors import HandfastError, bad_option
from handfast.fork import renew_in_children
from handfast.io import sockets
from handfast.io.failure_log import address_text
from handfast.registry import ProtocolVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from handfast.cli.lenses import Lenses
    from handfast.engine import ClientAuth, ConnectionInfo, ServerConfig
    from handfast.events import Observer, SecretSink
    from handfast.lens.outcome import Outcome

    Answer = Callable[[ConnectionInfo, http.Request], http.Reply]

HTTP2 = "h2"
_ACCEPT_PAUSE = 0.05


def listener_for(
    host: str, port: int, config: ServerConfig, server: Server, *, endless: bool = False
) -> sockets.Listener:
    """Listens on the address for ``server``. Raises ConfigError when it cannot be had.

    With ``endless`` a client may be silent for any time.
    """
    idle = None if endless else limits.HTTP_IDLE_TIMEOUT
    with taken(host, port):
        listener = sockets.listen(host, port, config, timeout=idle, observe=server.watch)
    listener.plain_http_answer = http.plain_http_answer(listener.address)
    return listener


@contextmanager
def taken(host: str, port: int) -> Iterator[None]:
    """OSError, for an address that cannot be had, as ConfigError."""
    try:
        yield
    except OSError as error:
        raise bad_option("--listen", f"{host}:{port}: {ui.reason(error)}", "give another address, or port 0") from None


class Server:
    """A thread per connection, and no more of them than a limit.

    With ``later``, clients are asked for their certificate at their first request, and under this mode. ``say`` is told
    of connections, ``access`` of requests. ``answer_with`` makes the replies; ``talk`` is for what is no HTTP.
    """

    _room: threading.BoundedSemaphore
    _state: threading.Lock
    # Of the connection that was accepted last.
    _accepted: Outcome

    def __init__(
        self,
        lenses: Lenses,
        say: Callable[[str], None] = ui.note,
        *,
        key_update: bool = False,
        later: ClientAuth | None = None,
        access: Callable[[str], None] = ui.note,
        answer_with: Answer | None = None,
        talk: Callable[[sockets.TLSSocket], None] | None = None,
    ) -> None:
        self._lenses = lenses
        self._key_update = key_update
        self._said_no_update = False
        self._say = say
        self._access = access
        self._later = later
        self._answer = answer_with or answer
        self._talk = talk
        renew_in_children(
            self, _room=partial(threading.BoundedSemaphore, limits.SERVE_CONNECTIONS), _state=threading.Lock
        )
        self._listening: Any = None
        self._threads: dict[sockets.TLSSocket, threading.Thread] = {}
        self.failures = 0
        """Connections that did not come off."""

    def watch(self, address: Any) -> tuple[list[Observer], list[SecretSink]]:
        """The lenses of the connection that is being accepted."""
        outcome, observers, sinks = self._lenses.watch()
        self._lenses.record(address, http.reached(self._listening, address), observers, sinks)
        self._accepted = outcome
        return observers, sinks

    def run(self, listener: sockets.Listener, most: int | None = None) -> None:
        """Accept connections until interrupted, or until the listener is closed; or ``most``, and see them through."""
        self._listening = listener.address
        accepted = 0
        while accepted != most:
            self._room.acquire()
            try:
                _wait_for_client(listener)
                tls = listener.accept()
            except OSError:
                if listener.fileno() < 0:
                    return
                # The client was gone before we could accept it, or this process has too many files open for now.
                self._room.release()
                time.sleep(_ACCEPT_PAUSE)
                continue
            accepted += 1
            thread = threading.Thread(target=self._handle, args=(tls, self._accepted), daemon=True)
            with self._state:
                self._threads[tls] = thread
            thread.start()
        listener.close()
        for thread in self._open().values():
            thread.join()

    def close(self) -> None:
        """End all connections in order, within a bounded time."""
        closing = [threading.Thread(target=tls.close, daemon=True) for tls in self._open() if tls.info.complete]
        end = time.monotonic() + limits.SHUTDOWN_TIMEOUT
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join(max(end - time.monotonic(), 0.0))

    def _open(self) -> dict[sockets.TLSSocket, threading.Thread]:
        with self._state:
            return dict(self._threads)

    def _handle(self, tls: sockets.TLSSocket, outcome: Outcome) -> None:
        came_off = False
        try:
            with tls:
                tls.handshake()
                self._say(f"{address_text(tls.peer_address)}: {verdict_words.verdict_line(outcome)}")
                came_off = self._converse(tls, outcome)
        except HandfastError as error:
            # A failed handshake is in the log.
            self._lenses.tell(outcome, verdict_words.verdict_line(outcome, error), failed=True, error=error)
            return
        finally:
            # Before the thread is forgotten, which ``run`` waits for; and a full disk takes up no room for ever.
            try:
                self._lenses.tell(outcome, verdict_words.verdict_line(outcome), failed=not came_off)
            finally:
                with self._state:
                    del self._threads[tls]
                    self.failures += not came_off
                self._room.release()

    def _update_keys(self, tls: sockets.TLSSocket) -> None:
        """Change the keys of both directions; of TLS 1.2, which cannot, say so once."""
        if tls.info.version == ProtocolVersion.TLS13:
            tls.update_keys(request=True)
            return
        with self._state:
            said, self._said_no_update = self._said_no_update, True
        if not said:
            ui.warn("--key-update: TLS 1.2 has no KeyUpdate; clients that speak it keep their keys")

    def _converse(self, tls: sockets.TLSSocket, outcome: Outcome) -> bool:
        """Whether the conversation ended in order; after HTTP a client may leave as it likes: it has what it wants."""
        try:
            if self._key_update:
                self._update_keys(tls)
            if self._talk is not None:
                self._talk(tls)
                return True
        except HandfastError as error:
            self._say(f"{address_text(tls.peer_address)}: {error.what}")
            return False
        refused: list[HandfastError] = []

        def reply(request: http.Request) -> http.Reply:
            try:
                return self._reply(tls, outcome, request)
            except HandfastError as error:
                refused.append(error)
                raise

        with suppress(HandfastError):
            if tls.info.application_protocol == HTTP2:
                from handfast.cli import serve_h2

                serve_h2.serve(Patient(tls), reply, self._access_log(tls))
            else:
                patient = Patient(tls)
                http.serve(patient, reply, self._access_log(tls), allow=patient.allow)
        return not refused

    def _access_log(self, tls: sockets.TLSSocket) -> Callable[[str, str, int], None]:
        """The access log: where from, when, what, how it was answered, and who."""
        client = address_text(tls.peer_address)

        def log(method: str, target: str, status: int) -> None:
            self._access(http.access_line(client, method, target, status, whoami.in_log(tls.info)))

        return log

    def _reply(self, tls: sockets.TLSSocket, outcome: Outcome, request: http.Request) -> http.Reply:
        mode, info = self._later, tls.info
        if mode is None or info.client_auth_requested:
            return self._answer(info, request)
        if info.post_handshake_auth:
            try:
                tls.request_client_certificate(client_auth=mode)
            except HandfastError as error:
                self._say(f"{address_text(tls.peer_address)}: {verdict_words.verdict_line(outcome, error)}")
                raise
            self._say(f"{address_text(tls.peer_address)}: {verdict_words.verdict_line(outcome)}")
        elif mode.requires_certificate:
            return http.Reply(
                403,
                b"a certificate is asked for after the handshake, and your client does not offer it\n"
                b"(handfast connect offers it with --post-handshake-auth, in TLS 1.3)\n",
            )
        return self._answer(tls.info, request)


def _wait_for_client(listener: sockets.Listener) -> None:
    """Until a client is there, or the listener is closed. Raises OSError where it was closed before.

    In steps, for the sake of Ctrl-C: see ui.SIGNALS_ARE_LOOKED_FOR.
    """
    if listener.fileno() < 0:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    clients = select.poll()
    clients.register(listener.fileno(), select.POLLIN)
    while not clients.poll(ui.SIGNALS_ARE_LOOKED_FOR * 1000):
        pass


def answer(info: ConnectionInfo, request: http.Request) -> http.Reply:
    """The reply to one request of the client that ``info`` describes: who it is."""
    match request.path, request.method:
        case "/", "GET" | "HEAD":
            return http.Reply(200, whoami.in_words(info).encode())
        case "/whoami", "GET" | "HEAD":
            import json

            return http.Reply(200, (json.dumps(whoami.as_json(info), indent=2) + "\n").encode(), "application/json")
        case "/print", "POST":
            return http.Reply(200, request.body, "application/octet-stream")
        case "/" | "/whoami" | "/print", _:
            return http.Reply(405, b"/ and /whoami are for GET, /print is for POST\n")
    return http.Reply(404, b"there are /, /whoami and /print\n")
