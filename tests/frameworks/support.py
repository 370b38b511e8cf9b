"""What the tests with servers of others share: applications that tell what they are told, servers, and a client."""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import handfast
from handfast.contrib import ServerFiles
from tests import certificates
from tests.aio.support import client_config
from tests.waiting import LIMIT, OUR_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "frameworks"


def write_files(folder: Path, client_auth: str | None = None) -> ServerFiles:
    """A server's files below a folder."""
    server = certificates.server()
    contents = {
        "server.pem": server.cert_pem,
        "server.key": server.key_pem,
        "ca.pem": certificates.ca().certificate_pem,
    }
    for name, content in contents.items():
        (folder / name).touch(mode=0o600)
        (folder / name).write_bytes(content)
    return ServerFiles(
        certificate=folder / "server.pem",
        key=folder / "server.key",
        client_ca=folder / "ca.pem",
        client_auth=client_auth,
    )


async def tell(scope: dict[str, Any], receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
    """An application that answers with what its scope says of TLS, over HTTP and WebSocket."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    extensions = scope.get("extensions") or {}
    told = json.dumps({"scheme": scope["scheme"], "type": scope["type"], "tls": extensions.get("tls")})
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": told})
        await send({"type": "websocket.close"})
    else:
        headers = [(b"content-length", str(len(told)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": told.encode()})


async def _live(receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
    while (await receive())["type"] != "lifespan.shutdown":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})


class Lazy:
    """An application whose one worker is started in the first request, and answers all of them."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.work: asyncio.Queue[Any] | None = None
        self.worker: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await tell(scope, receive, send)
            if self.worker is not None:
                self.worker.cancel()
            return
        if self.work is None:
            self.work = asyncio.Queue()
            self.worker = asyncio.create_task(self.run(self.work))
        done = asyncio.get_running_loop().create_future()
        await self.work.put((done, scope, receive, send))
        await done

    async def run(self, work: asyncio.Queue[Any]) -> None:
        while True:
            done, *request = await work.get()
            await self.app(*request)
            done.set_result(None)


@contextmanager
def listening_socket() -> Iterator[socket.socket]:
    """A socket that takes connections from now on, before there is a server to accept them."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
        yield listening


def running(listening: socket.socket, serve: Callable[[], object]) -> threading.Thread:
    """A server in a thread. Where it does not start, its clients are refused, and need not wait."""

    def run() -> None:
        try:
            serve()
        finally:
            listening.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@contextmanager
def uvicorn_server(app: Any, **options: Any) -> Iterator[int]:
    """uvicorn in a thread of this process; its port."""
    import uvicorn

    config = uvicorn.Config(app, **{"log_config": None, "access_log": False, **options})
    server = uvicorn.Server(config)
    with listening_socket() as listening:
        port = listening.getsockname()[1]
        thread = running(listening, lambda: server.run(sockets=[listening]))
        try:
            yield port
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def hypercorn_server(app: Any, config: Any, loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> Iterator[int]:
    """hypercorn in a thread of this process; its port."""
    from hypercorn.asyncio import serve

    config.loglevel = "ERROR"
    loop, ending = loop_factory(), asyncio.Event()
    with listening_socket() as listening:
        port = listening.getsockname()[1]
        config.bind = [f"fd://{os.dup(listening.fileno())}"]
        thread = running(listening, lambda: loop.run_until_complete(serve(app, config, shutdown_trigger=ending.wait)))
        try:
            yield port
        finally:
            if thread.is_alive():
                loop.call_soon_threadsafe(ending.set)
            thread.join()
            loop.close()


@contextmanager
def hypercorn_on_trio(app: Any, config: Any) -> Iterator[int]:
    """hypercorn on trio, in a thread of this process; its port."""
    import trio
    from hypercorn.trio import serve

    config.loglevel = "ERROR"
    ending, tokens = trio.Event(), list[Any]()

    async def main() -> None:
        tokens.append(trio.lowlevel.current_trio_token())
        await serve(app, config, shutdown_trigger=ending.wait)

    with listening_socket() as listening:
        port = listening.getsockname()[1]
        config.bind = [f"fd://{os.dup(listening.fileno())}"]
        thread = running(listening, lambda: trio.run(main))
        try:
            yield port
        finally:
            if thread.is_alive():
                tokens[0].run_sync_soon(ending.set)
            thread.join()


@contextmanager
def program(source: str, folder: Path, *arguments: object) -> Iterator[int]:
    """A program that serves, in a process of its own, given a folder; it prints its port first."""
    path = folder / "program.py"
    path.write_text(source)
    command = [sys.executable, str(path), str(folder), *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.terminate()
            process.communicate(timeout=LIMIT)


class Answer(NamedTuple):
    """What a server answered."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def connection(port: int, **options: Any) -> handfast.TLSSocket:
    """A connection to a test's server, by the client that ``options`` describe."""
    return handfast.connect("127.0.0.1", port, client_config(**options), server_name="localhost", timeout=OUR_LIMIT)


def ask(tls: handfast.TLSSocket, path: str = "/", *, headers: str = "") -> Answer:
    """One request of HTTP/1.1, whose answer says how long it is or ends the connection."""
    tls.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode())
    read = _Reader(tls)
    status, fields = read.head()
    length = fields.get("content-length")
    if fields.get("transfer-encoding") == "chunked":
        return Answer(status, read.chunks())
    return Answer(status, read.all() if length is None else read.exactly(int(length)))


def get(port: int, path: str = "/", **options: Any) -> Answer:
    """One request on a connection of its own."""
    with connection(port, **options) as tls:
        return ask(tls, path, headers="Connection: close\r\n")


def ask_http2(tls: handfast.TLSSocket, path: str = "/") -> Answer:
    """One request of HTTP/2."""
    import h2.connection
    import h2.events

    http = h2.connection.H2Connection()
    http.initiate_connection()
    fields = [(":method", "GET"), (":authority", "localhost"), (":scheme", "https"), (":path", path)]
    http.send_headers(http.get_next_available_stream_id(), fields, end_stream=True)
    status, body = 0, b""
    while True:
        tls.sendall(http.data_to_send())
        for event in http.receive_data(tls.recv()):
            if isinstance(event, h2.events.ResponseReceived):
                status = int(dict(event.headers)[b":status"])
            elif isinstance(event, h2.events.DataReceived):
                body += event.data
            elif isinstance(event, h2.events.StreamEnded):
                return Answer(status, body)


def example_app(name: str, attribute: str) -> Any:
    """The application of one of the examples with frameworks."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        return getattr(importlib.import_module(name), attribute)
    finally:
        sys.path.pop(0)


class Refused(Exception):
    """A WebSocket was not accepted; the status says why."""


def websocket_text(port: int, path: str = "/", **options: Any) -> str:
    """The first text that a WebSocket gets. RFC 6455."""
    key = base64.b64encode(os.urandom(16)).decode()
    with connection(port, **options) as tls:
        tls.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        read = _Reader(tls)
        if (status := read.head()[0]) != 101:
            raise Refused(str(status))
        opcode, length = read.exactly(2)
        assert opcode == 0x81
        if length == 126:
            length = int.from_bytes(read.exactly(2), "big")
        return read.exactly(length).decode()


class _Reader:
    def __init__(self, tls: handfast.TLSSocket) -> None:
        self._tls = tls
        self._data = b""

    def _more(self) -> bool:
        data = self._tls.recv()
        self._data += data
        return bool(data)

    def until(self, mark: bytes) -> bytes:
        while mark not in self._data:
            assert self._more(), self._data
        found, _, self._data = self._data.partition(mark)
        return found

    def exactly(self, length: int) -> bytes:
        while len(self._data) < length:
            assert self._more(), self._data
        found, self._data = self._data[:length], self._data[length:]
        return found

    def all(self) -> bytes:
        while self._more():
            pass
        return self._data

    def chunks(self) -> bytes:
        body = b""
        while length := int(self.until(b"\r\n"), 16):
            body += self.exactly(length)
            self.exactly(2)
        self.exactly(2)
        return body

    def head(self) -> tuple[int, dict[str, str]]:
        """The status, and the fields by their names in lower case."""
        first, *lines = self.until(b"\r\n\r\n").decode().split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return int(first.split()[1]), fields
