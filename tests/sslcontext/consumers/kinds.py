"""The contexts of a consumer's two ends, and the list of consumers."""

from __future__ import annotations

import ssl
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

PAIRINGS = ("ours", "stock-server", "stock-client")
BIG = 3_000_000

CONSUMERS: dict[str, Callable[[Contexts], object]] = {}
# What talks to a server that is a program of its own: there is one pairing.
CLIENT_ONLY: set[str] = set()


def consumer(act: Callable[[Contexts], object]) -> Callable[[Contexts], object]:
    CONSUMERS[act.__name__] = act
    return act


def client_only(act: Callable[[Contexts], object]) -> Callable[[Contexts], object]:
    CLIENT_ONLY.add(act.__name__)
    return consumer(act)


class Contexts:
    """Makes the contexts of both ends out of the files of a folder."""

    def __init__(self, pairing: str, folder: str) -> None:
        self.pairing, self.folder = pairing, Path(folder)

    def file(self, name: str) -> str:
        return str(self.folder / name)

    def _kind(self, stock: bool) -> type[ssl.SSLContext]:
        # Loaded here, so that the list of consumers can be read without it.
        from handfast.io.sslcontext.context import SSLContext

        return ssl.SSLContext if stock else SSLContext

    def server(self, *alpn: str, verify: ssl.VerifyMode = ssl.CERT_OPTIONAL) -> Any:
        context = self._kind(self.pairing == "stock-server")(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file("server.pem"), self.file("server.key"))
        context.load_verify_locations(self.file("ca.pem"))
        context.verify_mode = verify
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context

    def client(self, *alpn: str, certificate: bool = True, ca: str = "ca.pem") -> Any:
        context = self._kind(self.pairing == "stock-client")(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.file(ca))
        if certificate:
            context.load_cert_chain(self.file("client.pem"), self.file("client.key"))
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context


class Handler(BaseHTTPRequestHandler):
    """Says who the client is; ``/big`` is three megabytes, CONNECT is a proxy's."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        taken = len(self.rfile.read(length))
        connection: Any = self.connection
        subject = str((connection.getpeercert() or {}).get("subject"))
        answer = bytes(BIG) if self.path.startswith("/big") else f"{subject} {taken}".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET

    def do_CONNECT(self) -> None:
        import socket

        host, port = self.path.rsplit(":", 1)
        upstream = socket.create_connection((host, int(port)))
        self.send_response(200)
        self.end_headers()
        self.wfile.flush()
        threading.Thread(target=copy, args=(upstream, self.connection), daemon=True).start()
        copy(self.connection, upstream)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


def copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(2)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    context: Any

    def get_request(self) -> tuple[Any, Any]:
        accepted, address = self.socket.accept()
        return self.context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, *_: Any) -> None:
        pass


def http_server(context: Any) -> int:
    """A server in threads; its port."""
    server = Server(("127.0.0.1", 0), Handler)
    server.context = context
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return int(server.server_address[1])


def refusal(act: Callable[[], object], *words: str) -> str:
    """What ``act`` raises, whose text holds all of ``words``."""
    try:
        act()
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        assert all(word in text for word in words), text
        return text
    raise AssertionError("it was not refused")
