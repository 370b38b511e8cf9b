"""Clients as people have them, with a certificate, through the proxy to web servers that speak no TLS."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from tests import browsers
from tests.proxy.program import lines_of, proxying, write_files
from tests.proxy.programs import nginx, started
from tests.waiting import LIMIT, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ALICE = "CN=alice,O=handfast"
# Too large for all buffers on the way.
LARGE = os.urandom(1024) * 3000


def needs(*names: str) -> pytest.MarkDecorator:
    missing = [name for name in names if find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)} (make proxy)")


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Says who it was told the client is, and sends back what it was sent."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    headers = dict(scope["headers"])
    who = headers.get(b"x-ssl-client-s-dn", b"nobody")
    answer = body or b"You are %b, by %b" % (who, headers.get(b"via", b"no proxy"))
    length = b"%d" % len(answer)
    fields = [(b"content-type", b"text/html"), (b"content-length", length), (b"x-who", who)]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": answer})


@contextlib.contextmanager
def uvicorn() -> Iterator[str]:
    """uvicorn with the application, in a thread: where it listens."""
    import uvicorn as package

    server = package.Server(package.Config(app, lifespan="off", log_level="critical"))
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        assert until(lambda: server.started)
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(LIMIT)


def ends(files: Path, to: str) -> tuple[object, ...]:
    ours = ("--cert", files / "server.pem", "--key", files / "server.key", "--client-ca", files / "ca.pem")
    told = ("--identity", "nginx", "--access-log", files / "access.log")
    return (*ours, *told, "--from", "127.0.0.1:0", "--to", to)


@contextlib.contextmanager
def session(files: Path, *, anonymous: bool = False) -> Iterator[Any]:
    """A session of requests; by default with alice's certificate."""
    import requests

    with requests.Session() as it:
        it.trust_env = False
        it.verify = str(files / "ca.pem")
        it.cert = None if anonymous else (str(files / "client.pem"), str(files / "client.key"))
        yield it


@needs("requests", "uvicorn")
def test_requests_and_uvicorn(tmp_path: Path) -> None:
    import requests

    files = write_files(tmp_path)
    with uvicorn() as to, proxying(*ends(files, f"http://{to}")) as proxy:
        url = f"https://localhost:{proxy.ports[0]}"
        with session(files) as client:
            forged = {"X-SSL-Client-S-DN": "CN=root", "x_ssl_client_s_dn": "CN=root"}
            assert client.get(f"{url}/who", headers=forged, timeout=LIMIT).text == f"You are {ALICE}, by 1.1 handfast"
            # With a length, and in chunks.
            assert client.post(f"{url}/length", data=LARGE, timeout=LIMIT).content == LARGE
            chunks = (LARGE[at : at + 100_000] for at in range(0, len(LARGE), 100_000))
            assert client.post(f"{url}/chunks", data=chunks, timeout=LIMIT).content == LARGE
        with session(files, anonymous=True) as client, pytest.raises(requests.exceptions.ConnectionError):
            client.get(f"{url}/anonymous", timeout=LIMIT)
        assert "the client sent no certificate" in proxy.hears("certificate_required")
        proxy.ends()
    told = lines_of(files / "access.log")
    asked = [(line["target"], line["status"], line["subject"]) for line in told if line["event"] == "request"]
    assert asked == [("/who", 200, ALICE), ("/length", 200, ALICE), ("/chunks", 200, ALICE)]


@needs("requests")
def test_requests_and_nginx(tmp_path: Path) -> None:
    files = write_files(tmp_path)
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "file").write_bytes(LARGE)
    tmp_path.chmod(0o755)
    server = f"root {tmp_path}/www; add_header X-Who $http_x_ssl_client_s_dn;"
    command, path = nginx(tmp_path, server)
    with (
        started(command, path) as to,
        proxying(*ends(files, f"http://unix:{to}")) as proxy,
        session(files) as client,
    ):
        url = f"https://localhost:{proxy.ports[0]}/file"
        whole = client.get(url, timeout=LIMIT)
        assert (whole.content, whole.headers["X-Who"]) == (LARGE, ALICE)
        part = client.get(url, headers={"Range": "bytes=1000-1999"}, timeout=LIMIT)
        assert (part.status_code, part.content) == (206, LARGE[1000:2000])
        unchanged = client.get(url, headers={"If-None-Match": whole.headers["ETag"]}, timeout=LIMIT)
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert client.get(f"{url}/none", timeout=LIMIT).status_code == 404


@needs("uvicorn")
@pytest.mark.parametrize("name", browsers.NAMES)
def test_browsers_and_uvicorn(name: str, tmp_path: Path) -> None:
    """The page says who the client is, and the log that it came by HTTP/2, as browsers do where it is offered."""
    files = write_files(tmp_path)
    browsers.give(name, tmp_path, files / "ca.pem", files / "client.pem", files / "client.key")
    with uvicorn() as to, proxying(*ends(files, f"http://{to}")) as proxy:
        command = browsers.command(name, tmp_path, f"https://localhost:{proxy.ports[0]}/page")
        environment = {**os.environ, "HOME": str(tmp_path)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False)
        proxy.ends()
    # Firefox makes a picture of the page.
    assert f"You are {ALICE}, by 2.0 handfast" in done.stdout or (tmp_path / "page.png").exists()
    told = [line for line in lines_of(files / "access.log") if line.get("target") == "/page"]
    assert [(line["status"], line["alpn"], line["verified"], line["subject"]) for line in told] == [
        (200, "h2", True, ALICE)
    ]
