"""``handfast serve --app``: the user's ASGI application, with lenses, verdicts and an access log."""

from __future__ import annotations

import json
import re
import signal
import socket
import threading
from contextlib import contextmanager

import pytest

from tests.cli.conftest import Result, finish, start
from tests.frameworks.support import ROOT, websocket_text
from tests.waiting import LIMIT

pytestmark = pytest.mark.needs("uvicorn")

TELL = "tests.frameworks.support:tell"


def started(pki, *arguments, **options):
    """The program in a process, and its port; None where it does not serve."""
    server = start("serve", *pki.server, "--listen", "127.0.0.1:0", *arguments, **options)
    assert server.stdout is not None
    address = re.fullmatch(r"Serving on https://127\.0\.0\.1:(\d+)/ \(Ctrl-C ends\)\n", server.stdout.readline())
    return server, int(address[1]) if address else None


@contextmanager
def served(pki, *arguments, app=TELL):
    """The program in a process: its port, and where its result comes."""
    server, port = started(pki, "--app", app, *arguments, cwd=ROOT)
    ended: list[Result] = []
    bound = threading.Timer(LIMIT, server.kill)
    bound.start()
    try:
        yield port, ended
    finally:
        server.send_signal(signal.SIGINT)
        ended.append(finish(server))
        bound.cancel()


def test_an_application_is_told_who_the_client_is(run, pki, tmp_path):
    keylog = tmp_path / "keys.log"
    with served(pki, "--client-ca", pki.ca, "--trace", "--keylog", keylog) as (port, ended):
        told = json.loads(run("connect", f"https://localhost:{port}/who?x=%1b", *pki.alice).out)
        assert "certificate_required" in run("connect", f"https://localhost:{port}/", *pki.trust).err
    assert (told["scheme"], told["tls"]["client_cert_name"]) == ("https", "CN=alice,O=handfast")
    (server,) = ended
    assert server.status == 130
    said = [line for line in server.complaints if line.startswith("handfast: ")]
    # Not in this order: a refused client is told of when it has gone.
    verdict = r"handfast: 127\.0\.0\.1:\d+: mutual TLS 1\.3 OK: client CN=alice,O=handfast"
    assert any(re.match(verdict, line) for line in said)
    request = r"handfast: [\d.:]+: [-\dT:]+Z GET /who\?x=%1b 200 CN=alice,O=handfast"
    assert any(re.fullmatch(request, line) for line in said)
    assert any("sent no certificate" in line for line in said)
    assert {line.split()[0] for line in server.complaints if re.match(r"\d+ \d+ ", line)} == {"1", "2"}
    assert "CLIENT_TRAFFIC_SECRET_0" in keylog.read_text()


def test_plain_http_is_answered_with_the_address(pki):
    with served(pki) as (port, ended), socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as plain:
        plain.sendall(b"GET /elsewhere HTTP/1.1\r\nHost: other.example\r\n\r\n")
        plain.shutdown(socket.SHUT_WR)
        told = b"".join(iter(lambda: plain.recv(1000), b""))
    assert told.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert f"ask https://127.0.0.1:{port}/\n".encode() in told
    assert b"other.example" not in told
    assert "plain HTTP" in ended[0].err


@pytest.mark.needs("websockets")
def test_a_websocket(pki):
    with served(pki, "--client-auth", "request") as (port, ended):
        assert "CN=alice" in websocket_text(port, "/chat")
    assert any(line.endswith("GET /chat 101 -") for line in ended[0].complaints)


def module(folder, text):
    (folder / "mine.py").write_text(text)


BROKEN = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise ValueError("no lifespan")
    raise KeyError("what I forgot")
"""


def test_an_exception_of_the_applications_is_shown_whole(run, pki, tmp_path):
    module(tmp_path, BROKEN)
    server, port = started(pki, "--app", "mine:app", cwd=tmp_path)
    assert "500" in run("connect", f"https://localhost:{port}/", *pki.trust, "-i").out
    server.send_signal(signal.SIGINT)
    ended = finish(server)
    assert "handfast: warning: Exception in ASGI application" in ended.err
    assert "KeyError: 'what I forgot'" in ended.err


FAILING = """
async def app(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})
"""


def test_an_application_that_does_not_start(run, pki, tmp_path):
    module(tmp_path, FAILING)
    ended = finish(start("serve", *pki.server, "--listen", "127.0.0.1:0", "--app", "mine:app", cwd=tmp_path))
    assert ended.is_error(1, "did not start")
    assert "no database" in ended.err


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mine", ("names no attribute",)),
        (":app", ("names no attribute",)),
        ("not_there:app", ("ModuleNotFoundError", "not_there", "start in the folder")),
        ("mine:nothing", ("AttributeError", "nothing")),
        ("mine:wsgi", ("is no ASGI application", "Flask")),
        ("mine:number", ("is no ASGI application",)),
        ("broken:app", ("ZeroDivisionError",)),
    ],
)
def test_what_is_no_application_is_said_in_two_lines(run, pki, monkeypatch, name, words):
    module(pki.directory, "number = 3\ndef wsgi(environ, start_response): ...\n")
    (pki.directory / "broken.py").write_text("1 / 0\n")
    monkeypatch.chdir(pki.directory)
    assert run("serve", *pki.server, "--app", name).is_error(2, "--app", *words)


@pytest.mark.parametrize("option", ["--key-update", "--require-later"])
def test_options_of_the_other_server(run, pki, option):
    assert run("serve", *pki.server, "--app", TELL, option).is_error(2, option, "--app")


def test_a_port_that_is_taken(run, pki):
    with served(pki) as (port, _):
        assert run("serve", *pki.server, "--app", TELL, "--listen", f"127.0.0.1:{port}").is_error(2, "in use")
