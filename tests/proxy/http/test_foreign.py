"""The proxy between programs of others: curl before it; nginx, uvicorn and its parsers behind it."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any

import pytest

from handfast.proxy.settings import Backend, IdentityForm, Listener, Service
from tests import certificates
from tests.peers.base import require_peer
from tests.ports import own_port
from tests.proxy.http.browser import browser, tls
from tests.proxy.http.support import Origin, Web, web
from tests.proxy.http.test_smuggling import HOST, NORMALISED, POST, REFUSED, SMUGGLED
from tests.proxy.support import LOCAL
from tests.waiting import LIMIT, PAUSE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.aio.conftest import Runner


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A client's certificate and key, and the CA, in files."""
    issued = certificates.client()
    contents = {
        "client.pem": issued.cert_pem,
        "client.key": issued.key_pem,
        "ca.pem": certificates.ca().certificate_pem,
    }
    for name, content in contents.items():
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_bytes(content)
    return tmp_path


@contextlib.asynccontextmanager
async def before(port: int, **options: Any) -> AsyncIterator[Web]:
    """A proxy before what listens at this port."""
    proxy = Web(Listener(LOCAL, Service(Backend(("127.0.0.1", port)), **options), tls()))
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.proxy.close(0)


async def curl(proxy: Web, files: Path, path: str, *arguments: str, data: bytes = b"") -> bytes:
    program = require_peer("curl")
    own = ("--cert", f"{files}/client.pem", "--key", f"{files}/client.key", "--cacert", f"{files}/ca.pem")
    process = await asyncio.create_subprocess_exec(
        program, "--silent", "--show-error", "--disable", *own, *arguments, f"https://localhost:{proxy.address[1]}{path}",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, errors = await process.communicate(data)
    assert process.returncode == 0, errors.decode()
    return out


BODY = bytes(range(256)) * 6000


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_curl_is_served_over_either_version(run: Runner, files: Path, version: str) -> None:
    if version == "--http2":
        pytest.importorskip("h2")

    def mirror(seen: Any) -> bytes:
        size = b"content-length: %d\r\n" % len(seen.body)
        return b"HTTP/1.1 200 OK\r\n" + size + b"\r\n" + (b"" if seen.method == "HEAD" else seen.body)

    async def main() -> None:
        async with web(Origin(mirror), tls=tls(), identity=(IdentityForm.NGINX,)) as proxy:
            assert await curl(proxy, files, "/a", version) == b""
            assert await curl(proxy, files, "/b", version, "--data-binary", "@-", data=BODY) == BODY
            chunked = ("--upload-file", "-", "--header", "Transfer-Encoding: chunked")
            assert await curl(proxy, files, "/c", version, *chunked, data=BODY) == BODY
            assert b"content-length: 0" in (await curl(proxy, files, "/d", version, "--head")).lower()
            both = await curl(proxy, files, "/e", version, f"https://localhost:{proxy.address[1]}/f")
            assert both == b""
            assert sorted(seen.target for seen in proxy.origin.seen) == ["/a", "/b", "/c", "/d", "/e", "/f"]
            assert {seen["x-ssl-client-verify"] for seen in proxy.origin.seen} == {"SUCCESS"}
            spoken = "HTTP/2" if version == "--http2" else "HTTP/1.1"
            assert {entry.protocol for entry in await proxy.requests(6)} == {spoken}

    run(main())


@contextlib.asynccontextmanager
async def nginx(folder: Path) -> AsyncIterator[int]:
    """nginx, plain; its access log says what it took for requests."""
    program = require_peer("nginx")
    with own_port() as port:
        async with _nginx(program, folder, port):
            yield port


@contextlib.asynccontextmanager
async def _nginx(program: str, folder: Path, port: int) -> AsyncIterator[None]:
    (folder / "nginx.conf").write_text(f"""
        daemon off; pid {folder}/pid; error_log stderr crit; worker_processes 1; events {{}}
        http {{
            log_format seen '$request_method $request_uri $content_length $request_length';
            access_log {folder}/access.log seen;
            client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
            uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
            server {{
                listen 127.0.0.1:{port};
                location / {{ return 200 "$http_x_ssl_client_verify|$http_x_ssl_client_s_dn|$http_client_cert"; }}
            }}
        }}
    """)
    process = await asyncio.create_subprocess_exec(program, "-c", f"{folder}/nginx.conf", "-p", str(folder))
    try:
        async with asyncio.timeout(LIMIT):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(PAUSE)
                else:
                    writer.close()
                    break
        yield
    finally:
        process.terminate()
        await process.wait()


def test_nginx_reads_no_request_that_was_not_one(run: Runner, tmp_path: Path) -> None:
    async def main() -> None:
        async with nginx(tmp_path) as port, before(port) as proxy:
            for sent in REFUSED.values():
                client = await proxy.asker()
                client.write(sent + SMUGGLED)
                assert (await client.answer()).status >= 400
                client.close()
            for rest, _ in NORMALISED.values():
                client = await proxy.asker()
                client.write(POST + rest + b"GET /next HTTP/1.1\r\n" + HOST + b"\r\n")
                # nginx answers a POST that its pages do not take, and reads its body first.
                await client.answer()
                assert (await client.answer()).status == 200
                client.close()
        lines = [line.split()[:2] for line in (tmp_path / "access.log").read_text().splitlines()]
        assert lines == [["POST", "/"], ["GET", "/next"]] * len(NORMALISED)

    run(main())


def test_nginx_reads_who_the_client_is_and_no_forgery(run: Runner, tmp_path: Path) -> None:
    async def main() -> None:
        forged = ("X-SSL-Client-S-DN: CN=root", "x_ssl_client_verify: SUCCESS", "Client_Cert: :AAAA:")
        async with nginx(tmp_path) as port:
            async with before(port, identity=tuple(IdentityForm)) as proxy:
                client = await proxy.asker()
                verify, subject, certificate = (await client.get("/", *forged)).body.decode().split("|")
                assert (verify, subject) == ("SUCCESS", "CN=alice,O=handfast")
                assert certificate.startswith(":MI")
                client.close()
            async with before(port) as proxy:
                client = await proxy.asker()
                assert (await client.get("/", *forged)).body == b"||"
                client.close()

    run(main())


def needs(*names: str) -> pytest.MarkDecorator:
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)} (make frameworks)")


@contextlib.asynccontextmanager
async def uvicorn(app: Any, http: str) -> AsyncIterator[int]:
    import uvicorn as package

    config = package.Config(app, http=http, lifespan="off", log_level="critical")
    server = package.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    # Below what takes the signals of the process.
    serving = asyncio.create_task(server._serve(sockets=[listening]))
    async with asyncio.timeout(LIMIT):
        while not server.started:
            await asyncio.sleep(PAUSE)
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        await serving


@needs("uvicorn", "httptools")
@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_uvicorn_reads_no_request_that_was_not_one(run: Runner, http: str) -> None:
    seen: list[tuple[str, str, bytes]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        seen.append((scope["method"], scope["path"], body))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async def main() -> None:
        async with uvicorn(app, http) as port, before(port) as proxy:
            for sent in REFUSED.values():
                client = await proxy.asker()
                client.write(sent + SMUGGLED)
                assert (await client.answer()).status >= 400
                client.close()
            assert seen == []
            for rest, body in NORMALISED.values():
                client = await proxy.asker()
                client.write(POST + rest + b"GET /next HTTP/1.1\r\n" + HOST + b"\r\n")
                assert (await client.answer()).status == 200
                assert (await client.answer()).status == 200
                client.close()
                assert seen[-2:] == [("POST", "/", body), ("GET", "/next", b"")]
            assert len(seen) == 2 * len(NORMALISED)

    run(main())


@needs("uvicorn", "websockets")
def test_websockets_go_through_to_uvicorn(run: Runner, files: Path) -> None:
    from websockets.asyncio.client import connect

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"].upper()})

    async def main() -> None:
        context = ssl.create_default_context(cafile=str(files / "ca.pem"))
        context.load_cert_chain(files / "client.pem", files / "client.key")
        async with uvicorn(app, "h11") as port, before(port) as proxy:
            async with connect(f"wss://localhost:{proxy.address[1]}/chat", ssl=context, proxy=None) as chat:
                for text in ("hello", "x" * 300_000):
                    await chat.send(text)
                    assert await chat.recv() == text.upper()
            (entry,) = await proxy.requests()
            assert (entry.status, entry.target) == (101, "/chat")

    run(main())


@needs("hypercorn")
def test_hypercorn_is_spoken_to_in_http2(run: Runner) -> None:
    """The same application server, by prior knowledge: bodies both ways, at once for several clients."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        who = dict(scope["headers"]).get(b"x-ssl-client-s-dn", b"nobody")
        told = [(b"x-version", scope["http_version"].encode()), (b"x-who", who)]
        await send({"type": "http.response.start", "status": 200, "headers": told})
        await send({"type": "http.response.body", "body": body})

    async def main() -> None:
        with hypercorn(app) as port:
            to = Backend(("127.0.0.1", port), http2=True)
            proxy = Web(Listener(LOCAL, Service(to, identity=(IdentityForm.NGINX,)), tls()))
            await proxy.start()
            clients = [await browser(proxy) for _ in range(3)]
            for client in clients:
                number = client.ask("/", method="POST", end=False)
                client.send(number, b"hello", end=True)
                got = await client.answer(number)
                assert (got.status, got["x-version"], got["x-who"]) == (200, "2", "CN=alice,O=handfast")
                assert got.body == b"hello"
                client.close()
            older = await proxy.asker(application_protocols=("http/1.1",))
            got1 = await older.ask(f"POST / HTTP/1.1\nhost: localhost\ncontent-length: {len(BODY)}", BODY)
            assert (got1.status, got1["x-version"], got1.body) == (200, "2", BODY)
            older.close()
            await proxy.proxy.close(0)

    run(main())


@contextlib.contextmanager
def hypercorn(app: Any) -> Iterator[int]:
    """hypercorn in a thread, and where it listens."""
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config, stop = Config(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        config.bind = [f"fd://{listening.detach()}"]
    config.accesslog = config.errorlog = None
    config.graceful_timeout = 0

    def serving() -> None:
        asyncio.run(serve(app, config, shutdown_trigger=lambda: asyncio.to_thread(stop.wait, LIMIT)))

    thread = threading.Thread(target=serving, daemon=True)
    thread.start()
    try:
        yield port
    finally:
        stop.set()
        thread.join(LIMIT)
