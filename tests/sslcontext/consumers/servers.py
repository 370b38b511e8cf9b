"""Servers, each in a thread or a process, with clients of the standard library, of httpx and of websockets."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
import time
from typing import Any

from tests.sslcontext.consumers.kinds import BIG, Contexts, consumer


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def wait_for(port: int) -> None:
    """Until somebody listens; the process's alarm ends it."""
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.02)


def ask(contexts: Contexts, port: int, path: str = "/") -> bytes:
    connection = http.client.HTTPSConnection("localhost", port, context=contexts.client("http/1.1"))
    connection.request("GET", path)
    answer = connection.getresponse().read()
    connection.close()
    return answer


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = bytes(BIG) if scope["path"] == "/big" else f"{scope['scheme']} {scope['http_version']}".encode()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]}
    )
    await send({"type": "http.response.body", "body": body})


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    body = bytes(BIG) if environ["PATH_INFO"] == "/big" else environ["wsgi.url_scheme"].encode()
    start_response("200 OK", [("content-length", str(len(body)))])
    return [body]


def _check(contexts: Contexts, port: int, first: bytes) -> bytes:
    wait_for(port)
    answer = ask(contexts, port)
    assert answer.startswith(first), answer
    assert len(ask(contexts, port, "/big")) == BIG
    return answer


def _uvicorn(contexts: Contexts, **options: Any) -> object:
    import uvicorn

    port, context = free_port(), contexts.server()
    config = uvicorn.Config(
        asgi, port=port, log_level="critical", lifespan="off", ssl_context_factory=lambda *_: context, **options
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    answer = _check(contexts, port, b"https 1.1")
    server.should_exit = True
    # uvloop crashes where the interpreter ends under it.
    thread.join()
    return answer


@consumer
def uvicorn_h11(contexts: Contexts) -> object:
    return _uvicorn(contexts, http="h11", loop="asyncio")


@consumer
def uvicorn_httptools_uvloop(contexts: Contexts) -> object:
    return _uvicorn(contexts, http="httptools", loop="uvloop")


def _hypercorn(contexts: Contexts, worker: str) -> object:
    import httpx
    from hypercorn.config import Config

    context = contexts.server("h2", "http/1.1")

    class OurConfig(Config):
        def create_ssl_context(self) -> Any:
            return context

        @property
        def ssl_enabled(self) -> bool:
            return True

    config, port = OurConfig(), free_port()
    config.bind, config.accesslog, config.errorlog = [f"127.0.0.1:{port}"], None, None

    def serve() -> None:
        if worker == "trio":
            import trio
            from hypercorn.trio import serve as serve_trio

            trio.run(lambda: serve_trio(asgi, config, shutdown_trigger=trio.sleep_forever))  # type: ignore[arg-type]
            return
        from hypercorn.asyncio import serve as serve_asyncio

        async def forever() -> None:
            await asyncio.Event().wait()

        asyncio.run(serve_asyncio(asgi, config, shutdown_trigger=forever))  # type: ignore[arg-type]

    threading.Thread(target=serve, daemon=True).start()
    wait_for(port)
    with httpx.Client(verify=contexts.client(), http2=True) as client:
        answer = client.get(f"https://localhost:{port}/")
        assert (answer.http_version, answer.text) == ("HTTP/2", "https 2"), answer
        assert len(client.get(f"https://localhost:{port}/big").content) == BIG

    async def many() -> None:
        async with httpx.AsyncClient(verify=contexts.client(), http2=True) as client:
            answers = await asyncio.gather(*(client.get(f"https://localhost:{port}/") for _ in range(20)))
            assert {one.http_version for one in answers} == {"HTTP/2"}

    asyncio.run(many())
    return _check(contexts, port, b"https 1.1")


@consumer
def hypercorn_asyncio(contexts: Contexts) -> object:
    return _hypercorn(contexts, "asyncio")


@consumer
def hypercorn_trio(contexts: Contexts) -> object:
    return _hypercorn(contexts, "trio")


@consumer
def gunicorn_gthread(contexts: Contexts) -> object:
    return _gunicorn(contexts, "gthread")


@consumer
def gunicorn_sync(contexts: Contexts) -> object:
    return _gunicorn(contexts, "sync")


def _gunicorn(contexts: Contexts, worker: str) -> object:
    import os

    from gunicorn.app.base import BaseApplication

    port = free_port()

    class Application(BaseApplication):
        def load_config(self) -> None:
            for key, value in {
                "bind": f"127.0.0.1:{port}",
                "worker_class": worker,
                "threads": 2 if worker == "gthread" else 1,
                "loglevel": "critical",
                "certfile": contexts.file("server.pem"),
                "keyfile": contexts.file("server.key"),
                "ssl_context": lambda _config, _default: contexts.server(),
            }.items():
                self.cfg.set(key, value)

        def load(self) -> Any:
            return wsgi

    process = os.fork()
    if not process:
        Application().run()
    try:
        return _check(contexts, port, b"https")
    finally:
        os.kill(process, 15)
        os.waitpid(process, 0)


@consumer
def flask_development_server(contexts: Contexts) -> object:
    import flask

    app: Any = flask.Flask("consumer")

    @app.get("/")
    def index() -> str:
        certificate = flask.request.environ["werkzeug.socket"].getpeercert()
        return f"{flask.request.scheme} {certificate['subject']}"

    @app.get("/big")
    def big() -> bytes:
        return bytes(BIG)

    port = free_port()
    options = {"port": port, "ssl_context": contexts.server(), "threaded": True}
    threading.Thread(target=lambda: app.run(**options), daemon=True).start()  # type: ignore[arg-type]
    answer = _check(contexts, port, b"https")
    assert b"alice" in answer
    return answer


@consumer
def tornado_both(contexts: Contexts) -> object:
    from tornado import httpclient, httpserver, web

    class Index(web.RequestHandler):
        def get(self) -> None:
            self.write(str(self.request.get_ssl_certificate()["subject"]))  # type: ignore[index]

    class Big(web.RequestHandler):
        def get(self) -> None:
            self.write(bytes(BIG))

    async def main() -> bytes:
        port = free_port()
        server = httpserver.HTTPServer(web.Application([("/", Index), ("/big", Big)]), ssl_options=contexts.server())
        server.listen(port, "127.0.0.1")
        client = httpclient.AsyncHTTPClient()
        answer = await client.fetch(f"https://localhost:{port}/", ssl_options=contexts.client())
        big = await client.fetch(f"https://localhost:{port}/big", ssl_options=contexts.client())
        assert len(big.body) == BIG
        return bytes(answer.body)

    answer = asyncio.run(main())
    assert b"alice" in answer
    return answer


@consumer
def cheroot_server(contexts: Contexts) -> object:
    from cheroot.ssl.builtin import BuiltinSSLAdapter
    from cheroot.wsgi import Server

    port = free_port()
    server = Server(("127.0.0.1", port), wsgi)
    server.ssl_adapter = BuiltinSSLAdapter(contexts.file("server.pem"), contexts.file("server.key"))
    server.ssl_adapter.context = contexts.server()
    threading.Thread(target=server.safe_start, daemon=True).start()
    return _check(contexts, port, b"https")


@consumer
def websockets_asyncio(contexts: Contexts) -> object:
    from websockets.asyncio.client import connect
    from websockets.asyncio.server import serve

    async def main() -> object:
        async def echo(connection: Any) -> None:
            async for message in connection:
                await connection.send(message)

        async with serve(echo, "127.0.0.1", 0, ssl=contexts.server(), max_size=None) as server:
            port = server.sockets[0].getsockname()[1]
            async with connect(f"wss://localhost:{port}", ssl=contexts.client(), max_size=None) as client:
                for message in ("hello", bytes(BIG)):
                    await client.send(message)
                    assert await client.recv() == message
        return "ok"

    return asyncio.run(main())


@consumer
def websockets_threads(contexts: Contexts) -> object:
    from websockets.sync.client import connect
    from websockets.sync.server import serve

    def echo(connection: Any) -> None:
        for message in connection:
            connection.send(message)

    with serve(echo, "127.0.0.1", 0, ssl=contexts.server(), max_size=None) as server:
        port = server.socket.getsockname()[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with connect(f"wss://localhost:{port}", ssl=contexts.client(), max_size=None) as client:
            for message in ("hello", bytes(BIG)):
                client.send(message)
                assert client.recv() == message
        server.shutdown()
    return "ok"
