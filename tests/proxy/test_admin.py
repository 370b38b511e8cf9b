"""The admin listener: what it answers, to whom, and what it does with what is no request."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from handfast import limits
from handfast.errors import ConfigError
from handfast.proxy.watching.admin import Admin, Answer, check_address

if TYPE_CHECKING:
    from tests.aio.conftest import Runner


async def health(_query):
    return Answer(200, b"ok\n")


async def echo(query):
    return Answer(200, repr(query).encode())


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
        (b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n", 200, b"ok\n"),
        (b"HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n", 200, b""),
        (b"POST /echo?a=b HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 200, b"{'a': 'b'}"),
        (b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n", 405, b"this path is for another method\n"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 404, b"there are GET /health, POST /echo\n"),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\n\r\n", 403, b"this is not for pages in a browser\n"),
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
