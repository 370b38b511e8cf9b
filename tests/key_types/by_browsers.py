"""What Chromium and Firefox take: a page with a picture from each of many servers, and who came to which.

The servers are of the OpenSSL that ``cryptography`` brings; the proof is a request that comes through the handshake.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from typing import TYPE_CHECKING

from tests import browsers
from tests.peers import RESPONSE, ClientAuth, Options
from tests.waiting import TEST_LIMIT

from .sets import KINDS, PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from OpenSSL import SSL

    from .programs import Sets

VERSIONS = ("1.3", "1.2")


class Servers:
    """A server for each kind and version, and the kinds and versions of those that were asked for something."""

    def __init__(self) -> None:
        self.met: set[tuple[str, str]] = set()
        self.ports: list[int] = []

    @contextlib.contextmanager
    def serving(self, name: tuple[str, str], options: Options) -> Iterator[None]:
        """One of them, on a port of its own."""
        from OpenSSL import SSL

        from tests.peers.pyopenssl import make_context

        context = make_context(options, SSL.TLS_SERVER_METHOD)
        if options.client_auth is ClientAuth.REQUIRE:
            context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
            context.load_client_ca(str(options.trust).encode())
        context.set_session_id(b"handfast")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.ports.append(listener.getsockname()[1])
            threading.Thread(target=self._accept, args=(listener, context, name), daemon=True).start()
            yield

    def _accept(self, listener: socket.socket, context: SSL.Context, name: tuple[str, str]) -> None:
        with contextlib.suppress(OSError):
            while True:
                arguments = (listener.accept()[0], context, name)
                threading.Thread(target=self._answer, args=arguments, daemon=True).start()

    def _answer(self, tcp: socket.socket, context: SSL.Context, name: tuple[str, str]) -> None:
        from OpenSSL import SSL

        with contextlib.suppress(SSL.Error, OSError), tcp:
            connection = SSL.Connection(context, tcp)
            connection.set_accept_state()
            if connection.recv(4096).startswith(b"GET "):
                self.met.add(name)
                connection.sendall(RESPONSE)
                connection.shutdown()


def give(name: str, home: Path, sets: Sets) -> None:
    """A browser the CA and the client's certificate of each kind, as far as NSS takes them."""
    directory = browsers.database(name, home)
    for kind, one in sets.items():
        browsers.tell_database(directory, "certutil", "-A", "-n", kind, "-t", "C,,", "-i", one.ca, check=False)
        if one.bundle.exists():
            words = ("-W", PASSWORD, "-K", "")
            browsers.tell_database(directory, "pk12util", "-i", one.bundle, *words, check=False)


def visited(browser: str, sets: Sets, home: Path, options: dict[tuple[str, str], Options]) -> set[tuple[str, str]]:
    """The names of the servers, told by these options, from which the browser fetched its picture."""
    home.mkdir(parents=True)
    servers = Servers()
    with contextlib.ExitStack() as running:
        for name, one in options.items():
            running.enter_context(servers.serving(name, one))
        page = home / "page.html"
        page.write_text("".join(f'<img src="https://localhost:{port}/">\n' for port in servers.ports))
        give(browser, home, sets)
        command = browsers.command(browser, home, page.as_uri())
        subprocess.run(command, env={**os.environ, "HOME": str(home)}, capture_output=True, timeout=TEST_LIMIT)
    return servers.met


def measured(browser: str, sets: Sets, home: Path) -> dict[str, set[tuple[str, str]]]:
    """By what it takes and what it shows: the kinds and versions."""
    usual = sets[KINDS[0]]
    takes, shows = {}, {}
    for kind, one in sets.items():
        for version in VERSIONS:
            takes[kind, version] = Options(
                certificate=one.certificate("server"), key=one.key("server"), version=version
            )  # fmt: skip
            shows[kind, version] = Options(
                certificate=usual.certificate("server"), key=usual.key("server"), trust=one.ca,
                client_auth=ClientAuth.REQUIRE, version=version,
            )  # fmt: skip
    return {
        "takes a server's": visited(browser, sets, home / "takes", takes),
        "shows a client's": visited(browser, sets, home / "shows", shows),
    }
