"""The access log: what stands in a line, how long it is, and what becomes of it when the disk is full."""

from __future__ import annotations

import json
import logging
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from handfast import limits
from handfast.connection_info import ConnectionInfo
from handfast.errors import ConfigError
from handfast.proxy.journal import ConnectionEnded, ConnectionRefused, Journal, RequestEnded
from handfast.proxy.watching.access_log import AccessLog, line_of
from handfast.roles import Role
from tests import certificates
from tests.proxy.support import backend, echo, running, tcp
from tests.waiting import until

if TYPE_CHECKING:
    from tests.aio.conftest import Runner


def request(**other):
    given: dict[str, Any] = {
        "listener": "127.0.0.1:443",
        "client": "192.0.2.1:5000",
        "info": None,
        "protocol": "HTTP/1.1",
    }
    given |= {"method": "GET", "host": "a.example", "target": "/x?y", "status": 200, "seconds": 0.25}
    return RequestEnded(**{**given, "received": 1, "sent": 2, "backend": "127.0.0.1:8000", **other})


def test_what_stands_in_a_line():
    fields = json.loads(line_of(request(code="backend_timeout", why="slow", status=504), 1_800_000_000.5))
    assert fields == {
        "time": "2027-01-15T08:00:00.500Z",
        "event": "request",
        "listener": "127.0.0.1:443",
        "client": "192.0.2.1:5000",
        "tls": False,
        "protocol": "HTTP/1.1",
        "method": "GET",
        "host": "a.example",
        "target": "/x?y",
        "status": 504,
        "received": 1,
        "sent": 2,
        "seconds": 0.25,
        "backend": "127.0.0.1:8000",
        "code": "backend_timeout",
        "why": "slow",
    }


@pytest.mark.parametrize("text", ["a\nb", "\x1b[2J", "\u2028", '"}{', "\ud800", "ü"])
def test_what_a_client_says_is_escaped(text):
    line = line_of(request(target=text, host=text, method=text, why=text), 0.0)
    assert line.count(b"\n") == 1
    assert line.isascii()
    assert b"\x1b" not in line
    assert json.loads(line)["status"] == 200


@pytest.mark.parametrize("text", ["a" * 100_000, "\x00" * 100_000, "\U0001f600" * 10_000])
def test_a_line_has_a_limit(text):
    info = ConnectionInfo(Role.SERVER, server_name=text)
    for entry in (
        request(target=text, host=text, method=text, why=text, info=info),
        ConnectionRefused("here", "there", "code", text, info),
        ConnectionEnded("here", "there", info, 1.0, 2, 3, why=text),
    ):
        line = line_of(entry, 0.0)
        assert len(line) <= limits.PROXY_LOG_LINE
        assert json.loads(line)["why"].startswith(json.loads(line)["why"][:8])


def logged(path, **what):
    log = AccessLog(path)
    log(request(**what))
    log.close()


@pytest.mark.parametrize("umask", [0, 0o77, 0o777])
def test_a_file_is_private_and_appended_to(tmp_path, umask):
    path = tmp_path / "access.log"
    before = os.umask(umask)
    try:
        logged(path, status=200)
    finally:
        os.umask(before)
    logged(path, status=201)
    assert [json.loads(line)["status"] for line in path.read_text().splitlines()] == [200, 201]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


ENDED = ConnectionEnded("here", "there", None, 1.0, 2, 3)
REFUSED = ConnectionRefused("here", "there", "code", "why")
LINES = b"".join(line_of(entry, 0.0) for entry in (request(), ENDED, REFUSED))


@pytest.mark.parametrize(
    "there",
    [
        b"", LINES, LINES[:-20], LINES[:5], LINES[:5] + LINES, LINES[:700] + LINES, LINES * 2000, b"\n",
        LINES + b"\n" + LINES, LINES.replace(b"\n", b"\r\n"),
    ],
    ids=["nothing", "lines", "cut", "cut early", "went on early", "went on", "long", "empty", "an empty one", "CRLF"],
)  # fmt: skip
def test_a_log_that_is_there_goes_on_and_keeps_its_mode(tmp_path, there):
    """Also one that a full disk cut; and logrotate's ``create`` says who else may read it."""
    path = tmp_path / "access.log"
    path.write_bytes(there)
    path.chmod(0o640)
    logged(path)
    assert path.read_bytes().startswith(there)
    assert len(path.read_bytes()) > len(there)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize(
    "there",
    [
        certificates.ca().certificate_pem, b"before\n", b"{}\n", b"[1]\n", b"\0" * 100, LINES + b"other\n",
        b"other\n" + LINES, b'{"time": "2026-01-01T00:00:00Z", "level": "info"}\n', b'{"key": 1}', b'{"key": 1}\n',
        LINES + b"-", b"{" * (limits.APPENDED_TO_BYTES + 9), b'{"time": "' + b" " * limits.APPENDED_TO_BYTES,
    ],
)  # fmt: skip
def test_a_file_of_another_kind_stays_as_it_is(tmp_path, there):
    path = tmp_path / "ca.pem"
    path.write_bytes(there)
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="holds something else") as caught:
        AccessLog(path)
    assert caught.value.code == "other_contents"
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (there, 0o644)
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(ConfigError, match="symbolic link"):
        AccessLog(link)


def test_a_file_that_was_rotated(tmp_path):
    path = tmp_path / "access.log"
    log = AccessLog(path)
    log(request(status=201))
    assert until(path.read_bytes)
    path.rename(tmp_path / "access.log.1")
    log.reopen()
    log(request(status=202))
    log.close()
    assert json.loads((tmp_path / "access.log.1").read_text())["status"] == 201
    assert json.loads(path.read_text())["status"] == 202


def test_a_file_that_cannot_be_opened_anew(tmp_path, caplog):
    folder = tmp_path / "logs"
    folder.mkdir()
    log = AccessLog(folder / "access.log")
    folder.rename(tmp_path / "gone")
    with caplog.at_level(logging.WARNING, "handfast"):
        log.reopen()
        log(request())
        log.close()
    assert (tmp_path / "gone" / "access.log").read_text().count("\n") == 1
    assert "goes on in its old file" in caplog.text


def test_what_is_no_file(tmp_path):
    with pytest.raises(ConfigError):
        AccessLog(tmp_path)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_loses_lines_alone(tmp_path, caplog):
    log = AccessLog(tmp_path / "access.log")
    # What writes to the log's descriptor is told that the disk is full.
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, log._descriptor)
    os.close(full)
    with caplog.at_level(logging.ERROR, "handfast"):
        log(request())
        log.close()
    assert "1 lines of the access log are lost" in caplog.text


def test_what_waits_is_bounded(monkeypatch, caplog):
    # A pipe that is not read.
    reading, writing = os.pipe()
    with open(writing, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        log = AccessLog(Path("-"))
    line = len(line_of(request(), 0.0))
    for _ in range(2 * limits.PROXY_LOG_WAITING // line):
        log(request())
    assert log._waiting <= limits.PROXY_LOG_WAITING
    assert log._lost > 0
    os.close(reading)
    with caplog.at_level(logging.ERROR, "handfast"):
        log.close()
    assert "lines of the access log are lost" in caplog.text


def test_refusals_by_a_limit_are_throttled(tmp_path):
    path = tmp_path / "access.log"
    log = AccessLog(path)
    for _ in range(1000):
        log(ConnectionRefused("here", "there", "too_many_connections", "full"))
    log.close()
    assert path.read_text().count("\n") <= limits.LOGGED_FAILURES_AT_ONCE + 20


def test_who_was_there(run: Runner, tmp_path) -> None:
    path = tmp_path / "access.log"

    async def main() -> None:
        log = AccessLog(path)
        async with backend(echo) as address, running(tcp(address)) as proxy:
            proxy.proxy.journal = Journal(log, proxy._tell)
            reader, writer = await proxy.client()
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            writer.write_eof()
            await reader.read()
            writer.close()
            await proxy.ended()
            reader, writer = await proxy.client(anonymous=True)
            with pytest.raises(Exception, match="certificate_required"):
                await reader.read()
            writer.close()
            await proxy.refused(2)
        log.close()

    run(main())
    connection, refused = map(json.loads, path.read_text().splitlines())
    assert (connection["event"], connection["received"], connection["code"]) == ("connection", 5, "")
    assert (connection["subject"], connection["names"]) == ("CN=alice,O=handfast", ["DNS:alice"])
    assert (connection["verified"], connection["sni"], connection["version"]) == (True, "localhost", "TLS 1.3")
    assert (refused["event"], refused["code"], refused["verified"]) == ("refused", "certificate_required", False)
