"""The admin listener: what it answers, to whom, and what it does with what is no request."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from handfast import limits
from handfast.errors import ConfigError
from handfast.proxy.listening import listening
from handfast.proxy.watching.admin import Admin, Answer, check_address

if TYPE_CHECKING:
    from pathlib import Path

    from tests.aio.conftest import Runner


async def health(_query):
    return Answer(200, b"ok\n")


async def echo(query):
    return Answer(200, repr(query).encode())


BY_NAME = b"ask by an address, as localhost, or by a name that the listener is given; other names are a page's\n"
NO_PAGES = b"this is not for pages in a browser\n"
HANDLERS = {("GET", "/health"): health, ("POST", "/echo"): echo}


async def asked(sock: socket.socket, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*sock.getsockname())
    writer.write(sent)
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    ("sent", "status", "body"),
    [
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", 200, b"ok\n"),
        (b"HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n", 200, b""),
        (b"POST /echo?a=b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 200, b"{'a': 'b'}"),
        (b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, b"this path is for another method\n"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, b"there are GET /health, POST /echo\n"),
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\nOrigin: http://a\r\n\r\n", 403, NO_PAGES),
        (b"\x16\x03\x01\0\0\r\n\r\n", 400, b"this is no request of HTTP/1.1\n"),
        (b"GET /health HTTP/1.1\r\nX: " + b"a" * 2 * limits.HTTP_HEAD, 400, b"this is no request of HTTP/1.1\n"),
    ],
)
def test_what_is_answered(run: Runner, sent: bytes, status: int, body: bytes) -> None:
    async def main() -> None:
        admin = Admin(HANDLERS)
        with socket.create_server(("127.0.0.1", 0)) as sock:
            await admin.start(sock)
            head, _, found = (await asked(sock, sent)).partition(b"\r\n\r\n")
            await admin.close()
        assert head.split(b" ")[1] == str(status).encode()
        assert b"connection: close" in head.lower()
        assert found == body

    run(main())


@pytest.mark.parametrize(
    ("host", "refused"),
    [
        ("localhost", False), ("LOCALHOST.:9180", False), ("127.0.0.1", False), ("127.0.0.1:9180", False),
        ("[::1]:9180", False), ("192.0.2.1:9180", False), ("proxy.example:9180", False), (None, False),
        ("metrics.example:9180", False),
        ("evil.example", True), ("evil.example:9180", True), ("localhost.evil.example", True), ("127.0.0.1.x", True),
        ("[::1", True), ("[evil]", True), ("", True), ("xlocalhost", True), ("localhost:x", True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("request_line", ["GET /health", "POST /echo"])
def test_a_name_that_anyone_could_have_lead_here_is_refused(
    run: Runner, request_line: str, host: str | None, refused: bool
) -> None:
    """What a page of that name asks for is of its own origin to the browser (DNS rebinding)."""
    head = f"{request_line} HTTP/1.0\r\n" if host is None else f"{request_line} HTTP/1.1\r\nHost: {host}\r\n"

    async def main() -> None:
        admin = Admin(HANDLERS, ["proxy.example", "Metrics.example."])
        with socket.create_server(("127.0.0.1", 0)) as sock:
            await admin.start(sock)
            answer = await asked(sock, head.encode() + b"\r\n")
            await admin.close()
        assert answer.split(b" ")[1] == (b"403" if refused else b"200")
        assert answer.endswith(BY_NAME) == refused

    run(main())


@pytest.mark.parametrize("site", ["cross-site", "same-site", "same-origin", "Cross-Site", "unknown", "none"])
def test_a_browser_says_that_a_page_asks(run: Runner, site: str) -> None:
    async def main() -> None:
        admin = Admin(HANDLERS)
        with socket.create_server(("127.0.0.1", 0)) as sock:
            await admin.start(sock)
            head = f"POST /echo HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: {site}\r\n\r\n"
            answer = await asked(sock, head.encode())
            await admin.close()
        assert answer.endswith(NO_PAGES) == (site != "none")

    run(main())


def test_a_unix_socket_is_asked_by_any_name(run: Runner, tmp_path: Path) -> None:
    """No name leads a browser there."""

    async def main() -> None:
        admin = Admin(HANDLERS)
        with listening(str(tmp_path / "admin")) as sock:
            await admin.start(sock)
            reader, writer = await asyncio.open_unix_connection(tmp_path / "admin")
            writer.write(b"GET /health HTTP/1.1\r\nHost: any.example\r\n\r\n")
            assert (await reader.read()).endswith(b"ok\n")
            writer.close()
            await admin.close()

    run(main())


def test_who_sends_nothing_is_let_go(run: Runner, monkeypatch) -> None:
    monkeypatch.setattr(limits, "PROXY_ADMIN_TIMEOUT", 0.01)

    async def main() -> None:
        admin = Admin(HANDLERS)
        with socket.create_server(("127.0.0.1", 0)) as sock:
            await admin.start(sock)
            silent = [asked(sock, b"GET") for _ in range(limits.PROXY_ADMIN_CONNECTIONS + 1)]
            assert set(await asyncio.gather(*silent)) == {b""}
            await admin.close()

    run(main())


def test_where_it_may_listen():
    check_address(("127.0.0.1", 9000), anywhere=False)
    check_address("/run/admin.sock", anywhere=False)
    check_address(("0.0.0.0", 9000), anywhere=True)
    with pytest.raises(ConfigError, match="can be reached from elsewhere"):
        check_address(("0.0.0.0", 9000), anywhere=False)
